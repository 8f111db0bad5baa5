"""``overlab status`` as plain data: a snapshot of the lab, condensed, and what was found wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from overlab.core import exit_codes
from overlab.inspect import compare, compare_nodes
from overlab.inspect.compare_endpoints import entries
from overlab.inspect.finding import Finding
from overlab.inspect.node_report import Fact, NodeReport
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.store_view import StoredEndpoint, StoredNetwork

LOCAL = "local"
"""The endpoint is on this node: interface, veth pair and address are those of the store."""
RESOLVED = "resolved"
"""Neighbor and FDB entry lead to the endpoint's node."""
UNRESOLVED = "unresolved"
"""No entry yet; the first packet makes the engine ask its gossip."""
WRONG = "wrong"
"""A finding has the details."""
ABSENT = "absent"
"""The node has no endpoint on this network, and so no namespace."""
UNKNOWN = "unknown"
"""The node did not report it."""


class NodeStatus(Fact):
    name: str
    address: str
    machine: str
    engine: str | None
    """Version; None where it did not answer."""
    cluster_store: str | None
    advertise: str | None
    registered: bool | None
    """In docker/nodes; None where the store did not answer."""
    members: dict[str, bool]
    """Other node -> whether it is a gossip member."""
    watchdog: str | None
    """``healthy``, ``unhealthy`` (the engine) or ``inactive`` (itself)."""
    containers: int | None
    """Running ones."""
    error: str | None
    seconds: float


class EndpointStatus(Fact):
    name: str
    id: str
    address: str
    mac: str
    node: str
    kernel: dict[str, str]
    """Node -> one of the states above."""


class NetworkStatus(Fact):
    name: str
    id: str | None = None
    """None where the store does not have it."""
    vni: int = 0
    subnet: str
    internal: bool = False
    visible: dict[str, bool | None]
    """Node -> whether its engine lists it."""
    vnis: dict[str, int | None]
    """Node -> VNI of its VXLAN device; None where it has none."""
    endpoints: tuple[EndpointStatus, ...] = ()


class StoreStatus(Fact):
    product: str
    url: str
    version: str | None
    leader: str | None
    peers: tuple[str, ...]
    servers: int
    nodes: tuple[str, ...]


class LabStatus(Fact):
    lab: str
    attached: bool = False
    healthy: bool
    nodes: tuple[NodeStatus, ...]
    store: StoreStatus
    networks: tuple[NetworkStatus, ...]
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> LabStatus:
        findings = compare.findings(snapshot)
        wrong = {finding.subject for finding in findings if finding.severity != "note"}
        return cls(
            lab=snapshot.lab,
            attached=snapshot.expected.attached,
            healthy=compare.healthy(findings),
            nodes=tuple(_node(snapshot, key) for key in snapshot.expected.nodes),
            store=_store(snapshot),
            networks=tuple(sorted(_networks(snapshot, wrong), key=lambda network: network.name)),
            findings=tuple(findings),
        )

    @property
    def exit_code(self) -> int:
        """0: every view agrees; 1: something disagrees or is down; 2: no node answered."""
        if all(node.error is not None for node in self.nodes):
            return exit_codes.COULD_NOT_RUN
        return 0 if self.healthy else 1

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def _node(snapshot: Snapshot, key: str) -> NodeStatus:
    node, expected, store = snapshot.nodes[key], snapshot.expected, snapshot.led_store
    report = node.report
    engine = report.engine if report else None
    gossip = report.gossip if report and engine else None
    watchdog = report.watchdog if report else None
    peers = [peer for peer in expected.nodes if peer != key] if gossip is not None else []
    state = "inactive" if watchdog and not watchdog.active else "healthy"
    return NodeStatus(
        name=key,
        address=expected.nodes[key],
        machine=snapshot.machines.get(key, ""),
        engine=engine.version if engine else None,
        cluster_store=engine.store if engine else None,
        advertise=engine.advertise if engine else None,
        registered=expected.advertise.get(key) in store.nodes if store else None,
        members=_members(snapshot, report, peers) if report and gossip is not None else {},
        watchdog=(state if watchdog.healthy else "unhealthy") if watchdog else None,
        containers=sum(one.running for one in report.containers) if report and report.containers is not None else None,
        error=node.error,
        seconds=node.seconds,
    )


def _members(snapshot: Snapshot, report: NodeReport, peers: list[str]) -> dict[str, bool]:
    """In a swarm, by the peers of the networks that both have."""
    if snapshot.in_swarm:
        apart = {one.subject for one in compare_nodes.swarm_gossip(snapshot)}
        own = next(key for key, one in snapshot.reports.items() if one is report)
        return {peer: f"{own} - {peer}" not in apart for peer in peers if peer in snapshot.reports}
    gossip, reports = report.gossip or {}, snapshot.reports
    names = {peer: reports[peer].hostname if peer in reports else peer for peer in peers}
    return {peer: name in gossip and gossip[name].joined for peer, name in names.items()}


def _store(snapshot: Snapshot) -> StoreStatus:
    view, backend = snapshot.store, snapshot.expected.store_backend
    return StoreStatus(
        product=backend.title if backend else snapshot.expected.store.partition("://")[0],
        url=snapshot.expected.store,
        version=view.version if view else None,
        leader=(view.leader or None) if view else None,
        peers=view.peers if view else (),
        servers=snapshot.expected.servers,
        nodes=view.nodes if view else (),
    )


def _networks(snapshot: Snapshot, wrong: set[str]) -> Iterator[NetworkStatus]:
    networks = snapshot.store.networks if snapshot.store else snapshot.stored_networks
    for network in networks:
        yield _network(snapshot, network, wrong)
    nodes = snapshot.expected.nodes
    for name in snapshot.expected.networks.keys() - {network.name for network in networks}:
        subnet = snapshot.expected.networks[name] or ""
        yield NetworkStatus(name=name, subnet=subnet, visible=dict.fromkeys(nodes), vnis=dict.fromkeys(nodes))


def _network(snapshot: Snapshot, network: StoredNetwork, wrong: set[str]) -> NetworkStatus:
    visible: dict[str, bool | None] = {}
    vnis: dict[str, int | None] = {}
    for key in snapshot.expected.nodes:
        report = snapshot.reports.get(key)
        listed = report.networks if report else None
        namespace = report.namespace(network.id) if report else None
        visible[key] = None if listed is None else any(one.id == network.id for one in listed)
        vnis[key] = next(iter(namespace.vnis), None) if namespace else None
    return NetworkStatus(
        name=network.name,
        id=network.id,
        vni=network.vni,
        subnet=network.subnet,
        internal=network.internal,
        visible=visible,
        vnis=vnis,
        endpoints=tuple(_endpoint(snapshot, network, endpoint, wrong) for endpoint in network.endpoints),
    )


def _endpoint(snapshot: Snapshot, network: StoredNetwork, endpoint: StoredEndpoint, wrong: set[str]) -> EndpointStatus:
    return EndpointStatus(
        name=endpoint.name,
        id=endpoint.id,
        address=str(endpoint.address or ""),
        mac=endpoint.mac,
        node=snapshot.expected.node_at(endpoint.locator) or endpoint.locator,
        kernel={key: _kernel(snapshot, network, endpoint, key, wrong) for key in snapshot.expected.nodes},
    )


def _kernel(snapshot: Snapshot, network: StoredNetwork, endpoint: StoredEndpoint, key: str, wrong: set[str]) -> str:
    report, subject = snapshot.reports.get(key), f"{network.name}/{endpoint.name}"
    if report is None or report.overlay_namespaces is None:
        return UNKNOWN
    if endpoint.locator == snapshot.expected.nodes[key]:
        return WRONG if subject in wrong else LOCAL
    namespace = report.namespace(network.id)
    if namespace is None:
        return ABSENT
    if f"{subject} on {key}" in wrong:
        return WRONG
    return UNRESOLVED if entries(namespace, endpoint) == (None, None) else RESOLVED
