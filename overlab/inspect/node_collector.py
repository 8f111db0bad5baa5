"""Runs on a node, as root: what its engine, kernel, journal and cluster store report, one JSON object a line.

``python3 - STORE-CLIENT BRIDGE WATCHDOG LIMIT-S < node_collector.py``. Standard library of Python 3.9 only; read-only.
STORE-CLIENT is the path of overlab-store, or for a node without it a JSON object: the program's text by kind of store,
whose endpoint OVERLAB-STORE stands for the engine's own. An empty WATCHDOG is none.
Each line is an object with one part. A part that cannot be collected is null, and the last line, ``errors``, has the
reason. Everything ends within LIMIT-S.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ENGINE_SOCKET = "/var/run/docker.sock"
NAMESPACES = Path("/run/docker/netns")
CALL_LIMIT_S = 30.0
CONTAINER_LIMIT_S = 8.0
"""The engine does not answer for a container that it is busy with."""
MANIFEST = Path("/etc/overlab/engine.sha256")
RULES = Path("/etc/overlab/firewall.rules")
UNITS = ("docker.service", "overlab-dockerd-watchdog.path", "overlab-firewall.service")
KEYS = ("docker/nodes/", *(f"docker/network/v1.0/{part}/" for part in ("network", "endpoint", "overlay/network")))
DRIVERS = ("overlay", "macvlan", "ipvlan")
"""Of the lab's networks."""
DEVICES = ("bridge", "vxlan", "veth")
"""Kinds of interfaces in an overlay network's namespace."""
OVERLAY_RULE = re.compile(
    r"-A (?P<chain>INPUT|OUTPUT|PREROUTING) -p (?:tcp|udp) (?:-m (?:tcp|udp) )?--dport (?P<port>4789|7946)"
    r" -j (?P<verdict>ACCEPT|DROP|REJECT)(?: --reject-with \S+)?"
)
MEMBER = re.compile(r"EventMember(\w+): (\S+) [0-9.]+")
FIREWALL_RULES = "iptables: not the rules of overlab-firewall.service"
ENGINE_RULES = "iptables: not the rules of the engine"


class OutOfTime(Exception):
    """The limit of the whole report is over."""


class NodeCollector:
    """The node that this runs on."""

    def __init__(self, store_client: str, bridge: str, watchdog: str, limit_s: float) -> None:
        self.store_client = store_client
        self.bridge = bridge
        self.watchdog_script = watchdog
        self._deadline = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._in_swarm = False
        self._store = ""
        self._containers: list[dict[str, Any]] = []
        self._unit_properties: dict[str, dict[str, str]] = {}
        self._errors: dict[str, str] = {}

    def report(self) -> Iterator[dict[str, Any]]:
        """Part by part, each as soon as it is known; the sandboxes are those of the engine's containers.

        What waits for the engine or the store does so beside what needs the processor.
        """
        chains: tuple[tuple[Callable[[], Any], ...], ...] = (
            (self.containers, self.networks, self.sandboxes),
            (self.store,),
            (
                *(self.unit, self.overlay_namespaces, self.gateway_ports, self.gossip, self.watchdog),
                *(self.configuration, self.dropping_rules),
            ),
        )
        yield {"hostname": socket.gethostname(), "clock": time.time()}
        # First: without an answer of the engine some of the others are not tried.
        yield {"engine": self._attempt("engine", self.engine)}
        known: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        for chain in chains:
            threading.Thread(target=self._collect, args=(chain, known), daemon=True).start()
        for _ in (part for chain in chains for part in chain):
            yield known.get()
        yield {"errors": self._errors}

    def _collect(self, parts: tuple[Callable[[], Any], ...], known: queue.SimpleQueue[dict[str, Any]]) -> None:
        for part in parts:
            known.put({part.__name__: self._attempt(part.__name__, part)})

    def _attempt(self, name: str, collect: Callable[[], Any]) -> Any:
        """What ``collect`` returns; or None, with the reason among the errors under this name."""
        try:
            return collect()
        except OutOfTime:
            self._errors[name] = f"no answer within {self._limit_s:g} s"
        except Exception as error:  # noqa: BLE001 - one part fails, the others are collected
            self._errors[name] = f"{type(error).__name__}: {error}".strip()
        return None

    # -- engine ----------------------------------------------------------------------------------------

    def engine(self) -> dict[str, Any]:
        info = self._engine("/info")
        swarm, store = info.get("Swarm") or {}, info.get("ClusterStore", "")
        self._in_swarm = swarm.get("LocalNodeState") == "active"
        self._store = store
        return {
            "version": info["ServerVersion"],
            "store": store,
            "advertise": info.get("ClusterAdvertise", ""),
            "swarm_address": swarm.get("NodeAddr", "") if self._in_swarm else "",
            "swarm_nodes": self._swarm_nodes() if swarm.get("ControlAvailable") else {},
        }

    def _swarm_nodes(self) -> dict[str, str]:
        """Address -> state, as a manager has them."""
        return {node["Status"].get("Addr", ""): node["Status"]["State"] for node in self._engine("/nodes")}

    def unit(self) -> str:
        return self._units()[UNITS[0]]["ActiveState"]

    def _units(self) -> dict[str, dict[str, str]]:
        """By unit: properties, all of one call."""
        if not self._unit_properties:
            names = "Id,ActiveState,InvocationID,UnitFileState"
            for text in self._run("systemctl", "show", "-p", names, *UNITS).strip().split("\n\n"):
                properties = dict(line.split("=", 1) for line in text.splitlines())
                self._unit_properties[properties["Id"]] = properties
        return self._unit_properties

    def containers(self) -> list[dict[str, Any]]:
        self._containers = [self._container(listed) for listed in self._engine("/containers/json?all=1")]
        return self._containers

    def _container(self, listed: dict[str, Any]) -> dict[str, Any]:
        """While the engine is busy with a container, only the list is answered: what inspect adds is then missing."""
        name = min(listed["Names"], key=len).lstrip("/")
        inspect = partial(self._engine, f"/containers/{listed['Id']}/json", CONTAINER_LIMIT_S)
        inspected = self._attempt(f"container {name}", inspect)
        settings = (inspected or listed)["NetworkSettings"]
        ports = {f"{p['PublicPort']}->{p['PrivatePort']}/{p['Type']}" for p in listed["Ports"] if "PublicPort" in p}
        return {
            "id": listed["Id"],
            "name": name,
            "status": listed["Status"],
            "running": listed["State"] == "running",
            "network_mode": listed["HostConfig"]["NetworkMode"],
            "sandbox": settings.get("SandboxID", ""),
            "sandbox_key": settings.get("SandboxKey", ""),
            "network_namespace": _network_namespace(inspected["State"]["Pid"]) if inspected else None,
            "endpoints": [_endpoint(network, one) for network, one in (settings.get("Networks") or {}).items()],
            "ports": sorted(ports),
        }

    def networks(self) -> list[dict[str, Any]]:
        """The lab's networks, and docker_gwbridge. With endpoints, except where these are the store's."""
        listed = [n for n in self._engine("/networks") if n["Driver"] in DRIVERS or n["Name"] == self.bridge]
        return [_network(self._inspected(network)) for network in listed]

    def _inspected(self, network: dict[str, Any]) -> dict[str, Any]:
        if network["Driver"] in DRIVERS and network["Scope"] != "swarm":
            return network
        verbose = "?verbose=1" if network["Driver"] == "overlay" else ""
        found: dict[str, Any] = self._engine(f"/networks/{network['Id']}{verbose}")
        return found

    # -- kernel ----------------------------------------------------------------------------------------

    def sandboxes(self) -> dict[str, dict[str, Any]]:
        """By file of its namespace: the network of each running container."""
        files = {c["sandbox_key"] for c in self._containers if c["running"] and c["network_mode"] != "host"} - {""}
        collected = {file: self._attempt(f"sandbox {file}", partial(self._sandbox, file)) for file in sorted(files)}
        return {file: sandbox for file, sandbox in collected.items() if sandbox}

    def _sandbox(self, file: str) -> dict[str, Any]:
        links, routes = self._ip(file, "address show", "route show")
        default = [route.get("gateway") for route in routes if route.get("dst") == "default"]
        return {
            "interfaces": [_interface(link) for link in links if "LOOPBACK" not in link["flags"]],
            "default_route": default[0] if default else None,
        }

    def overlay_namespaces(self) -> list[dict[str, Any]]:
        """The namespace of each overlay network; its file is named EPOCH-NETWORK, by the first ten digits of the id."""
        # The directory is created with the first sandbox.
        files = [file for file in sorted(NAMESPACES.iterdir()) if _is_overlay(file)] if NAMESPACES.is_dir() else []
        collected = [self._attempt(f"namespace {file.name}", partial(self._overlay_namespace, file)) for file in files]
        return [namespace for namespace in collected if namespace]

    def _overlay_namespace(self, file: Path) -> dict[str, Any]:
        links, neighbors = self._ip(file, "link show", "neigh show")
        kinds = [(link, link.get("linkinfo", {})) for link in links]
        veths = [link for link, info in kinds if info.get("info_kind") == "veth"]
        devices = {link["ifname"]: info["info_data"]["id"] for link, info in kinds if info.get("info_kind") == "vxlan"}
        return {
            "file": str(file),
            "network": file.name.split("-", 1)[1],
            "devices": devices,
            "bridge": next((link["ifname"] for link, info in kinds if info.get("info_kind") == "bridge"), ""),
            "down": [link["ifname"] for link, info in kinds if info.get("info_kind") in DEVICES and not _is_up(link)],
            "ports": [_port(link) for link in veths if "master" in link],
            "detached": [_port(link) for link in veths if "master" not in link],
            "fdb": [
                {"mac": entry["mac"], "destination": entry["dst"]}
                for entry in self._json("nsenter", f"--net={file}", "bridge", "-j", "fdb", "show")
                if entry.get("ifname") in devices and "dst" in entry
            ],
            "neighbors": [
                {"address": entry["dst"], "mac": entry["lladdr"]}
                for entry in neighbors
                if entry.get("dev") in devices and "lladdr" in entry
            ],
        }

    def gateway_ports(self) -> list[dict[str, Any]]:
        """The veths on docker_gwbridge."""
        if not Path("/sys/class/net", self.bridge).exists():
            return []
        return [_port(link) for link in self._json("ip", "-j", "-d", "link", "show", "master", self.bridge)]

    # -- journal, watchdog and store -------------------------------------------------------------------

    def gossip(self) -> dict[str, dict[str, str]]:
        """By peer: the last membership event that serf logged in this run of the engine. A swarm has no serf."""
        if self._in_swarm:
            return {}
        invocation = self._units()[UNITS[0]]["InvocationID"]
        match = ("-u", "docker.service", f"_SYSTEMD_INVOCATION_ID={invocation}", "-g", "EventMember")
        text = self._run("journalctl", "-q", "-o", "cat", "--no-pager", *match, ok=(0, 1))
        return {peer: {"event": event} for event, peer in MEMBER.findall(text)}

    def watchdog(self) -> dict[str, Any] | None:
        """Whether the watchdog is active, and whether a network's namespace was removed since the engine started."""
        if not self.watchdog_script:
            return None
        active = self._units()[UNITS[1]]["ActiveState"] == "active"
        cmd = [self.watchdog_script, "check"]
        done = subprocess.run(cmd, capture_output=True, text=True, timeout=self._remaining(), check=False)
        return {"active": active, "healthy": done.returncode == 0, "message": done.stderr.strip()}

    def configuration(self) -> list[str]:
        """What differs from what the last update put on the node: files, enabled units, the packet filter."""
        if not MANIFEST.exists():
            return []
        found = self._run("sha256sum", "--check", "--quiet", str(MANIFEST), ok=(0, 1)).splitlines()
        files = [line.partition(": ")[0] for line in found]
        units = [unit for unit in UNITS if unit != UNITS[-1] or RULES.exists()]
        listed = {unit: self._units()[unit]["UnitFileState"] for unit in units}
        disabled = [f"{unit} is {state or 'missing'}" for unit, state in listed.items() if state != "enabled"]
        return [*(f"{file} was changed" for file in files), *disabled, *self._packet_filter()]

    def _packet_filter(self) -> Iterator[str]:
        chains: dict[str, list[str]] = {}
        for line in self._run("iptables-save").splitlines():
            if line.startswith("-A "):
                chain, rule = line[3:].split(" ", 1)
                chains.setdefault(chain, []).append(rule)
        forward = chains.get("FORWARD", [])
        if RULES.exists():
            wanted = sum(line.startswith("-A OVERLAB") for line in RULES.read_text().splitlines())
            loaded = sum(len(rules) for chain, rules in chains.items() if chain.startswith("OVERLAB"))
            jumps = any(rule.endswith("-j OVERLAB") for rule in chains.get("INPUT", []))
            jumps = jumps and "-j OVERLAB-WORKLOADS" in chains.get("DOCKER-USER", [])
            if not jumps or loaded != wanted or not _asks_user_first(forward):
                yield FIREWALL_RULES
        if "engine" not in self._errors:
            # One of each table.
            isolates = "-j DOCKER-ISOLATION-STAGE-1" in forward and "-j DOCKER-USER" in forward
            publishes = any(rule.endswith("-j DOCKER") for rule in chains.get("PREROUTING", []))
            if not isolates or not publishes:
                yield ENGINE_RULES

    def dropping_rules(self) -> list[str]:
        """Rules of the built-in chains that drop VXLAN or gossip from anywhere, before any that accepts it."""
        found: list[str] = []
        accepted: set[tuple[str, str]] = set()
        try:
            rules = self._run("iptables-save").splitlines()
        except FileNotFoundError:
            return found
        for line in rules:
            match = OVERLAY_RULE.fullmatch(line)
            if match and match["verdict"] == "ACCEPT":
                accepted.add((match["chain"], match["port"]))
            elif match and (match["chain"], match["port"]) not in accepted:
                found.append(line)
        return found

    def store(self) -> dict[str, Any] | None:
        """The store's answers to this node: leader, peers, and the keys of networks, endpoints and engines."""
        client = self._client()
        if not client:
            return None
        done = subprocess.run(
            [*client, "report", *KEYS], capture_output=True, text=True, timeout=self._remaining(), check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _client(self) -> list[str]:
        """The command that asks the store; empty where the engine has none."""
        if self.store_client.startswith("/"):
            return [self.store_client]
        kind, _, addresses = self._store.partition("://")
        if not kind:
            return []
        text = json.loads(self.store_client)[kind]
        endpoints = tuple(addresses.split("/")[0].split(","))
        return ["python3", "-IS", "-c", text.replace("('OVERLAB-STORE',)", repr(endpoints))]

    # -- calls, each within the remaining time ---------------------------------------------------------

    def _remaining(self, limit_s: float = CALL_LIMIT_S) -> float:
        remaining = min(limit_s, self._deadline - time.monotonic())
        if remaining <= 0:
            raise OutOfTime
        return remaining

    def _engine(self, path: str, limit_s: float = CALL_LIMIT_S) -> Any:
        if "engine" in self._errors:  # One that hangs is not waited for again.
            raise RuntimeError("the engine did not answer before")
        status, body = _get(socket.AF_UNIX, ENGINE_SOCKET, f"/v1.40{path}", self._remaining(limit_s))
        if status != 200:
            raise RuntimeError(f"the engine answered {status} to {path}: {body[:300]}")
        return json.loads(body)

    def _run(self, *cmd: str, ok: tuple[int, ...] = (0,), stdin: str = "") -> str:
        done = subprocess.run(cmd, input=stdin, capture_output=True, text=True, timeout=self._remaining(), check=False)
        if done.returncode not in ok:
            raise RuntimeError(f"{' '.join(cmd)} ended with {done.returncode}: {done.stderr.strip()[:300]}")
        return done.stdout

    def _json(self, *cmd: str) -> list[dict[str, Any]]:
        return next(_lists(self._run(*cmd)), [])

    def _ip(self, namespace: str | Path, *commands: str) -> list[list[dict[str, Any]]]:
        """What commands of ``ip`` list in a network namespace, in one process, which costs more than a list."""
        cmd = ("nsenter", f"--net={namespace}", "ip", "-j", "-d", "-batch", "-")
        found = list(_lists(self._run(*cmd, stdin="\n".join(commands))))
        # Nothing is printed for an empty list, which only the last one can be: a namespace has a loopback.
        return [*found, *([] for _ in commands[len(found) :])]


def _asks_user_first(forward: list[str]) -> bool:
    """Whether DOCKER-USER is called before the engine accepts anything."""
    before = forward[: forward.index("-j DOCKER-USER")] if "-j DOCKER-USER" in forward else forward
    return not any(rule.endswith("-j ACCEPT") for rule in before)


def _is_overlay(file: Path) -> bool:
    """Whether a network's namespace is mounted there. The plain file of a removed one stays for a while."""
    named = re.fullmatch(r"[0-9]+-[0-9a-z]+", file.name) is not None
    return named and file.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev


def _get(family: int, address: Any, path: str, limit_s: float) -> tuple[int, str]:
    """Status and body. With Python's own client the imports take longer than all requests."""
    deadline, answer = time.monotonic() + limit_s, b""
    with socket.socket(family) as connection:
        connection.settimeout(limit_s)
        connection.connect(address)
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: node\r\n\r\n".encode())
        while part := connection.recv(1 << 20):
            answer += part
            connection.settimeout(max(0.001, deadline - time.monotonic()))
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    if not head.startswith("HTTP/"):
        raise RuntimeError(f"no answer to {path}")
    return int(head.split(" ", 2)[1]), body


def _lists(text: str) -> Iterator[list[dict[str, Any]]]:
    """Each list of objects, without the empty ones that iproute2 has where it left something out."""
    while text := text.strip():
        entries, end = json.JSONDecoder().raw_decode(text)
        yield [entry for entry in entries if entry]
        text = text[end:]


def _network_namespace(pid: int) -> int | None:
    """Inode of a process's network namespace; None without such a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").stat().st_ino if pid else None
    return None


def _endpoint(network: str, endpoint: dict[str, Any]) -> dict[str, Any]:
    names = {"network_id": "NetworkID", "id": "EndpointID", "address": "IPAddress", "mac": "MacAddress"}
    aliases = endpoint.get("Aliases") or []
    return {"network": network, "aliases": aliases, **{name: endpoint[key] for name, key in names.items()}}


def _network(listed: dict[str, Any]) -> dict[str, Any]:
    pools, options = listed["IPAM"].get("Config") or [{}], listed.get("Options") or {}
    vnis = [int(vni) for vni in options.get("com.docker.network.driver.overlay.vxlanid_list", "").split(",") if vni]
    containers = (listed.get("Containers") or {}).items()
    tasks = [task for service in (listed.get("Services") or {}).values() for task in service.get("Tasks") or ()]
    return {
        **{name.lower(): listed[name] for name in ("Id", "Name", "Driver", "Scope", "Internal")},
        **{name.lower(): pools[0].get(name, "") for name in ("Subnet", "Gateway")},
        "vnis": {pools[n]["Subnet"]: vni for n, vni in enumerate(vnis)},
        "encrypted": "encrypted" in options,
        "peers": sorted(peer["IP"] for peer in listed.get("Peers") or ()),
        "endpoints": {one["EndpointID"]: _listed_endpoint(container, one) for container, one in containers},
        "known": {
            task["EndpointID"]: {"name": task["Name"], "address": task["EndpointIP"], "node": task["Info"]["Host IP"]}
            for task in tasks
        },
    }


def _listed_endpoint(container: str, listed: dict[str, Any]) -> dict[str, str]:
    names = {"name": "Name", "mac": "MacAddress", "address": "IPv4Address"}
    return {"container": container, **{name: listed.get(key, "") for name, key in names.items()}}


def _is_up(link: dict[str, Any]) -> bool:
    return "UP" in link.get("flags", ())


def _port(link: dict[str, Any]) -> dict[str, Any]:
    return {"name": link["ifname"], "index": link["ifindex"], "peer": link.get("link_index"), "up": _is_up(link)}


def _interface(link: dict[str, Any]) -> dict[str, Any]:
    addresses = [f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", []) if a.get("family") == "inet"]
    return {**_port(link), "mac": link.get("address", ""), "mtu": link["mtu"], "addresses": addresses}


if __name__ == "__main__":
    for part in NodeCollector(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])).report():
        print(json.dumps(part), flush=True)
