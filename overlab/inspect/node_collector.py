"""Runs on a node, as root: what its engine, its kernel, its journal and the store say, a line of JSON for each part.

``python3 - STORE-URL BRIDGE GUARD LIMIT-S < node_collector.py``. Standard library of Python 3.9 only; changes nothing.
Each line is an object with one part. A part that cannot be looked at is null, and the last line, ``errors``, says why;
nothing here waits longer than LIMIT-S in all.
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
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ENGINE_SOCKET = "/var/run/docker.sock"
NAMESPACES = Path("/run/docker/netns")
CALL_LIMIT_S = 30.0
CONTAINER_LIMIT_S = 8.0
"""The engine does not answer for a container that it is busy with."""
KEYS = ("docker/nodes/", *(f"docker/network/v1.0/{part}/" for part in ("network", "endpoint", "overlay/network")))
MEMBER = re.compile(r"EventMember(\w+): (\S+) ([0-9.]+)")


class EngineConnection(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(ENGINE_SOCKET)


class Node:
    """The node that this runs on."""

    def __init__(self, store: str, bridge: str, guard: str, limit_s: float) -> None:
        self.store_url = store
        self.bridge_name = bridge
        self.guard_script = guard
        self._end = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._containers: list[dict[str, Any]] = []
        self._errors: dict[str, str] = {}

    def report(self) -> Iterator[dict[str, Any]]:
        """Part by part, as they are found; the engine's containers come before the kernel's view of them."""
        parts: dict[str, Callable[[], Any]] = {
            "engine": self.engine,
            "unit": self.unit,
            "store": self.store,
            "containers": self.containers,
            "networks": self.networks,
            "sandboxes": self.sandboxes,
            "overlays": self.overlays,
            "bridge": self.bridge,
            "gossip": self.gossip,
            "guard": self.guard,
        }
        yield {"hostname": socket.gethostname()}
        for name, look in parts.items():
            yield {name: self._noted(name, look)}
        yield {"errors": self._errors}

    def _noted(self, name: str, look: Callable[[], Any]) -> Any:
        """What is there; or None, and why under this name."""
        try:
            return look()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with one thing, the others are looked at
            self._errors[name] = f"{type(error).__name__}: {error}".strip()
            return None

    # -- the engine ------------------------------------------------------------------------------------

    def engine(self) -> dict[str, Any]:
        info = self._engine("/info")
        return {
            "version": info["ServerVersion"],
            "store": info.get("ClusterStore", ""),
            "advertise": info.get("ClusterAdvertise", ""),
            "live_restore": info["LiveRestoreEnabled"],
            "kernel": info["KernelVersion"],
        }

    def unit(self) -> dict[str, str]:
        """The engine's unit: its state, and since when it runs."""
        names = ("ActiveState", "ActiveEnterTimestamp", "InvocationID")
        text = self._run("systemctl", "show", "docker.service", "-p", ",".join(names))
        shown = dict(line.split("=", 1) for line in text.splitlines())
        return {"state": shown["ActiveState"], "since": shown["ActiveEnterTimestamp"], "run": shown["InvocationID"]}

    def containers(self) -> list[dict[str, Any]]:
        self._containers = [self._container(one) for one in self._engine("/containers/json?all=1")]
        return self._containers

    def _container(self, listed: dict[str, Any]) -> dict[str, Any]:
        """The list is answered also while the engine is busy with a container; what it leaves out may be missing."""
        name = min(listed["Names"], key=len).lstrip("/")
        inspect = partial(self._engine, f"/containers/{listed['Id']}/json", CONTAINER_LIMIT_S)
        known = self._noted(f"container {name}", inspect)
        settings = (known or listed)["NetworkSettings"]
        ports = {f"{p['PublicPort']}->{p['PrivatePort']}/{p['Type']}" for p in listed["Ports"] if "PublicPort" in p}
        return {
            "id": listed["Id"],
            "name": name,
            "image": listed["Image"],
            "status": listed["Status"],
            "running": listed["State"] == "running",
            "mode": listed["HostConfig"]["NetworkMode"],
            "sandbox": settings.get("SandboxID", ""),
            "sandbox_key": settings.get("SandboxKey", ""),
            "namespace": _namespace(known["State"]["Pid"]) if known else None,
            "endpoints": [_endpoint(name, end) for name, end in (settings.get("Networks") or {}).items()],
            "ports": sorted(ports),
        }

    def networks(self) -> list[dict[str, Any]]:
        """The overlays, and the node's bridge with its endpoints; those of overlays are better asked of the store."""
        listed = [n for n in self._engine("/networks") if n["Driver"] == "overlay" or n["Name"] == self.bridge_name]
        return [_network(self._engine(f"/networks/{n['Id']}") if n["Driver"] == "bridge" else n) for n in listed]

    # -- the kernel ------------------------------------------------------------------------------------

    def sandboxes(self) -> dict[str, dict[str, Any]]:
        """By the file of its namespace, what is in each running container's network."""
        files = {c["sandbox_key"] for c in self._containers if c["running"] and c["mode"] != "host"} - {""}
        found = {file: self._noted(f"sandbox {file}", partial(self._sandbox, file)) for file in sorted(files)}
        return {file: one for file, one in found.items() if one}

    def _sandbox(self, file: str) -> dict[str, Any]:
        enter = ("nsenter", f"--net={file}")
        links = self._json(*enter, "ip", "-j", "address")
        routes = self._json(*enter, "ip", "-j", "route")
        default = [route.get("gateway") for route in routes if route.get("dst") == "default"]
        return {
            "interfaces": [_interface(link) for link in links if "LOOPBACK" not in link["flags"]],
            "default_route": default[0] if default else None,
        }

    def overlays(self) -> list[dict[str, Any]]:
        """Each overlay's namespace: its file is named by a count and the beginning of the network's id."""
        # The directory is made with the first sandbox.
        files = [file for file in sorted(NAMESPACES.iterdir()) if _is_overlay(file)] if NAMESPACES.is_dir() else []
        found = [self._noted(f"overlay {file.name}", partial(self._overlay, file)) for file in files]
        return [one for one in found if one]

    def _overlay(self, file: Path) -> dict[str, Any]:
        enter = ("nsenter", f"--net={file}")
        kinds = [(link, link.get("linkinfo", {})) for link in self._json(*enter, "ip", "-j", "-d", "link")]
        devices = {link["ifname"]: info["info_data"]["id"] for link, info in kinds if info.get("info_kind") == "vxlan"}
        forwarding = self._json(*enter, "bridge", "-j", "fdb", "show")
        neighbours = self._json(*enter, "ip", "-j", "neigh", "show")
        return {
            "file": str(file),
            "network": file.name.split("-", 1)[1],
            "devices": devices,
            "ports": [_port(link) for link, info in kinds if info.get("info_kind") == "veth" and "master" in link],
            "forwarding": [
                {"mac": entry["mac"], "to": entry["dst"], "device": entry["ifname"]}
                for entry in forwarding
                if entry.get("ifname") in devices and "dst" in entry
            ],
            "neighbours": [
                {"address": entry["dst"], "mac": entry["lladdr"], "device": entry["dev"]}
                for entry in neighbours
                if entry.get("dev") in devices and "lladdr" in entry
            ],
        }

    def bridge(self) -> list[dict[str, Any]]:
        """The virtual cables that end on the node's bridge for the way out."""
        if not Path("/sys/class/net", self.bridge_name).exists():
            return []
        return [_port(link) for link in self._json("ip", "-j", "-d", "link", "show", "master", self.bridge_name)]

    # -- journal, guard and store ----------------------------------------------------------------------

    def gossip(self) -> dict[str, dict[str, str]]:
        """By peer: the last thing that this run of the engine said of it, and the address that it then had."""
        run = self._run("systemctl", "show", "-p", "InvocationID", "--value", "docker.service").strip()
        match = ("-u", "docker.service", f"_SYSTEMD_INVOCATION_ID={run}", "-g", "EventMember")
        text = self._run("journalctl", "-q", "-o", "cat", "--no-pager", *match, ok=(0, 1))
        return {peer: {"event": event, "address": address} for event, peer, address in MEMBER.findall(text)}

    def guard(self) -> dict[str, Any]:
        """Whether the guard watches, and whether an overlay's namespace went since the engine started."""
        unit = self._run("systemctl", "is-active", "overlab-dockerd-watchdog.path", ok=(0, 3, 4)).strip()
        cmd = [self.guard_script, "check"]
        done = subprocess.run(cmd, capture_output=True, text=True, timeout=self._left(), check=False)
        return {"watching": unit == "active", "sound": done.returncode == 0, "says": done.stderr.strip()}

    def store(self) -> dict[str, Any]:
        """What the store says when asked from here: leader, peers, and the keys that matter, values in base64."""
        leader = self._get("/v1/status/leader")
        if not leader:
            return {"version": "", "leader": "", "peers": [], "keys": {}}
        keys: dict[str, str] = {}
        for prefix in KEYS:
            with contextlib.suppress(LookupError):  # no such key yet
                keys.update({entry["Key"]: entry["Value"] or "" for entry in self._get(f"/v1/kv/{prefix}?recurse")})
        version = self._get("/v1/agent/self")["Config"]["Version"]
        return {"version": version, "leader": leader, "peers": self._get("/v1/status/peers"), "keys": keys}

    # -- calls, each within what is left of the time ---------------------------------------------------

    def _left(self, limit_s: float = CALL_LIMIT_S) -> float:
        left = min(limit_s, self._end - time.monotonic())
        if left <= 0:
            raise TimeoutError(f"not looked at: {self._limit_s:g} s were over")
        return left

    def _engine(self, path: str, limit_s: float = CALL_LIMIT_S) -> Any:
        if "engine" in self._errors:  # One that hangs is not waited for again.
            raise RuntimeError("the engine did not answer before")
        connection = EngineConnection("docker", timeout=self._left(limit_s))
        with contextlib.closing(connection):
            connection.request("GET", f"/v1.40{path}")
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the engine answered {answer.status} to {path}: {body.decode(errors='replace')[:300]}")
        return json.loads(body)

    def _get(self, path: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.store_url}{path}", timeout=self._left()) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise LookupError(path) from error
            text = error.read().decode(errors="replace")[:300]
            raise RuntimeError(f"the store answered {error.code} to {path}: {text}") from error

    def _run(self, *cmd: str, ok: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(cmd, capture_output=True, text=True, timeout=self._left(), check=False)
        if done.returncode not in ok:
            raise RuntimeError(f"{' '.join(cmd)} ended with {done.returncode}: {done.stderr.strip()[:300]}")
        return done.stdout

    def _json(self, *cmd: str) -> list[dict[str, Any]]:
        # iproute2 has empty objects in a list where it left something out, and says nothing at all for no entries.
        entries: list[dict[str, Any]] = json.loads(self._run(*cmd) or "[]")
        return [entry for entry in entries if entry]


def _is_overlay(file: Path) -> bool:
    """Whether an overlay's namespace is mounted there. The plain file of one that is gone stays for a while."""
    named = re.fullmatch(r"[0-9]+-[0-9a-z]+", file.name) is not None
    return named and file.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev


def _namespace(pid: int) -> int | None:
    """Inode of a process's network namespace; None where there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").stat().st_ino if pid else None
    return None


def _endpoint(network: str, end: dict[str, Any]) -> dict[str, Any]:
    return {
        "network": network,
        "network_id": end["NetworkID"],
        "id": end["EndpointID"],
        "address": end["IPAddress"],
        "mac": end["MacAddress"],
        "gateway": end["Gateway"],
        "aliases": end.get("Aliases") or [],
    }


def _network(inspected: dict[str, Any]) -> dict[str, Any]:
    ranges: list[dict[str, str]] = inspected["IPAM"].get("Config") or []
    first: dict[str, str] = ranges[0] if ranges else {}
    return {
        "id": inspected["Id"],
        "name": inspected["Name"],
        "driver": inspected["Driver"],
        "scope": inspected["Scope"],
        "internal": inspected["Internal"],
        "subnet": first.get("Subnet", ""),
        "gateway": first.get("Gateway", ""),
        "endpoints": {
            end["EndpointID"]: {"name": end["Name"], "address": end["IPv4Address"], "mac": end["MacAddress"]}
            for end in (inspected.get("Containers") or {}).values()
        },
    }


def _port(link: dict[str, Any]) -> dict[str, Any]:
    return {"name": link["ifname"], "index": link["ifindex"], "peer": link.get("link_index")}


def _interface(link: dict[str, Any]) -> dict[str, Any]:
    addresses = [f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", []) if a.get("family") == "inet"]
    return {**_port(link), "mac": link.get("address", ""), "mtu": link["mtu"], "addresses": addresses}


if __name__ == "__main__":
    for part in Node(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])).report():
        print(json.dumps(part), flush=True)
