"""Histories of faults, drawn by a seed: the kinds of ``tests/e2e/faults.py``, and those of links and commands."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

from overlab.core.process import ProcessRecord
from overlab.platform.private_dockerd import PrivateDockerd
from tests.e2e import faults
from tests.explorers.lab import ExplorerLab

NODES = faults.NODES
WORKLOADS = ("a1", "b1", "c1", "e1")
"""Those with a network stack of their own, by the lab of ``faults.SETTINGS``."""
LENGTHS = (2, 8)
_LONGEST_S = 25
_LATEST_EVENT = 60


@dataclass(frozen=True)
class Step:
    """One fault: a kind, and what it is done to; a kind takes from it what it needs."""

    kind: str
    node: str = NODES[0]
    peer: str = NODES[1]
    workload: str = WORKLOADS[0]
    seconds: int = 1
    moment: int = 1
    """Number of the resource event at which a command is stopped."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Inflict = Callable[[ExplorerLab, Step], str | None]
"""What it did, where there is more to say than its kind. Raises AssertionError where it had no effect."""


def draw(seed: int, kinds: Collection[str]) -> tuple[Step, ...]:
    """The history of a seed: 2 to 8 steps of these kinds."""
    own = random.Random(seed)
    names = sorted(kinds)
    found = []
    for _ in range(own.randint(*LENGTHS)):
        node, peer = own.sample(NODES, 2)
        found.append(
            Step(
                kind=own.choice(names),
                node=node,
                peer=peer,
                workload=own.choice(WORKLOADS),
                seconds=own.randint(1, _LONGEST_S),
                moment=own.randint(1, _LATEST_EVENT),
            )
        )
    return tuple(found)


def _of_table(fault: faults.Fault) -> Inflict:
    def inflict(lab: ExplorerLab, _step: Step) -> None:
        fault.inflict(lab)

    return inflict


def _for_a_while(begin: str, end: str) -> Inflict:
    """A state of a node, for as long as the step says."""

    def inflict(lab: ExplorerLab, step: Step) -> None:
        peer = lab.settings.nodes[step.peer].address
        lab.on(step.node, begin.format(peer=peer))
        time.sleep(step.seconds)
        lab.on(step.node, end.format(peer=peer))

    return inflict


def _on_node(script: str) -> Inflict:
    def inflict(lab: ExplorerLab, step: Step) -> None:
        lab.on(step.node, script)

    return inflict


_CUT, _JOIN = "ip route add blackhole {peer}/32", "ip route del blackhole {peer}/32"


def _partition(lab: ExplorerLab, step: Step, times: int = 1) -> None:
    """Between two nodes, in both directions, so many times within the step's seconds."""
    addresses = {node: lab.settings.nodes[node].address for node in (step.node, step.peer)}
    for number in range(2 * times):
        lab.on(step.node, (_JOIN if number % 2 else _CUT).format(peer=addresses[step.peer]))
        lab.on(step.peer, (_JOIN if number % 2 else _CUT).format(peer=addresses[step.node]))
        if number < 2 * times - 1:
            time.sleep(step.seconds / (2 * times - 1))


def _store_partition(lab: ExplorerLab, step: Step) -> None:
    other = step.peer if step.node == NODES[0] else step.node
    _partition(lab, replace(step, node=NODES[0], peer=other))


def _for_what_follows(begin: str, end: str) -> Inflict:
    """It goes on during the steps after it, and during the ``up``, until the step's seconds are over."""

    def inflict(lab: ExplorerLab, step: Step) -> None:
        lab.on(step.node, f"{begin}; (sleep {step.seconds}; {end}) </dev/null >/dev/null 2>&1 &")

    return inflict


def _on_its_node(script: str) -> Inflict:
    """About a workload, on its node."""

    def inflict(lab: ExplorerLab, step: Step) -> None:
        lab.on(lab.settings.placement[step.workload], script.format(workload=step.workload))

    return inflict


def _on_store(inflict: Inflict) -> Inflict:
    return lambda lab, step: inflict(lab, replace(step, node=NODES[0]))


def _all_engines(lab: ExplorerLab, _step: Step) -> None:
    for node in NODES:
        with contextlib.suppress(AssertionError):
            lab.on(node, "systemctl kill -s KILL docker.service")


def _two_ups(lab: ExplorerLab, _step: Step) -> str:
    """The one that comes second is refused, with the first one's process; or comes after it."""
    processes = [lab.start("up"), lab.start("up")]
    codes = [process.wait(900) for process in processes]
    if 0 not in codes:
        raise RuntimeError(f"of two ups at once none succeeded: exit codes {codes}")
    return f"exit codes {codes}"


def _platform_killed(lab: ExplorerLab, _step: Step) -> None:
    """As the host's power cut: every process of the platform and of the nodes; what they stored is kept."""
    processes: list[ProcessRecord] = PrivateDockerd(lab.paths).processes()
    for one in processes:
        one.signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(one.alive() for one in processes) and time.monotonic() < deadline:
        time.sleep(0.1)


def _stopped_up(how: str) -> Inflict:
    return lambda lab, step: lab.stop_at(step.moment, how, "up")


_LOSS = "iptables -t raw {verb} PREROUTING -i eth0 -p udp -m statistic --mode random --probability 0.4 -j DROP"
_SSH, _FROZEN = ("systemctl stop ssh.socket ssh.service", "systemctl start ssh.service"), "pkill -{} -x dockerd"
_IN_SANDBOX = "nsenter --net=$(docker inspect -f '{{{{.NetworkSettings.SandboxKey}}}}' {workload})"
_WRONG_ENTRY = """\
for n in /run/docker/netns/*-*; do
    set -- $(nsenter --net=$n bridge fdb show dev vxlan0 | awk '/ dst /{print $1; exit}')
    test -z "$1" || nsenter --net=$n bridge fdb replace $1 dev vxlan0 dst 192.0.2.1 self permanent
done
"""
_STOP, _CONT = _FROZEN.format("STOP"), _FROZEN.format("CONT")

KINDS: dict[str, Inflict] = {
    **{fault.name: _of_table(fault) for fault in faults.FAULTS},
    "partition of two nodes": _partition,
    "partition of two nodes, one way": _for_a_while(_CUT, _JOIN),
    "partition from the store's node": _store_partition,
    "partition that flaps": lambda lab, step: _partition(lab, step, times=4),
    "a node's interface down": _for_a_while(
        "ip route show default >/run/route; ip link set eth0 down",
        "ip link set eth0 up; sed 's/^/ip route replace /' /run/route | sh",
    ),
    "loss of UDP packets": _for_a_while(_LOSS.format(verb="-I"), _LOSS.format(verb="-D")),
    "a slow link": _for_a_while(
        "tc qdisc replace dev eth0 root tbf rate 256kbit burst 4kb latency 800ms", "tc qdisc del dev eth0 root"
    ),
    "SSH away during what follows": _for_what_follows(*_SSH),
    "dockerd frozen": _for_a_while(_STOP, _CONT),
    "dockerd frozen during what follows": _for_what_follows(_STOP, _CONT),
    "containerd killed": _on_node("pkill -KILL -x containerd"),
    "all dockerds killed at once": _all_engines,
    "the store's container paused": _on_store(_for_a_while("docker pause consul", "docker unpause consul")),
    "a workload's process killed": _on_its_node("docker kill {workload}"),
    "a workload disconnected": _on_its_node("docker network disconnect -f ov1 {workload}"),
    "a workload's interface removed": _on_its_node(f"{_IN_SANDBOX} ip link del eth0"),
    "FDB entries of no node": _on_node(_WRONG_ENTRY),
    "an up killed": _stopped_up("SIGKILL"),
    "an up's pulumi killed": _stopped_up("SIGKILL of pulumi"),
    "an up interrupted": _stopped_up("SIGINT once"),
    "an up interrupted twice": _stopped_up("SIGINT twice"),
    "two ups at once": _two_ups,
    "the platform killed": _platform_killed,
}
"""An up that is stopped has something to do where a fault came before it; else it ends before."""

LOSSES = frozenset(fault.name for fault in faults.FAULTS if fault.lost)
"""Those after which something cannot be kept; after others everything but what runs is."""

NOT_GREEN = frozenset({"a network removed", "a workload disconnected", "firewall flushed"})
"""Known as faults that one ``up`` does not bring back: drawn only where they are asked for."""
