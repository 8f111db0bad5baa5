"""Runs on a node, as root: what its engine, its kernel, its journal and the store say, as one JSON object on stdout.

``python3 - STORE-URL BRIDGE GUARD LIMIT-S < gather.py``. Standard library of Python 3.9 only; changes nothing.
A part that cannot be looked at is null, and ``errors`` says why; nothing here waits longer than LIMIT-S in all.
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
from pathlib import Path
from typing import Any

ENGINE_SOCKET = "/var/run/docker.sock"
NAMESPACES = Path("/run/docker/netns")
CALL_LIMIT_S = 20.0
KEYS = ("docker/nodes/", *(f"docker/network/v1.0/{part}/" for part in ("network", "endpoint", "overlay/network")))
MEMBER = re.compile(r"EventMember(\w+): (\S+) (\S+)")


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
        self._silent: str | None = None

    def report(self) -> dict[str, Any]:
        """Every part; the engine's containers come before the kernel's view of them."""
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
        found: dict[str, Any] = {"hostname": socket.gethostname()}
        errors = {}
        for name, look in parts.items():
            found[name] = None
            try:
                found[name] = look()
            except Exception as error:  # noqa: BLE001 - whatever goes wrong with a part, the others are still told
                errors[name] = f"{type(error).__name__}: {error}".strip()
        return {**found, "errors": errors}

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
        self._containers = [
            _container(self._engine(f"/containers/{c['Id']}/json")) for c in self._engine("/containers/json?all=1")
        ]
        return self._containers

    def networks(self) -> list[dict[str, Any]]:
        listed = [n for n in self._engine("/networks") if n["Driver"] == "overlay" or n["Name"] == self.bridge_name]
        return [_network(self._engine(f"/networks/{n['Id']}")) for n in listed]

    # -- the kernel ------------------------------------------------------------------------------------

    def sandboxes(self) -> dict[str, dict[str, Any]]:
        """By the file of its namespace, what is in each running container's network."""
        files = {c["sandbox_key"] for c in self._containers if c["running"] and c["mode"] != "host"} - {""}
        found = {}
        for file in sorted(files):
            links = self._json("nsenter", f"--net={file}", "ip", "-j", "address")
            routes = self._json("nsenter", f"--net={file}", "ip", "-j", "route")
            default = [route.get("gateway") for route in routes if route.get("dst") == "default"]
            found[file] = {
                "interfaces": [_interface(link) for link in links if "LOOPBACK" not in link["flags"]],
                "default_route": default[0] if default else None,
            }
        return found

    def overlays(self) -> list[dict[str, Any]]:
        """Each overlay's namespace: its file is named by a count and the beginning of the network's id."""
        # The directory is made with the first sandbox.
        files = sorted(NAMESPACES.iterdir()) if NAMESPACES.is_dir() else []
        return [self._overlay(file) for file in files if _is_overlay(file)]

    def _overlay(self, file: Path) -> dict[str, Any]:
        enter = ("nsenter", f"--net={file}")
        links = self._json(*enter, "ip", "-j", "-d", "link")
        kinds = [(link, link.get("linkinfo", {})) for link in links]
        devices = {link["ifname"]: info["info_data"]["id"] for link, info in kinds if info.get("info_kind") == "vxlan"}
        ports = [
            {"name": link["ifname"], "index": link["ifindex"], "peer": link.get("link_index")}
            for link, info in kinds
            if info.get("info_kind") == "veth" and "master" in link
        ]
        forwarding = self._json(*enter, "bridge", "-j", "fdb", "show")
        neighbours = self._json(*enter, "ip", "-j", "neigh", "show")
        return {
            "file": str(file),
            "network": file.name.split("-", 1)[1],
            "vnis": sorted(devices.values()),
            "ports": ports,
            "forwarding": [
                {"mac": entry["mac"], "to": entry["dst"]}
                for entry in forwarding
                if entry.get("ifname") in devices and "dst" in entry
            ],
            "neighbours": [
                {"address": entry["dst"], "mac": entry["lladdr"], "state": ",".join(entry.get("state", []))}
                for entry in neighbours
                if entry.get("dev") in devices and "lladdr" in entry
            ],
        }

    def bridge(self) -> list[dict[str, Any]]:
        """The virtual cables that end on the node's bridge for the way out."""
        if not Path("/sys/class/net", self.bridge_name).exists():
            return []
        links = self._json("ip", "-j", "-d", "link", "show", "master", self.bridge_name)
        return [{"name": link["ifname"], "index": link["ifindex"], "peer": link.get("link_index")} for link in links]

    # -- journal, guard and store ----------------------------------------------------------------------

    def gossip(self) -> dict[str, dict[str, str]]:
        """By peer: the last thing that this run of the engine said of it, and the address that it then had."""
        run = self._run("systemctl", "show", "-p", "InvocationID", "--value", "docker.service").strip()
        match = ("-u", "docker.service", f"_SYSTEMD_INVOCATION_ID={run}", "-g", "EventMember")
        text = self._run("journalctl", "-q", "-o", "cat", "--no-pager", *match, ok=(0, 1))
        return {peer: {"event": event, "address": address.rstrip('"')} for event, peer, address in MEMBER.findall(text)}

    def guard(self) -> dict[str, Any]:
        """Whether the guard watches, and whether an overlay's namespace went since the engine started."""
        unit = self._run("systemctl", "is-active", "overlab-engine-guard.path", ok=(0, 3, 4)).strip()
        done = subprocess.run(
            [self.guard_script, "look"], capture_output=True, text=True, timeout=self._left(), check=False
        )
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

    def _left(self) -> float:
        left = min(CALL_LIMIT_S, self._end - time.monotonic())
        if left <= 0:
            raise TimeoutError(f"not looked at: {self._limit_s:g} s were over")
        return left

    def _engine(self, path: str) -> Any:
        if self._silent is not None:
            raise RuntimeError(self._silent)
        connection = EngineConnection("docker", timeout=self._left())
        try:
            with contextlib.closing(connection):
                connection.request("GET", f"/v1.40{path}")
                answer = connection.getresponse()
                body = answer.read()
        except OSError as error:
            # One that hangs is not waited for again.
            self._silent = f"the engine did not answer {path}: {error}"
            raise
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
            raise RuntimeError(
                f"the store answered {error.code} to {path}: {error.read().decode(errors='replace')[:300]}"
            ) from error

    def _run(self, *cmd: str, ok: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(cmd, capture_output=True, text=True, timeout=self._left(), check=False)
        if done.returncode not in ok:
            raise RuntimeError(f"{' '.join(cmd)} ended with {done.returncode}: {done.stderr.strip()[:300]}")
        return done.stdout

    def _json(self, *cmd: str) -> list[dict[str, Any]]:
        # iproute2 has empty objects in a list where it left something out, and says nothing at all for no entries.
        entries: Iterator[dict[str, Any]] = iter(json.loads(self._run(*cmd) or "[]"))
        return [entry for entry in entries if entry]


def _is_overlay(file: Path) -> bool:
    return re.fullmatch(r"[0-9]+-[0-9a-z]+", file.name) is not None


def _container(inspected: dict[str, Any]) -> dict[str, Any]:
    settings = inspected["NetworkSettings"]
    return {
        "id": inspected["Id"],
        "name": inspected["Name"].lstrip("/"),
        "image": inspected["Config"]["Image"],
        "status": inspected["State"]["Status"],
        "running": inspected["State"]["Running"],
        "mode": inspected["HostConfig"]["NetworkMode"],
        "sandbox": settings.get("SandboxID", ""),
        "sandbox_key": settings.get("SandboxKey", ""),
        "endpoints": [
            {
                "network": name,
                "network_id": endpoint["NetworkID"],
                "id": endpoint["EndpointID"],
                "address": endpoint["IPAddress"],
                "mac": endpoint["MacAddress"],
                "gateway": endpoint["Gateway"],
                "aliases": endpoint.get("Aliases") or [],
            }
            for name, endpoint in (settings.get("Networks") or {}).items()
        ],
        "ports": sorted(
            f"{binding['HostPort']}->{port}"
            for port, bindings in (settings.get("Ports") or {}).items()
            for binding in bindings or []
        ),
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
            container: {"name": e["Name"], "id": e["EndpointID"], "address": e["IPv4Address"], "mac": e["MacAddress"]}
            for container, e in (inspected.get("Containers") or {}).items()
        },
    }


def _interface(link: dict[str, Any]) -> dict[str, Any]:
    peer: int | None = link.get("link_index")
    return {
        "name": link["ifname"],
        "index": link["ifindex"],
        "peer": peer,
        "mac": link.get("address", ""),
        "mtu": link["mtu"],
        "addresses": [f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", []) if a.get("family") == "inet"],
    }


if __name__ == "__main__":
    json.dump(Node(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])).report(), sys.stdout)
