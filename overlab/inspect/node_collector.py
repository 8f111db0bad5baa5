"""Runs on a node, as root: what its engine, kernel, journal and cluster store report, one JSON object a line.

``python3 - STORE-CLIENT BRIDGE WATCHDOG LIMIT-S < node_collector.py``. Standard library of Python 3.9 only; read-only.
Each line is an object with one part. A part that cannot be collected is null, and the last line, ``errors``, has the
reason. Everything ends within LIMIT-S.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
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
MEMBER = re.compile(r"EventMember(\w+): (\S+) [0-9.]+")


class OutOfTime(Exception):
    """The limit of the whole report is over."""


class EngineConnection(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(ENGINE_SOCKET)


class NodeCollector:
    """The node that this runs on."""

    def __init__(self, store_client: str, bridge: str, watchdog: str, limit_s: float) -> None:
        self.store_client = store_client
        self.bridge = bridge
        self.watchdog_script = watchdog
        self._deadline = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._containers: list[dict[str, Any]] = []
        self._errors: dict[str, str] = {}

    def report(self) -> Iterator[dict[str, Any]]:
        """Part by part, each as soon as it is known; the sandboxes are those of the engine's containers."""
        parts: tuple[Callable[[], Any], ...] = (
            self.engine,
            self.unit,
            self.store,
            self.containers,
            self.networks,
            self.sandboxes,
            self.overlay_namespaces,
            self.gateway_ports,
            self.gossip,
            self.watchdog,
            self.configuration,
        )
        yield {"hostname": socket.gethostname()}
        for part in parts:
            yield {part.__name__: self._attempt(part.__name__, part)}
        yield {"errors": self._errors}

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

    def engine(self) -> dict[str, str]:
        info = self._engine("/info")
        return {
            "version": info["ServerVersion"],
            "store": info.get("ClusterStore", ""),
            "advertise": info.get("ClusterAdvertise", ""),
        }

    def unit(self) -> str:
        return self._run("systemctl", "show", "docker.service", "-p", "ActiveState", "--value").strip()

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
        """The lab's networks, and docker_gwbridge with its endpoints; the endpoints of overlays are the store's."""
        listed = [n for n in self._engine("/networks") if n["Driver"] in DRIVERS or n["Name"] == self.bridge]
        return [_network(self._engine(f"/networks/{n['Id']}") if n["Driver"] == "bridge" else n) for n in listed]

    # -- kernel ----------------------------------------------------------------------------------------

    def sandboxes(self) -> dict[str, dict[str, Any]]:
        """By file of its namespace: the network of each running container."""
        files = {c["sandbox_key"] for c in self._containers if c["running"] and c["network_mode"] != "host"} - {""}
        collected = {file: self._attempt(f"sandbox {file}", partial(self._sandbox, file)) for file in sorted(files)}
        return {file: sandbox for file, sandbox in collected.items() if sandbox}

    def _sandbox(self, file: str) -> dict[str, Any]:
        enter = ("nsenter", f"--net={file}")
        links = self._json(*enter, "ip", "-j", "address")
        routes = self._json(*enter, "ip", "-j", "route")
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
        enter = ("nsenter", f"--net={file}")
        kinds = [(link, link.get("linkinfo", {})) for link in self._json(*enter, "ip", "-j", "-d", "link")]
        devices = {link["ifname"]: info["info_data"]["id"] for link, info in kinds if info.get("info_kind") == "vxlan"}
        return {
            "file": str(file),
            "network": file.name.split("-", 1)[1],
            "devices": devices,
            "ports": [_port(link) for link, info in kinds if info.get("info_kind") == "veth" and "master" in link],
            "fdb": [
                {"mac": entry["mac"], "destination": entry["dst"]}
                for entry in self._json(*enter, "bridge", "-j", "fdb", "show")
                if entry.get("ifname") in devices and "dst" in entry
            ],
            "neighbors": [
                {"address": entry["dst"], "mac": entry["lladdr"]}
                for entry in self._json(*enter, "ip", "-j", "neigh", "show")
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
        """By peer: the last membership event that serf logged in this run of the engine."""
        invocation = self._run("systemctl", "show", "-p", "InvocationID", "--value", "docker.service").strip()
        match = ("-u", "docker.service", f"_SYSTEMD_INVOCATION_ID={invocation}", "-g", "EventMember")
        text = self._run("journalctl", "-q", "-o", "cat", "--no-pager", *match, ok=(0, 1))
        return {peer: {"event": event} for event, peer in MEMBER.findall(text)}

    def watchdog(self) -> dict[str, Any]:
        """Whether the watchdog is active, and whether a network's namespace was removed since the engine started."""
        unit = self._run("systemctl", "is-active", "overlab-dockerd-watchdog.path", ok=(0, 3, 4)).strip()
        cmd = [self.watchdog_script, "check"]
        done = subprocess.run(cmd, capture_output=True, text=True, timeout=self._remaining(), check=False)
        return {"active": unit == "active", "healthy": done.returncode == 0, "message": done.stderr.strip()}

    def configuration(self) -> list[str]:
        """What differs from what the last update put on the node: files, enabled units, the packet filter."""
        if not MANIFEST.exists():
            return []
        found = self._run("sha256sum", "--check", "--quiet", str(MANIFEST), ok=(0, 1)).splitlines()
        files = [line.partition(": ")[0] for line in found]
        units = [unit for unit in UNITS if unit != UNITS[-1] or RULES.exists()]
        listed = self._run("systemctl", "is-enabled", *units, ok=(0, 1)).split()
        disabled = [f"{unit} is {listed[n]}" for n, unit in enumerate(units) if listed[n] != "enabled"]
        return [*(f"{file} was changed" for file in files), *disabled, *self._packet_filter()]

    def _packet_filter(self) -> Iterator[str]:
        loaded = self._run("iptables", "-S").splitlines()
        if RULES.exists():
            wanted = sum(line.startswith("-A OVERLAB") for line in RULES.read_text().splitlines())
            jumps = any(line.startswith("-A INPUT") and line.endswith("-j OVERLAB") for line in loaded)
            if not jumps or sum(line.startswith("-A OVERLAB") for line in loaded) != wanted:
                yield "iptables: not the rules of overlab-firewall.service"
        if "engine" not in self._errors and "-A FORWARD -j DOCKER-USER" not in loaded:
            yield "iptables: not the rules of the engine"

    def store(self) -> dict[str, Any]:
        """The store's answers to this node: leader, peers, and the keys of networks, endpoints and engines."""
        cmd = [self.store_client, "report", *KEYS]
        done = subprocess.run(cmd, capture_output=True, text=True, timeout=self._remaining(), check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    # -- calls, each within the remaining time ---------------------------------------------------------

    def _remaining(self, limit_s: float = CALL_LIMIT_S) -> float:
        remaining = min(limit_s, self._deadline - time.monotonic())
        if remaining <= 0:
            raise OutOfTime
        return remaining

    def _engine(self, path: str, limit_s: float = CALL_LIMIT_S) -> Any:
        if "engine" in self._errors:  # One that hangs is not waited for again.
            raise RuntimeError("the engine did not answer before")
        connection = EngineConnection("docker", timeout=self._remaining(limit_s))
        with contextlib.closing(connection):
            connection.request("GET", f"/v1.40{path}")
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the engine answered {answer.status} to {path}: {body.decode(errors='replace')[:300]}")
        return json.loads(body)

    def _run(self, *cmd: str, ok: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(cmd, capture_output=True, text=True, timeout=self._remaining(), check=False)
        if done.returncode not in ok:
            raise RuntimeError(f"{' '.join(cmd)} ended with {done.returncode}: {done.stderr.strip()[:300]}")
        return done.stdout

    def _json(self, *cmd: str) -> list[dict[str, Any]]:
        # iproute2 has empty objects in a list where it left something out, and prints nothing for an empty list.
        entries: list[dict[str, Any]] = json.loads(self._run(*cmd) or "[]")
        return [entry for entry in entries if entry]


def _is_overlay(file: Path) -> bool:
    """Whether a network's namespace is mounted there. The plain file of a removed one stays for a while."""
    named = re.fullmatch(r"[0-9]+-[0-9a-z]+", file.name) is not None
    return named and file.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev


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
    subnet, *_ = listed["IPAM"].get("Config") or [{}]
    containers = (listed.get("Containers") or {}).values()
    return {
        **{name.lower(): listed[name] for name in ("Id", "Name", "Driver", "Scope", "Internal")},
        **{name.lower(): subnet.get(name, "") for name in ("Subnet", "Gateway")},
        "endpoints": {one["EndpointID"]: {"name": one["Name"], "mac": one["MacAddress"]} for one in containers},
    }


def _port(link: dict[str, Any]) -> dict[str, Any]:
    return {"name": link["ifname"], "index": link["ifindex"], "peer": link.get("link_index")}


def _interface(link: dict[str, Any]) -> dict[str, Any]:
    addresses = [f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", []) if a.get("family") == "inet"]
    return {**_port(link), "mac": link.get("address", ""), "mtu": link["mtu"], "addresses": addresses}


if __name__ == "__main__":
    for part in NodeCollector(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])).report():
        print(json.dumps(part), flush=True)
