"""Machines, engines, the store, gossip members, watchdogs and workloads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from overlab.inspect import machines as machine_states
from overlab.inspect.finding import Finding, finding
from overlab.inspect.machines import RUNNING
from overlab.inspect.node_report import NodeReport
from overlab.inspect.snapshot import TIMEOUT, Snapshot

CLOCK_LIMIT_S = 10.0
_NOT_NEEDED = frozenset({"unit", "configuration", "dropping_rules"})
"""Parts that say nothing of a node without systemd or iptables."""


def machines(snapshot: Snapshot) -> Iterator[Finding]:
    """Every machine runs, and every node reports every part."""
    for key, state in snapshot.machines.items():
        if state.startswith(machine_states.UNKNOWN):
            yield finding("hypervisor-unreachable", key, state.removeprefix(f"{machine_states.UNKNOWN}: "))
        elif state != RUNNING:
            yield finding("machine-down", key, state)
    for key, node in snapshot.nodes.items():
        if node.report is not None:
            yield from _missing_parts(key, node.report, _NOT_NEEDED if snapshot.expected.attached else frozenset())
        elif snapshot.machines.get(key, RUNNING).startswith((RUNNING, machine_states.UNKNOWN)):
            yield finding("node-unreachable", key, str(node.error), node=key)


def _missing_parts(key: str, report: NodeReport, not_needed: frozenset[str]) -> Iterator[Finding]:
    """What a node could not collect, once for each reason; not what follows from an engine or store that is down."""
    reasons: dict[str, list[str]] = {}
    in_swarm = report.engine is not None and report.engine.swarm_address != ""
    optional = not_needed | ({"gossip"} if in_swarm else set())
    for part, error in report.errors.items():
        if part in optional:
            continue
        kind, _, container = part.partition(" ")
        if kind == "container" and container:
            yield finding("container-timeout", f"{container} on {key}", error, node=key)
        elif error.startswith(TIMEOUT) or (
            part not in ("store", "engine") and (part not in ("containers", "networks") or report.engine is not None)
        ):
            reasons.setdefault(error, []).append(part)
    for error, parts in reasons.items():
        yield finding("report-incomplete", key, f"{', '.join(sorted(parts))}: {error}", node=key)


def engines(snapshot: Snapshot) -> Iterator[Finding]:
    """Every engine runs, with the store and the advertised address of the settings."""
    for key, report in snapshot.reports.items():
        engine, error = report.engine, report.errors.get("engine", "no reason")
        if engine is None:
            if error.startswith("PermissionError"):
                yield finding("engine-permission-denied", key, error, node=key)
            elif not error.startswith(TIMEOUT):
                yield finding("engine-down", key, f"{error}; its unit is {report.unit or 'unknown'}", node=key)
            continue
        store, advertise = snapshot.expected.store, snapshot.expected.advertise.get(key, engine.advertise)
        if engine.store != store:
            evidence = f"engine {engine.store or '(none)'}, settings {store}"
            yield finding("engine-store-mismatch", key, evidence, node=key)
        if engine.advertise != advertise:
            evidence = f"engine {engine.advertise or '(none)'}, settings {advertise}"
            yield finding("engine-advertise-mismatch", key, evidence)


def configurations(snapshot: Snapshot) -> Iterator[Finding]:
    """Every node has the files, units and packet filter of the last update."""
    for key, report in snapshot.reports.items():
        # A node of a lab may be attached, too; its settings are not known then.
        if report.configuration and not snapshot.expected.attached:
            yield finding("configuration-changed", key, "; ".join(report.configuration))


def store(snapshot: Snapshot) -> Iterator[Finding]:
    """The store answers every node, has a leader and all of its servers, and only libnetwork's values."""
    view, expected = snapshot.store, snapshot.expected
    if not expected.store:
        return
    container = {"store_container": expected.store_backend.name if expected.store_backend else "CONTAINER"}
    errors = {key: report.errors.get("store", "") for key, report in snapshot.reports.items() if report.store is None}
    refused = {key: error for key, error in errors.items() if not error.startswith(TIMEOUT)}
    if view is None:
        for key, error in list(refused.items())[:1]:
            evidence = f"{expected.store} from {key}: {error}"
            yield finding("store-down", "store", evidence, store_node=expected.store_nodes[0], **container)
        return
    for key, error in refused.items():
        evidence = f"{expected.store}: {error}"
        yield finding("store-unreachable", key, evidence, node=key)
    peers = ", ".join(view.peers) or "none"
    if not view.leader:
        yield finding("store-no-leader", "store", f"peers {peers}", node=expected.store_nodes[0], **container)
        return
    if len(view.peers) != expected.servers:
        evidence = f"{len(view.peers)} of {expected.servers}: {peers}"
        yield finding("store-peers-mismatch", "store", evidence, **container)
    for key in view.invalid:
        yield finding("store-value-invalid", "store", key)


def registrations(snapshot: Snapshot) -> Iterator[Finding]:
    """``docker/nodes`` has every engine of the lab, and no other."""
    if snapshot.led_store is None:
        return
    expected, registered = snapshot.expected.advertise, snapshot.led_store.nodes
    for key, advertise in expected.items():
        if advertise not in registered and key in snapshot.reports:
            yield finding("node-not-registered", key, f"no {advertise}", other_node=key)
    # A cluster need not be attached as a whole.
    unexpected = set() if snapshot.expected.attached else set(registered) - set(expected.values())
    for advertise in sorted(unexpected):
        yield finding("node-unexpected", "store", advertise)


def attached_nodes(snapshot: Snapshot) -> Iterator[Finding]:
    """The nodes that store or managers know are all attached."""
    if not snapshot.expected.attached:
        return
    registered = {one.rpartition(":")[0] for one in snapshot.led_store.nodes} if snapshot.led_store else set()
    managed = [report.engine.swarm_nodes for report in snapshot.reports.values() if report.engine is not None]
    for address in sorted(registered.union(*managed) - set(snapshot.expected.nodes.values())):
        yield finding("node-not-attached", address)


def gossip(snapshot: Snapshot) -> Iterator[Finding]:
    """Every engine with a store that answers has every other one as a gossip member; else it is a gossip partition."""
    reports = snapshot.reports
    engines = [key for key, report in reports.items() if report.engine is not None and report.engine.store]
    for key, peer in permutations(engines, 2):
        members, name = reports[key].gossip, reports[peer].hostname
        if members is None or (name in members and members[name].joined):
            continue
        event = f"its last event of {peer} is {members[name].event}" if name in members else "it logged no event of it"
        yield finding(
            "gossip-partition",
            f"{key} - {peer}",
            f"{key} has no member {peer}, {event}",
            node=key,
            other_node=peer,
            advertise=snapshot.expected.advertise.get(peer, ""),
        )


def clocks(snapshot: Snapshot) -> Iterator[Finding]:
    """The nodes' clocks are together."""
    offsets = {key: node.clock_offset_s for key, node in snapshot.nodes.items() if node.report is not None}
    apart = max(offsets.values(), default=0.0) - min(offsets.values(), default=0.0)
    if apart > CLOCK_LIMIT_S:
        evidence = ", ".join(f"{key} {offset:+.0f} s" for key, offset in offsets.items())
        yield finding("clock-apart", "clocks", evidence, node=max(offsets, key=lambda key: abs(offsets[key])))


def filters(snapshot: Snapshot) -> Iterator[Finding]:
    """No rule of a node's own chains drops VXLAN or gossip, whoever it comes from."""
    for key, report in snapshot.reports.items():
        if report.dropping_rules:
            yield finding("overlay-port-filtered", key, "; ".join(report.dropping_rules), node=key)


def swarm(snapshot: Snapshot) -> Iterator[Finding]:
    """The managers have every node as ready, and the attached nodes are all in one swarm."""
    if not snapshot.in_swarm:
        return
    states: dict[str, str] = {}
    for report in snapshot.reports.values():
        states |= report.engine.swarm_nodes if report.engine is not None else {}
    for address, state in sorted(states.items()):
        key = snapshot.expected.node_at(address)
        if state != "ready":
            yield finding("swarm-node-down", key or address, f"{address} is {state}", node=key or address)
    for key, report in snapshot.reports.items():
        if report.engine is not None and not report.engine.swarm_address:
            yield finding("swarm-node-absent", key, node=key)


def swarm_gossip(snapshot: Snapshot) -> Iterator[Finding]:
    """Nodes of a swarm that have a network know each other as its peers."""
    for key, peer in permutations(snapshot.reports, 2):
        networks = {key: {one.id: one for one in snapshot.reports[key].networks or ()} for key in (key, peer)}
        address = snapshot.expected.nodes[peer]
        lacking = [
            network.name
            for id_, network in networks[key].items()
            if network.scope == "swarm" and id_ in networks[peer] and network.peers and address not in network.peers
        ]
        if lacking:
            evidence = f"{key} has no peer {address} for {', '.join(sorted(lacking))}"
            yield finding("swarm-gossip-partition", f"{key} - {peer}", evidence, node=key, other_node=peer)


def watchdogs(snapshot: Snapshot) -> Iterator[Finding]:
    """Every engine's watchdog is active, and finds the engine healthy."""
    for key, report in snapshot.reports.items():
        if report.watchdog is not None and not report.watchdog.active:
            yield finding("watchdog-down", key, node=key)
        if report.watchdog is not None and not report.watchdog.healthy:
            yield finding("engine-in-removed-namespace", key, report.watchdog.message, node=key)


def workloads(snapshot: Snapshot) -> Iterator[Finding]:
    """Every workload of the settings runs on its node."""
    for key, report in snapshot.reports.items():
        if report.containers is None:
            continue
        containers = {container.name: container for container in report.containers}
        expected = [name for name, node in snapshot.expected.workloads.items() if node == key]
        missing = [name for name in expected if name not in containers]
        if missing:
            yield finding("workload-missing", key, ", ".join(missing))
        for name in expected:
            # A container that the engine does not answer for is found as that.
            if name in containers and not containers[name].running and f"container {name}" not in report.errors:
                evidence = containers[name].status
                yield finding("workload-not-running", f"{name} on {key}", evidence, node=key, workload=name)
