"""Runs on a node of an attached cluster, behind ``node_collector.py``: what that reports, and a swarm's part.

``python3 - LIMIT-S < SCRIPT``. Standard library of Python 3.9 only; read-only. Only root gets the kernel's part.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from overlab.inspect.node_collector import KEYS, NodeCollector

BRIDGE = "docker_gwbridge"
OVERLAY_RULE = re.compile(
    r"-A (?P<chain>INPUT|OUTPUT|PREROUTING) -p (?:tcp|udp) (?:-m (?:tcp|udp) )?--dport (?P<port>4789|7946)"
    r" -j (?P<verdict>ACCEPT|DROP|REJECT)(?: --reject-with \S+)?"
)


class AttachedNodeCollector(NodeCollector):
    """A node whose engine has a store of its own, is in a swarm, or neither. Nothing of overlab is installed on it."""

    def __init__(self, limit_s: float) -> None:
        super().__init__("", BRIDGE, "", limit_s)
        self._store_address = ""

    def report(self) -> Iterator[dict[str, Any]]:
        yield {"clock": time.time()}
        yield {"dropping_rules": self._attempt("dropping_rules", self.dropping_rules)}
        yield from super().report()

    # -- engine ----------------------------------------------------------------------------------------

    def engine(self) -> dict[str, Any]:
        info = self._engine("/info")
        swarm, store = info.get("Swarm") or {}, info.get("ClusterStore", "")
        if store.startswith("consul://"):
            self._store_address = store.partition("://")[2]
        active = swarm.get("LocalNodeState") == "active"
        return {
            **super().engine(),
            "swarm_address": swarm.get("NodeAddr", "") if active else "",
            "swarm_nodes": self._swarm_nodes() if swarm.get("ControlAvailable") else {},
        }

    def _swarm_nodes(self) -> dict[str, str]:
        """Address -> state, as a manager has them."""
        return {node["Status"].get("Addr", ""): node["Status"]["State"] for node in self._engine("/nodes")}

    def networks(self) -> list[dict[str, Any]]:
        """Overlay networks, and docker_gwbridge. With endpoints, except where these are the store's."""
        listed = [n for n in self._engine("/networks") if n["Driver"] == "overlay" or n["Name"] == self.bridge]
        return [_network(self._inspected(network)) for network in listed]

    def _inspected(self, network: dict[str, Any]) -> dict[str, Any]:
        if network["Driver"] == "overlay" and network["Scope"] != "swarm":
            return network
        verbose = "?verbose=1" if network["Driver"] == "overlay" else ""
        found: dict[str, Any] = self._engine(f"/networks/{network['Id']}{verbose}")
        return found

    # -- what only a lab has, or another one has otherwise ---------------------------------------------

    def unit(self) -> str:
        try:
            return super().unit()
        except (OSError, RuntimeError, LookupError):
            return ""  # no systemd, or a unit of another name

    def gossip(self) -> dict[str, dict[str, str]]:
        """By serf's journal, which only engines with a store have."""
        return super().gossip() if self._store_address else {}

    def watchdog(self) -> None:  # type: ignore[override]  # there is none
        return None

    def configuration(self) -> list[str]:
        return []

    def store(self) -> dict[str, Any] | None:  # type: ignore[override]  # None without one
        """Consul's answers, as a lab's; None where the engine has no store."""
        if not self._store_address:
            return None
        leader = self._consul("/v1/status/leader")
        if not leader:
            return {"version": "", "leader": "", "peers": [], "keys": {}}
        keys: dict[str, str] = {}
        for prefix in KEYS:
            entries = self._consul(f"/v1/kv/{prefix}?recurse") or ()
            keys.update({entry["Key"]: entry["Value"] or "" for entry in entries})
        version = self._consul("/v1/agent/self")["Config"]["Version"]
        return {"version": version, "leader": leader, "peers": self._consul("/v1/status/peers"), "keys": keys}

    def _consul(self, path: str) -> Any:
        """None where there is no such key yet."""
        host, _, port = self._store_address.partition("/")[0].partition(":")
        with socket.create_connection((host, int(port or 8500)), timeout=self._remaining()) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            with connection.makefile("rb") as answer:
                head, _, body = answer.read().partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status == 404:
            return None
        if status != 200:
            raise RuntimeError(f"the store answered {status} to {path}: {body.decode(errors='replace')[:300]}")
        return json.loads(body)

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


if __name__ == "__main__":
    for one in AttachedNodeCollector(float(sys.argv[1])).report():
        print(json.dumps(one), flush=True)
