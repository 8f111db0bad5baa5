"""Machines, engines, the store, and who knows whom."""

from __future__ import annotations

from collections.abc import Iterator

from overlab.inspect import machines as machine_states
from overlab.inspect.finding import Finding
from overlab.inspect.report import NodeReport
from overlab.inspect.snapshot import LATE, Snapshot

_OF_ENGINE = ("containers", "networks")


def machines(look: Snapshot) -> Iterator[Finding]:
    """Every machine runs, and every node answers with every part."""
    for key, state in look.machines.items():
        if state.startswith(machine_states.UNSEEN):
            yield Finding(
                severity="down",
                kind="hypervisor-silent",
                subject=key,
                says=f"the hypervisor does not say how the machine is ({state})",
                means="whether it runs is not known from here; what the node itself says is below",
                remedy="overlab doctor",
            )
        elif state != machine_states.RUNNING:
            yield Finding(
                severity="down",
                kind="machine-down",
                subject=key,
                says=f"the machine is {state}",
                means="its engine and workloads are gone; the store forgets the node after the discovery TTL, but keeps"
                " its endpoints, names and addresses",
                remedy="overlab refresh, then overlab up",
            )
    for key, node in look.nodes.items():
        if node.report is None:
            if look.machines.get(key, "").startswith((machine_states.RUNNING, machine_states.UNSEEN)):
                yield _silent(key, str(node.error))
            continue
        yield from _parts(key, node.report)


def _parts(key: str, report: NodeReport) -> Iterator[Finding]:
    """What a node could not look at, once for each reason. A silent engine is told as such; so is the store's."""
    reasons: dict[str, list[str]] = {}
    for part, error in report.errors.items():
        kind, _, name = part.partition(" ")
        if kind == "container" and name:
            yield _busy(key, name, error)
        elif _late(error) or (
            part not in ("store", "engine") and (part not in _OF_ENGINE or report.engine is not None)
        ):
            reasons.setdefault(error, []).append(part)
    for error, parts in reasons.items():
        yield Finding(
            severity="down",
            kind="part-unseen",
            subject=key,
            says=f"{', '.join(sorted(parts))} cannot be looked at: {error}",
            means="everything that is compared with it is left out for this node",
            remedy=f"look again; if it stays: overlab exec {key} -- journalctl -u docker.service -n 50",
        )


def _late(error: str) -> bool:
    """Whether only the time was over: nobody was found silent."""
    return error.startswith((LATE, "TimeoutError: not looked at"))


def _busy(key: str, container: str, error: str) -> Finding:
    return Finding(
        severity="down",
        kind="container-stuck",
        subject=f"{container} on {key}",
        says=f"the engine does not answer for it: {error}",
        means="a start or a stop of it goes on, or hangs: on the store, or on a thread in a dead namespace",
        remedy=f"look again; if it stays: overlab exec {key} -- systemctl restart docker.service",
    )


def _silent(key: str, error: str) -> Finding:
    return Finding(
        severity="down",
        kind="node-silent",
        subject=key,
        says=f"no answer over SSH: {error}",
        means="nothing is known of its engine and its kernel; the others may still reach its workloads",
        remedy=f"overlab ssh {key}; where that hangs: overlab refresh, then overlab up",
    )


def engines(look: Snapshot) -> Iterator[Finding]:
    """Every engine runs and has the store and the address that the settings want."""
    for key, report in look.reports.items():
        unit, engine = report.unit, report.engine
        if engine is None and _late(report.errors.get("engine", "")):
            continue
        if engine is None:
            state = unit.state if unit is not None else "in an unknown state"
            yield Finding(
                severity="down",
                kind="engine-down",
                subject=key,
                says=f"the engine does not answer ({report.errors.get('engine', 'no reason')}), its unit is {state}",
                means="containers may still run (live-restore), but none can be started, and names go stale",
                remedy=f"overlab exec {key} -- systemctl start docker.service; while activating, only wait",
            )
            continue
        wanted, advertise = look.wanted.store, look.wanted.advertise[key]
        if engine.store != wanted:
            yield Finding(
                severity="wrong",
                kind="engine-store",
                subject=key,
                says=f"the engine's store is {engine.store or '(none)'}, the settings want {wanted}",
                means="it sees none of the lab's overlays, or those of another lab",
                remedy="overlab refresh, then overlab up (a changed store needs a restart of the engine)",
            )
        if engine.advertise != advertise:
            yield Finding(
                severity="wrong",
                kind="engine-advertise",
                subject=key,
                says=f"the engine advertises {engine.advertise or '(nothing)'}, the settings want {advertise}",
                means="the others send VXLAN packets and gossip to an address where it does not listen",
                remedy="overlab refresh, then overlab up",
            )


def store(look: Snapshot) -> Iterator[Finding]:
    """The store answers every node, has a leader and all of its servers."""
    view, url = look.store, look.wanted.store
    errors = {key: report.errors.get("store", "") for key, report in look.reports.items() if report.store is None}
    silent = {key: error for key, error in errors.items() if not _late(error)}
    if view is None:
        if silent:
            key, error = next(iter(silent.items()))
            yield Finding(
                severity="down",
                kind="store-silent",
                subject="store",
                says=f"no node gets an answer from {url} (from {key}: {error})",
                means="what runs goes on, names included; nothing new can join an overlay, and what is in the store"
                " cannot be compared",
                remedy=f"overlab exec {look.wanted.store_nodes[0]} -- docker start consul; no engine needs a restart",
            )
        return
    for key, error in silent.items():
        yield Finding(
            severity="down",
            kind="store-unreachable",
            subject=key,
            says=f"no answer from {url}: {error}",
            means="this engine learns nothing new, and starts no container on an overlay, while the others do",
            remedy=f"overlab exec {key} -- curl -sS {url.replace('consul://', 'http://')}/v1/status/leader",
        )
    if not view.leader:
        yield Finding(
            severity="down",
            kind="store-leaderless",
            subject="store",
            says=f"the store has no leader (peers: {', '.join(view.peers) or 'none'})",
            means="it answers and knows nothing: fewer than half of its servers see each other",
            remedy="start the servers that are missing: overlab exec NODE -- docker start consul",
        )
        return
    if len(view.peers) != look.wanted.servers:
        yield Finding(
            severity="wrong",
            kind="store-peers",
            subject="store",
            says=f"the store has {len(view.peers)} of {look.wanted.servers} servers: {', '.join(view.peers)}",
            means="it works while more than half of them do; there is less to lose before it stops",
            remedy="overlab exec NODE -- docker logs --tail 20 consul, on the node whose server is missing",
        )
    for key in view.unread:
        yield Finding(
            severity="wrong",
            kind="store-unread",
            subject="store",
            says=f"the value of {key} is not what libnetwork writes",
            means="engines that read it may fail; it is left out here",
            remedy="look at it: overlab ui",
        )


def listed(look: Snapshot) -> Iterator[Finding]:
    """``docker/nodes`` has every engine of the lab, and no other."""
    view = look.store
    if view is None or not view.leader:
        return
    advertised = look.wanted.advertise
    for key, advertise in advertised.items():
        if advertise not in view.nodes and key in look.reports:
            yield Finding(
                severity="wrong",
                kind="node-unlisted",
                subject=key,
                says=f"docker/nodes has no {advertise}",
                means="engines that start now will not find it; its session in the store ran out",
                remedy=f"wait for a heartbeat; if it stays: overlab exec {key} -- systemctl restart docker.service",
            )
    for stranger in sorted(set(view.nodes) - set(advertised.values())):
        yield Finding(
            severity="wrong",
            kind="node-stranger",
            subject="store",
            says=f"docker/nodes has {stranger}, which is no node of the lab",
            means="an engine of the past until its TTL is over (30 to 60 s), or one that uses this lab's store",
            remedy="look again in a minute; if it stays, find who heartbeats: overlab ui",
        )


def gossip(look: Snapshot) -> Iterator[Finding]:
    """Every engine that answers has every other one that answers as a member."""
    for key, report in look.reports.items():
        if report.gossip is None or report.engine is None:
            continue
        for peer, other in look.reports.items():
            if peer == key or other.engine is None:
                continue
            member = report.gossip.get(peer)
            if member is not None and member.joined:
                continue
            last = f"the last it said of {peer} was {member.event}" if member else f"it never said that {peer} joined"
            url, advertise = look.wanted.store.replace("consul://", "http://"), look.wanted.advertise[peer]
            yield Finding(
                severity="wrong",
                kind="gossip-split",
                subject=f"{key} - {peer}",
                says=f"{key} has no gossip member {peer}: {last}",
                means=f"the silent split: nodes listed, names resolve, and new endpoints of {peer} are never found"
                f" from {key}",
                remedy=f"overlab exec {peer} -- curl -sS -X DELETE {url}/v1/kv/docker/nodes/{advertise}"
                " (its heartbeat announces it again)",
            )


def workloads(look: Snapshot) -> Iterator[Finding]:
    """Every workload of the settings runs on its node."""
    for key, report in look.reports.items():
        if report.containers is None:
            continue
        there = {container.name: container for container in report.containers}
        here = [name for name, node in look.wanted.workloads.items() if node == key]
        missing = [name for name in here if name not in there]
        if missing:
            yield Finding(
                severity="wrong",
                kind="workload-missing",
                subject=key,
                says=f"the engine has no container {', '.join(missing)}, which the settings place here",
                means="somebody removed it, or the lab is not up to its settings",
                remedy="overlab refresh, then overlab up",
            )
        for name in here:
            # One that the engine does not answer for is told as that.
            if name in there and not there[name].running and f"container {name}" not in report.errors:
                yield Finding(
                    severity="down",
                    kind="workload-down",
                    subject=f"{name} on {key}",
                    says=f"it does not run: {there[name].status}",
                    means="nobody reaches it; what an engine could not start while the store was away it leaves so",
                    remedy=f"overlab exec {key} -- docker start {name}",
                )


def guards(look: Snapshot) -> Iterator[Finding]:
    """The engines' guards watch, and none has seen an overlay's namespace go."""
    for key, report in look.reports.items():
        guard = report.guard
        if guard is not None and not guard.watching:
            yield Finding(
                severity="down",
                kind="guard-down",
                subject=key,
                says="overlab-dockerd-watchdog.path is not active",
                means="an engine that loses its last endpoint of an overlay is not restarted by itself",
                remedy=f"overlab exec {key} -- systemctl start overlab-dockerd-watchdog.path",
            )
        if guard is not None and not guard.sound:
            yield Finding(
                severity="wrong",
                kind="guard-alarm",
                subject=key,
                says=guard.says or "the guard says that the engine is not sound",
                means="the engine may have a thread in a dead namespace: containers do not start, names stay unknown",
                remedy=f"overlab exec {key} -- dockerd-watchdog repair",
            )
