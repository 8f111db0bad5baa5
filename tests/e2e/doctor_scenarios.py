"""Faults on the path of a packet between two workloads: named by ``overlab why``, healed by ``overlab repair``.

Every fault is undone by its test.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import rotation
from tests.e2e.lab import Done, RealLab
from tests.unit.troubleshoot.packet_faults import FAULTS, Fault

EVERY = os.environ.get("OVERLAB_FAULTS") == "all"
WHY_LIMIT_S = 5.0
QUICK = ("FDB entry removed", "neighbor wrong", "veth detached", "node drops incoming VXLAN", "route removed")
ON_ENGINES = (
    Fault(
        "resolver does not answer",
        "sandbox",
        "iptables-save -t nat > /run/nat-saved; iptables -t nat -F",
        "iptables-restore < /run/nat-saved",
        ("name-not-resolved",),
    ),
    Fault(
        "name has another address",
        "node",
        "docker exec {name} sh -c 'echo 10.0.0.99 {peer} >> /etc/hosts'",
        "docker exec {name} sh -c 'sed /10.0.0.99/d /etc/hosts > /h; cat /h > /etc/hosts'",
        ("name-address-mismatch",),
    ),
    Fault("target stopped", "peer", "docker stop -t 0 {peer}", "docker start {peer}", ("error",)),
    Fault("target paused", "peer", "docker pause {peer}", "docker unpause {peer}", ("passes",)),
)
"""What needs an engine: with ``{name}`` of the workload, and ``{peer}`` of the other one."""
_PLACES = """\
network=$(docker network inspect -f '{{{{.Id}}}}' {network} | cut -c 1-10)
overlay=$(ls /run/docker/netns/*-$network)
sandbox=$(docker inspect -f '{{{{.NetworkSettings.SandboxKey}}}}' {name})
address=$(docker inspect -f '{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}' {name})
mac=$(docker inspect -f '{{{{.NetworkSettings.Networks.{network}.MacAddress}}}}' {name})
eth=$(nsenter --net=$sandbox ip -o link | grep $mac | sed 's/^[0-9]*: //; s/@.*//')
index=$(nsenter --net=$sandbox ip -o link show $eth | sed 's/.*@if//; s/:.*//')
veth=$(nsenter --net=$overlay ip -o link | grep "^$index:" | sed 's/^[0-9]*: //; s/@.*//')
vxlan=$(nsenter --net=$overlay ip -o link show type vxlan | sed 's/^[0-9]*: //; s/[@:].*//')
bridge=$(nsenter --net=$overlay ip -o link show type bridge | sed 's/^[0-9]*: //; s/:.*//')
net=$(nsenter --net=$sandbox ip route | grep "dev $eth .*scope link" | cut -d' ' -f1)
nic=$(ip -o route get {peer_node} | sed 's/.*dev //; s/ .*//')
for name in overlay sandbox address mac eth veth vxlan bridge net nic; do eval echo $name=\\$$name; done
"""


@dataclass(frozen=True)
class Workload:
    """A container on an overlay network, and where it is in the kernel of its node."""

    name: str
    node: str
    node_address: str
    places: dict[str, str]


def workloads(lab: RealLab, network: str, names: Sequence[tuple[str, str, str]]) -> tuple[Workload, Workload]:
    """Two workloads by name, node and the node's address."""
    found = []
    for (name, node, address), (_, _, peer_node) in zip(names, reversed(names), strict=True):
        script = _PLACES.format(network=network, name=name, peer_node=peer_node)
        lines = lab.on(node, script).split()
        found.append(Workload(name, node, address, dict(line.split("=", 1) for line in lines)))
    return found[0], found[1]


def _on(lab: RealLab, fault: Fault, command: str, own: Workload, peer: Workload) -> None:
    text = command.format(
        **own.places,
        name=own.name,
        peer=peer.name,
        peer_ip=peer.places["address"],
        peer_mac=peer.places["mac"],
        peer_node=peer.node_address,
    )
    enter = {"node": "", "peer": ""}.get(fault.place, f"nsenter --net={own.places.get(fault.place)} ")
    node = peer.node if fault.place == "peer" else own.node
    lab.on(node, f"{enter}sh -ec {_quoted(text)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def answer(done: Done) -> tuple[str, dict[str, Any]]:
    """What ``why --json`` names: the finding's id, ``passes`` or ``error``."""
    if not done.stdout:
        return "error", {}
    found: dict[str, Any] = json.loads(done.stdout)
    return (found["failure"]["id"] if found["failure"] else "passes"), found


@contextlib.contextmanager
def fault_on(lab: RealLab, fault: Fault, own: Workload, peer: Workload) -> Iterator[None]:
    _on(lab, fault, fault.command, own, peer)
    try:
        yield
    finally:
        if fault.undo:
            _on(lab, fault, fault.undo, own, peer)


def named_and_healed(
    lab: RealLab, doctor: RealLab, fault: Fault, own: Workload, source: Workload, target: Workload, *options: str
) -> tuple[str, float]:
    """The fault is on the node of ``own``. What ``why`` named, and in how many seconds; it has to be right."""
    peer = target if own is source else source
    asked = ("why", source.name, target.name, "--json")
    with fault_on(lab, fault, own, peer):
        named, found = answer(doctor.overlab(*asked))
        assert named in fault.found, f"{fault.name} on {own.node}: {named}"
        # With a store, entries that are both missing are normal until a packet is sent.
        if fault.repaired and named != "peer-not-resolved":
            doctor.overlab("repair", *options).ok()
            again, _ = answer(doctor.overlab(*asked))
            assert again == "passes", f"{fault.name} on {own.node}: not healed: {again}"
    return named, found.get("seconds", 0.0)


def faults_are_named_and_healed(lab: RealLab, network: str, names: Sequence[tuple[str, str, str]]) -> None:
    """Each on one of the two nodes in turn; all of them with OVERLAB_FAULTS=all."""
    pair = workloads(lab, network, names)
    chosen = [fault for fault in (*FAULTS, *ON_ENGINES) if fault.undo and (EVERY or fault.name in QUICK)]
    for number, fault in enumerate(chosen):
        own = pair[0] if fault in ON_ENGINES else pair[number % 2]
        named, seconds = named_and_healed(lab, lab, fault, own, *pair)
        print(f"{fault.name} on {own.node}: {named} in {seconds} s", flush=True)
    assert answer(lab.overlab("why", pair[0].name, pair[1].name, "--json"))[0] == "passes"


def a_repair_disturbs_nobody(
    lab: RealLab, network: str, names: Sequence[tuple[str, str, str]], bystander: tuple[str, str, str]
) -> None:
    """A 10 Hz ping between two other workloads, over a repair, loses at most one packet."""
    own, peer = workloads(lab, network, names)
    fault = next(one for one in FAULTS if one.name == "FDB entry wrong")
    with fault_on(lab, fault, own, peer), rotation.ping(lab, *bystander) as lost:
        dry = lab.overlab("repair", "--dry-run").ok().stdout
        assert f"bridge fdb replace {peer.places['mac']}" in dry
        assert answer(lab.overlab("why", own.name, peer.name, "--json"))[0] == "fdb-mismatch"
        assert "1 of 1 repaired" in lab.overlab("repair").ok().stdout
        time.sleep(4)
    assert lost() <= 1


def the_lab_as_a_cluster_that_was_attached(lab: RealLab, addresses: Sequence[str], scratch: Path) -> None:
    """Without its stack file, with a node that does not answer, and with a host key that is another one's."""
    identity = Path(lab.record()["identity"]["client_key"])
    own = ["--identity", str(identity), "--known-hosts"]
    doctor = RealLab("attached", scratch, network=f"overlab-{lab.stack}")
    urls = [f"ssh://root@{address}" for address in addresses]
    doctor.overlab("attach", "attached", *urls, *own, str(identity.with_name("known_hosts"))).ok()
    status = json.loads(doctor.overlab("status", "--json").ok().stdout)
    assert (status["attached"], status["healthy"], status["findings"]) == (True, True, [])
    assert answer(doctor.overlab("why", "t1", "t2", "--json"))[0] == "passes"
    assert "nothing to repair" in doctor.overlab("repair").ok().stdout
    doctor.overlab("detach", "attached").ok()

    other = scratch / "known_hosts"
    keys = [line.split() for line in identity.with_name("known_hosts").read_text().splitlines()]
    other.write_text("".join(f"{host} {kind} {keys[0][2]}\n" for host, kind, _ in keys))
    nobody = f"{urls[0].rpartition('.')[0]}.250"
    doctor.overlab("attach", "attached", *urls, nobody, *own, str(other)).ok()
    done = doctor.overlab("status", "--json")
    assert done.code == 1
    errors = [node["error"] for node in json.loads(done.stdout)["nodes"]]
    assert errors[0] is None
    assert all("Host key verification failed" in error for error in errors[1:-1])
    assert "No route" in errors[-1] or "no answer" in errors[-1] or "timed out" in errors[-1], errors[-1]
    doctor.overlab("detach", "attached").ok()
