"""The first hop that fails is named, on a data plane as libnetwork makes it, without engines; and what repair heals."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from overlab.troubleshoot import repair, why
from tests.unit.troubleshoot.overlay_nodes import ADDRESS, IP, MAC, NEEDS, OverlayNodes, overlay_nodes
from tests.unit.troubleshoot.packet_faults import FAULTS, Fault

pytestmark = NEEDS
_EVERY = os.environ.get("OVERLAB_FAULTS") == "all"
SIDES = ("a", "b")
CASES = [
    (fault, side)
    for number, fault in enumerate(FAULTS)
    for side in SIDES
    if _EVERY or (number % 2 == 0 and SIDES[number // 2 % 2] == side)
]
"""A fault is on the node of the source or of the target. With OVERLAB_FAULTS=all each is on both, else half on one."""


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[OverlayNodes]:
    monkeypatch.setattr(why, "TRACE_S", 0.7)
    with overlay_nodes() as made:
        yield made


def _break(nodes: OverlayNodes, fault: Fault, side: str) -> None:
    other = "b" if side == "a" else "a"
    devices = {"eth": "eth0", "veth": "veth0", "bridge": "br0", "vxlan": "vxlan0", "nic": "under0"}
    peer = {"peer_ip": IP[other], "peer_mac": MAC[other], "peer_node": ADDRESS[other]}
    command = fault.command.format(overlay=nodes.file("overlay", side), net="10.0.9.0/24", **devices, **peer)
    if fault.place == "node":
        nodes.in_node(side, command)
    else:
        nodes.on(fault.place, side, command)


def test_packets_that_pass_are_seen_at_every_hop(nodes: OverlayNodes) -> None:
    answer = why.ask(nodes, "ta", "10.0.9.3")
    assert answer.failure is None
    assert answer.trace_errors == {}
    assert len(answer.hops) == 19
    assert why.exit_code(answer) == 0
    assert answer.hops[-1].evidence == "both ways"
    assert repair.plan(nodes) == []


@pytest.mark.parametrize(("fault", "side"), CASES, ids=[f"{fault.name} on {side}" for fault, side in CASES])
def test_the_first_hop_that_fails_is_named(nodes: OverlayNodes, fault: Fault, side: str) -> None:
    _break(nodes, fault, side)
    answer = why.ask(nodes, "ta", "10.0.9.3")
    assert answer.failure is not None
    assert answer.failure.id in fault.found, answer.failure
    assert why.exit_code(answer) == 1
    assert answer.failure.remedy
    planned = repair.plan(nodes)
    if fault.repaired:
        # A VXLAN device learns a missing FDB entry from packets of the other side.
        assert {step.node for step in planned} == {side} or fault.name == "FDB entry removed"
        assert repair.run(nodes, planned) == {}
        assert repair.plan(nodes) == []
        assert why.ask(nodes, "ta", "10.0.9.3").failure is None


def test_a_broken_path_is_the_cause_of_a_name_that_is_not_resolved(nodes: OverlayNodes) -> None:
    """There is no engine here, and so no resolver."""
    alone = why.ask(nodes, "ta", "tb")
    assert alone.failure is not None
    assert alone.failure.id == "name-not-resolved"
    nodes.on("overlay", "a", "ip link set vxlan0 down")
    both = why.ask(nodes, "ta", "tb")
    assert both.failure is not None
    assert both.failure.id == "device-down"
    assert [hop.failure.id for hop in both.hops if hop.failure] == ["name-not-resolved", "device-down"]
