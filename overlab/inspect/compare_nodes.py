"""Machines, engines, the store, gossip members, watchdogs and workloads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from overlab.inspect import machines as machine_states
from overlab.inspect.finding import Finding, finding
from overlab.inspect.node_report import NodeReport
from overlab.inspect.snapshot import TIMEOUT, Snapshot


def machines(snapshot: Snapshot) -> Iterator[Finding]:
    """Every machine runs, and every node reports every part."""
    for key, state in snapshot.machines.items():
        if state.startswith(machine_states.UNKNOWN):
            yield finding("hypervisor-unreachable", key, state.removeprefix(f"{machine_states.UNKNOWN}: "))
        elif state != machine_states.RUNNING:
            yield finding("machine-down", key, state)
    for key, node in snapshot.nodes.items():
        if node.report is not None:
            yield from _missing_parts(key, node.report)
        elif snapshot.machines.get(key, "").startswith((machine_states.RUNNING, machine_states.UNKNOWN)):
            yield finding("node-unreachable", key, str(node.error), node=key)


def _missing_parts(key: str, report: NodeReport) -> Iterator[Finding]:
    """What a node could not collect, once for each reason; not what follows from an engine or store that is down."""
    reasons: dict[str, list[str]] = {}
    for part, error in report.errors.items():
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
            if not error.startswith(TIMEOUT):
                yield finding("engine-down", key, f"{error}; its unit is {report.unit or 'unknown'}", node=key)
            continue
        store, advertise = snapshot.expected.store, snapshot.expected.advertise[key]
        if engine.store != store:
            evidence = f"engine {engine.store or '(none)'}, settings {store}"
            yield finding("engine-store-mismatch", key, evidence, node=key)
        if engine.advertise != advertise:
            evidence = f"engine {engine.advertise or '(none)'}, settings {advertise}"
            yield finding("engine-advertise-mismatch", key, evidence)


def configurations(snapshot: Snapshot) -> Iterator[Finding]:
    """Every node has the files, units and packet filter of the last update."""
    for key, report in snapshot.reports.items():
        if report.configuration:
            yield finding("configuration-changed", key, "; ".join(report.configuration))


def store(snapshot: Snapshot) -> Iterator[Finding]:
    """The store answers every node, has a leader and all of its servers, and only libnetwork's values."""
    view, expected = snapshot.store, snapshot.expected
    container = {"store_container": expected.store_backend.name}
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
    for unexpected in sorted(set(registered) - set(expected.values())):
        yield finding("node-unexpected", "store", unexpected)


def gossip(snapshot: Snapshot) -> Iterator[Finding]:
    """Every engine that answers has every other one as a gossip member; else it is a gossip partition."""
    reports = snapshot.reports
    engines = [key for key, report in reports.items() if report.engine is not None]
    for key, peer in permutations(engines, 2):
        members = reports[key].gossip
        if members is None or (peer in members and members[peer].joined):
            continue
        event = f"its last event of {peer} is {members[peer].event}" if peer in members else "it logged no event of it"
        yield finding(
            "gossip-partition",
            f"{key} - {peer}",
            f"{key} has no member {peer}, {event}",
            node=key,
            other_node=peer,
            advertise=snapshot.expected.advertise[peer],
        )


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
