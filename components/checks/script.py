"""Checks as shell: one script a node, so that sessions grow with nodes and not with pairs.

A check is a call of a shell function or command. Those that need a workload's tools run inside it
(``templates/checks_inside.sh.j2``); the others run on the node (``templates/checks.sh.j2``).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Any

from components.checks import bulk
from components.checks.facts import Facts
from components.checks.model import EXTERNAL, RECORD, Check
from components.config import conventions
from components.config.docker_names import advertised, store_address, store_url
from components.config.settings import Settings
from components.node import scripts, watchdog

INSIDE = frozenset({"ping-ip", "ping-name", "dns", "http", "tcp", "isolation", "shared"})
PING = ("ping", "-c", "1", "-W")
PACKET_HEADERS = 28
"""Bytes of IP and ICMP in a ping."""


def node_script(node: str, checks: Iterable[Check], settings: Settings, facts: Facts) -> str:
    """The script that runs a node's checks: records on stdout; exit code 1 and what failed on stderr if one did.

    Of the checks that run elsewhere only those count by which bulk comes to a workload of this node.
    """
    everything = list(checks)
    own = [check for check in everything if check.node == node]
    inside: dict[str, list[Check]] = {}
    for check in own:
        if check.kind in INSIDE:
            inside.setdefault(check.source, []).append(check)
    sources = [
        {"workload": source, "script": inside_script(found, settings, facts)} for source, found in inside.items()
    ]
    asked = dict.fromkeys(check.target for check in everything if check.kind == "tcp")
    return scripts.render(
        "checks",
        node=node,
        record=RECORD,
        sources=sources,
        calls=[_call(check, settings, facts) for check in own if check.kind not in INSIDE],
        listeners=[name for name in asked if settings.placement[name] == node],
        listener=scripts.render("listener", seconds=3 * conventions.CHECK_LIMIT_S, bulk=bulk),
        consul=f"http://{store_address(settings)}",
        bridge=conventions.GWBRIDGE,
        guard=watchdog.SCRIPT,
    )


def inside_script(checks: list[Check], settings: Settings, facts: Facts) -> str:
    """The part of a node's script that runs inside one workload."""
    calls = [_call(check, settings, facts) for check in checks]
    return scripts.render("checks_inside", record=RECORD, calls=calls, bulk=bulk)


def external_checks(checks: Iterable[Check], settings: Settings, facts: Facts) -> list[dict[str, Any]]:
    """The checks that run on the hypervisor's end: id, kind, title, expect, timeout_s, url."""
    return [
        {
            "id": check.id,
            "kind": check.kind,
            "title": check.title,
            "expect": check.expect,
            "timeout_s": check.timeout_s,
            "url": _published(check.target, settings, facts),
        }
        for check in checks
        if check.node == EXTERNAL
    ]


def _call(check: Check, settings: Settings, facts: Facts) -> dict[str, Any]:
    arguments = _ARGUMENTS[check.kind](check, settings, facts)
    return {
        "id": check.id,
        "kind": check.kind,
        "title": check.title,
        "expect": check.expect,
        "timeout_s": check.timeout_s,
        "argv": [str(argument) for argument in arguments],
    }


def _address(workload: str, overlay: str, facts: Facts) -> str:
    return facts.addresses[workload][overlay]


def _published(workload: str, settings: Settings, facts: Facts) -> str:
    spec = settings.workloads[workload]
    port = facts.ports.get(workload, {}).get(f"{spec.http_port}/tcp", 0)
    return f"http://{settings.nodes[settings.placement[workload]].address}:{port}/"


def _mtu(check: Check, settings: Settings) -> int:
    return settings.underlay_mtu(check.network) - conventions.VXLAN_OVERHEAD


def _interface(check: Check, settings: Settings, facts: Facts) -> list[Any]:
    # With several overlays the engine joins them in no fixed order.
    device = "eth0" if len(settings.workloads[check.source].networks) == 1 else ""
    prefix = IPv4Network(facts.networks[check.network]["subnet"]).prefixlen
    address = f"{_address(check.source, check.network, facts)}/{prefix}"
    return ["interface", check.source, device, address, _mtu(check, settings)]


def _bridge(check: Check, settings: Settings, _: Facts) -> list[Any]:
    device = "eth1" if len(settings.workloads[check.source].networks) == 1 else ""
    return ["on_bridge", check.source, device]


def _shared(check: Check, settings: Settings, facts: Facts) -> list[Any]:
    """In the one that shares: the other's addresses, and its web server on loopback."""
    served = settings.workloads[check.target].http_port or settings.workloads[check.source].http_port or ""
    return ["shared", served, *facts.addresses[check.target].values()]


def _dns(check: Check, _: Settings, facts: Facts) -> list[Any]:
    owner, name = check.target.split("/", 1)
    return ["resolves", name, _address(owner, check.network, facts)]


def _http(check: Check, settings: Settings, _: Facts) -> list[Any]:
    return ["fetch", check.target, settings.workloads[check.target].http_port]


def _kv(check: Check, settings: Settings, facts: Facts) -> list[Any]:
    nodes = [f"docker/nodes/{advertised(node)}" for node in settings.nodes.values()]
    networks = [f"docker/network/v1.0/network/{facts.networks[name]['id']}/" for name in settings.networks]
    return ["in_store", *nodes, *networks]


_ARGUMENTS: dict[str, Any] = {
    "ping-ip": lambda c, s, f: [*PING, "2", _address(c.target, c.network, f)],
    "ping-name": lambda c, s, f: [*PING, "2", c.target],
    "isolation": lambda c, s, f: [*PING, "1", _address(c.target, c.network, f)],
    "dns": _dns,
    "http": _http,
    "http-node": lambda c, s, f: ["curl", "-fsS", "-m", "10", _published(c.target, s, f)],
    "tcp": lambda c, s, f: ["receives", _address(c.target, c.network, f)],
    "mtu": lambda c, s, f: ["full_size", c.source, _address(c.target, c.network, f), _mtu(c, s) - PACKET_HEADERS],
    "interface": _interface,
    "bridge": _bridge,
    "internal": lambda c, s, f: ["no_way_out", c.source],
    "shared": _shared,
    "network": lambda c, s, f: ["sees_network", c.network, f.networks[c.network]["id"]],
    "kv": _kv,
    "engine": lambda c, s, f: ["engine_has", store_url(s), advertised(s.nodes[c.node])],
}

__all__ = ["EXTERNAL", "external_checks", "inside_script", "node_script"]
