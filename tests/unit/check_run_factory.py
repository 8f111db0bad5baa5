"""Runs of a lab's checks that never happened: for what shows, keeps and draws them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from components import checks
from components.checks.kinds import KINDS, Subject, command
from components.config.settings import Settings, parse
from overlab.checks import discovery
from overlab.checks.results import CheckRun, generation_of
from overlab.stack.outputs import Outputs

BEGUN = datetime(2026, 5, 1, 12, 30, 0, tzinfo=UTC)
NODE = "docker03 was not reached: ssh: connect to host 10.99.0.13 port 22: No route to host"


LAB: dict[str, object] = {
    "nodes": {"docker01": {}, "docker02": {}, "docker03": {}},
    "store": {"node": "docker01"},
    "networks": {
        "ov_net1": {"created_on": "docker02", "subnet": "10.0.0.0/24"},
        "ov_net2": {"created_on": "docker01"},
        "ov_net3": {"created_on": "docker03", "subnet": "172.19.0.0/24", "gateway": "172.19.0.1"},
        "ov_closed": {"created_on": "docker01", "subnet": "10.0.8.0/24", "internal": True},
    },
    "workloads": {
        "t1": {"node": "docker01", "networks": ["ov_net1"]},
        "t2": {"node": "docker02", "networks": ["ov_net1"]},
        "t3": {"node": "docker03", "networks": ["ov_net1", "ov_net2"]},
        "t4": {"node": "docker02", "networks": {"ov_net3": {"ipv4_address": "172.19.0.44", "aliases": ["four"]}}},
        "c1": {"node": "docker01", "networks": ["ov_closed"]},
        "c2": {"node": "docker03", "networks": ["ov_closed"]},
        "web1": {
            "node": "docker01",
            "image": "nginx:1.18",
            "networks": ["ov_net2"],
            "ports": [{"target": 80, "published": 90}],
            "http_port": 80,
        },
        "web2": {
            "node": "docker02",
            "image": "nginx:1.18",
            "networks": ["ov_net2"],
            "ports": [{"target": 80}],
            "http_port": 80,
        },
        "web5": {"node": "docker02", "networks": {"ov_net3": {"ipv4_address": "172.19.0.55"}}, "http_port": 8080},
        "web6": {"network_mode": "container:web5"},
    },
}
"""Something of everything that a lab can have."""


def lab() -> Settings:
    return parse(LAB, "seed")


def outputs(settings: Settings) -> Outputs:
    """As ``up`` would leave them."""
    addresses = {
        name: {
            overlay: str(one.ipv4_address or f"10.0.{number}.{host}")
            for number, (overlay, one) in enumerate(settings.workloads[spec.shares_network_of or name].networks.items())
        }
        for host, (name, spec) in enumerate(settings.workloads.items(), 2)
    }
    engine = {"version": "20.10.5", "store": "consul://10.99.0.11:8500", "installed_from": "preinstalled"}
    return Outputs(
        nodes={
            key: {"address": str(node.address), "engine": engine | {"advertise": f"{node.address}:2376"}}
            for key, node in settings.nodes.items()
        },
        networks={
            name: {
                "id": f"{number:x}" * 64,
                "subnet": str(spec.subnet or f"10.0.{number}.0/24"),
                "scope": "global",
                "created_on": spec.created_on,
            }
            for number, (name, spec) in enumerate(settings.networks.items(), 10)
        },
        workloads={name: {"node": settings.placement[name], "addresses": one} for name, one in addresses.items()},
        ports={
            name: {
                f"{spec.http_port}/tcp": next((port.published for port in spec.ports if port.published), None) or 49153
            }
            for name, spec in settings.workloads.items()
            if spec.ports or spec.publish_all
        },
    )


def run(
    settings: Settings, failed: Mapping[str, str] | None = None, unreached: str = "", only: tuple[str, ...] = ()
) -> CheckRun:
    """Everything passed, but what ``failed`` (id -> output), and what the node ``unreached`` should have run."""
    bad = failed or {}
    commands = _commands(settings)
    results = []
    for check in checks.matrix(settings):
        if check.node == unreached:
            results.append(checks.result(check, "not run", output=NODE))
            continue
        got = "fail" if (check.expect == "pass") == (check.id in bad) else "pass"
        output = bad.get(check.id, "1 packets transmitted, 1 packets received, 0% packet loss")
        seconds = 90 if check.id in bad else len(check.id) % 4
        results.append(checks.result(check, got=got, seconds=seconds, command=commands[check.id], output=output))
    return CheckRun(
        lab=settings.name,
        begun=BEGUN,
        seconds=21.5,
        sessions=len(settings.nodes) - bool(unreached),
        generation=generation_of(outputs(settings).networks),
        results=tuple(results),
        notes=(NODE,) if unreached else (),
        only=only,
    )


def _commands(settings: Settings) -> dict[str, str]:
    """What was run for each check."""
    facts, _ = discovery.facts(settings, outputs(settings), [])
    lab = checks.CheckedLab.of(settings)
    matrix = checks.matrix(settings)
    return {check.id: command(check, KINDS[check.kind].probe(Subject(check, lab, facts))) for check in matrix}


FAILURES = {
    "ping-ip:ov_net1:t1:t3": "PING 10.0.0.4: 56 data bytes\n1 packets transmitted, 0 received, 100% packet loss",
    "ping-name:ov_net1:t1:t3": "ping: bad address 't3'",
    "mtu:ov_net1:t2:t3": "ping: local error: message too long, mtu=1400",
    "kv:docker02": "the store has no key docker/nodes/10.99.0.13:2376",
}
"""What a gossip partition may look like."""
