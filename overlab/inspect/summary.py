"""A look boiled down to what a person asks for: the lab's state as plain data, the same for screen and programs."""

from __future__ import annotations

from typing import Any

from overlab.inspect import compare
from overlab.inspect.compare_endpoints import entries
from overlab.inspect.finding import Finding
from overlab.inspect.report import Fact, NodeReport
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.store import StoredEndpoint, StoredNetwork

HERE = "here"
"""It is on this node: interface, cable and address are as the store says."""
KNOWN = "known"
"""The kernel sends what is for it to the right node."""
UNLEARNT = "unlearnt"
"""No entry yet; the first packet makes the engine ask."""
WRONG = "wrong"
"""One of the findings says how."""
ABSENT = "absent"
"""The node has no endpoint on this overlay, and so no namespace."""
UNSEEN = "unseen"
"""The node did not say."""


class NodeLine(Fact):
    name: str
    address: str
    machine: str
    engine: str | None
    """Version; None where it did not answer."""
    store: str | None
    advertise: str | None
    listed: bool | None
    """In docker/nodes; None where the store did not answer."""
    members: dict[str, bool]
    """Other node -> whether the gossip has it."""
    guard: str | None
    running: int | None
    """Containers."""
    error: str | None
    seconds: float


class EndpointLine(Fact):
    name: str
    id: str
    address: str
    mac: str
    node: str
    kernel: dict[str, str]
    """Node -> one of the words above."""


class OverlayLine(Fact):
    name: str
    id: str | None
    """None where the store does not have it."""
    vni: int
    subnet: str
    internal: bool
    seen: dict[str, bool | None]
    """Node -> whether its engine lists it."""
    vnis: dict[str, int | None]
    """Node -> VNI of its VXLAN device; None where it has none."""
    endpoints: tuple[EndpointLine, ...]


class StoreLine(Fact):
    url: str
    version: str | None
    leader: str | None
    peers: tuple[str, ...]
    servers: int
    nodes: tuple[str, ...]


class Summary(Fact):
    lab: str
    healthy: bool
    nodes: tuple[NodeLine, ...]
    store: StoreLine
    overlays: tuple[OverlayLine, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0: every view agrees; 1: something disagrees or is down; 2: nothing could be looked at."""
        if all(node.error is not None for node in self.nodes):
            return 2
        return 0 if self.healthy else 1

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def summary(look: Snapshot) -> Summary:
    found = compare.findings(look)
    wrong = {finding.subject for finding in found if finding.severity != "note"}
    return Summary(
        lab=look.lab,
        healthy=compare.healthy(found),
        nodes=tuple(_node(look, key) for key in look.wanted.nodes),
        store=_store(look),
        overlays=tuple(_overlays(look, wrong)),
        findings=tuple(found),
    )


def _node(look: Snapshot, key: str) -> NodeLine:
    node = look.nodes[key]
    report, view = node.report, look.store
    engine = report.engine if report else None
    gossip = report.gossip if report and engine else None
    return NodeLine(
        name=key,
        address=look.wanted.nodes[key],
        machine=look.machines[key],
        engine=engine.version if engine else None,
        store=engine.store if engine else None,
        advertise=engine.advertise if engine else None,
        listed=None if view is None or not view.leader else look.wanted.advertise[key] in view.nodes,
        members={peer: peer in gossip and gossip[peer].joined for peer in look.wanted.nodes if peer != key}
        if gossip is not None
        else {},
        guard=_guard(report),
        running=sum(one.running for one in report.containers) if report and report.containers is not None else None,
        error=node.error,
        seconds=node.seconds,
    )


def _guard(report: NodeReport | None) -> str | None:
    if report is None or report.guard is None:
        return None
    if not report.guard.sound:
        return "alarm"
    return "sound" if report.guard.watching else "not watching"


def _store(look: Snapshot) -> StoreLine:
    view = look.store
    return StoreLine(
        url=look.wanted.store,
        version=view.version if view else None,
        leader=(view.leader or None) if view else None,
        peers=view.peers if view else (),
        servers=look.wanted.servers,
        nodes=view.nodes if view else (),
    )


def _overlays(look: Snapshot, wrong: set[str]) -> list[OverlayLine]:
    networks = look.store.networks if look.store else ()
    lines = [_overlay(look, network, wrong) for network in networks]
    missing = [name for name in look.wanted.overlays if name not in {network.name for network in networks}]
    for name in missing:
        nobody: dict[str, bool | None] = dict.fromkeys(look.wanted.nodes)
        none: dict[str, int | None] = dict.fromkeys(look.wanted.nodes)
        subnet = look.wanted.overlays[name] or ""
        line = OverlayLine(
            name=name, id=None, vni=0, subnet=subnet, internal=False, seen=nobody, vnis=none, endpoints=()
        )
        lines.append(line)
    return sorted(lines, key=lambda line: line.name)


def _overlay(look: Snapshot, network: StoredNetwork, wrong: set[str]) -> OverlayLine:
    seen: dict[str, bool | None] = {}
    vnis: dict[str, int | None] = {}
    for key in look.wanted.nodes:
        report = look.reports.get(key)
        known = report.networks if report else None
        namespace = report.namespace(network.id) if report else None
        seen[key] = None if known is None else any(one.id == network.id for one in known)
        vnis[key] = next(iter(namespace.vnis), None) if namespace else None
    return OverlayLine(
        name=network.name,
        id=network.id,
        vni=network.vni,
        subnet=network.subnet,
        internal=network.internal,
        seen=seen,
        vnis=vnis,
        endpoints=tuple(_endpoint(look, network, end, wrong) for end in network.endpoints),
    )


def _endpoint(look: Snapshot, network: StoredNetwork, end: StoredEndpoint, wrong: set[str]) -> EndpointLine:
    return EndpointLine(
        name=end.name,
        id=end.id,
        address=str(end.address) if end.address else "",
        mac=end.mac,
        node=look.wanted.node_at(end.owner) or end.owner,
        kernel={key: _kernel(look, network, end, key, wrong) for key in look.wanted.nodes},
    )


def _kernel(look: Snapshot, network: StoredNetwork, end: StoredEndpoint, key: str, wrong: set[str]) -> str:
    report = look.reports.get(key)
    if report is None or report.overlays is None:
        return UNSEEN
    if end.owner == look.wanted.nodes[key]:
        return WRONG if f"{network.name}/{end.name}" in wrong else HERE
    namespace = report.namespace(network.id)
    if namespace is None:
        return ABSENT
    if f"{network.name}/{end.name} on {key}" in wrong:
        return WRONG
    return UNLEARNT if entries(namespace, end) == (None, None) else KNOWN
