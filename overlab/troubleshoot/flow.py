"""A flow between two endpoints of an overlay network: who they are, and where their packets pass. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from overlab.core.errors import OverlabError
from overlab.inspect.node_report import Container, Interface, NodeReport, OverlayNamespace, Port, SandboxNamespace
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.store_view import StoredEndpoint, StoredNetwork


@dataclass(frozen=True)
class Side:
    """An endpoint with what its node reports of it."""

    endpoint: StoredEndpoint
    network: StoredNetwork
    node: str
    """The node's address, where the node is not known."""
    report: NodeReport | None

    @property
    def name(self) -> str:
        return self.endpoint.name

    @cached_property
    def container(self) -> Container | None:
        """The one that has the sandbox; None where it does not run."""
        return self.report.container_of(self.endpoint.id) if self.report else None

    @cached_property
    def sandbox(self) -> SandboxNamespace | None:
        return self.report.sandbox(self.container) if self.report and self.container else None

    @cached_property
    def interface(self) -> Interface | None:
        return self.sandbox.by_mac(self.endpoint.mac) if self.sandbox else None

    @cached_property
    def namespace(self) -> OverlayNamespace | None:
        return self.report.namespace(self.network.id) if self.report else None

    @property
    def veth(self) -> Port | None:
        """The other end of the interface, as a port of the network's bridge."""
        return self._peer_among(self.namespace.ports) if self.namespace else None

    @property
    def detached_veth(self) -> Port | None:
        return self._peer_among(self.namespace.detached) if self.namespace else None

    @property
    def vxlan(self) -> str:
        return next(iter(self.namespace.devices), "") if self.namespace else ""

    def _peer_among(self, ports: tuple[Port, ...]) -> Port | None:
        return next((port for port in ports if self.interface and port.index == self.interface.peer), None)


@dataclass(frozen=True)
class Flow:
    """From ``source`` to ``target``; ``name`` is by which the source is to find it, empty for its address."""

    source: Side
    target: Side
    name: str

    @property
    def on_one_node(self) -> bool:
        return self.source.node == self.target.node

    @property
    def reversed(self) -> Flow:
        return Flow(self.target, self.source, "")


def between(snapshot: Snapshot, source: str, target: str, network: str = "") -> Flow:
    """The flow between two workloads, each a container's name, NODE/NAME, or an address on an overlay network.

    Raises :class:`OverlabError` where there is no such workload, or no network that both are on.
    """
    sources, targets = sides(snapshot, source), sides(snapshot, target)
    for side_name, found in ((source, sources), (target, targets)):
        if not found:
            raise unknown(snapshot, side_name)
        nodes = sorted({side.node for side in found})
        if len(nodes) > 1:
            raise OverlabError(f"{side_name} is on {', '.join(nodes)}", f"name one of them: {nodes[0]}/{side_name}")
    name = target.rpartition("/")[2] if not _is_address(target) else ""
    for one in sources:
        for other in targets:
            if one.network.id == other.network.id and network in ("", one.network.name):
                if one.endpoint.id == other.endpoint.id:
                    raise OverlabError(f"{source} and {target} are the same", "name two workloads")
                return Flow(one, other, name)
    has = "; ".join(f"{one[0].name}: {_networks(one)}" for one in (sources, targets))
    which = f"the network {network}" if network else "an overlay network"
    raise OverlabError(f"{source} and {target} are not both on {which} ({has})", "docker network connect NETWORK NAME")


def sides(snapshot: Snapshot, text: str) -> list[Side]:
    """The endpoints of a workload, one a network."""
    node, _, name = text.rpartition("/")
    return [side for side in _every(snapshot) if node in ("", side.node) and _is_named(side, name)]


def _every(snapshot: Snapshot) -> Iterator[Side]:
    for network in sorted(snapshot.stored_networks, key=lambda one: one.name == "ingress"):
        for endpoint in network.endpoints:
            node = snapshot.expected.node_at(endpoint.locator) or endpoint.locator
            yield Side(endpoint, network, node, snapshot.reports.get(node))


def _is_named(side: Side, name: str) -> bool:
    if side.endpoint.balancer:
        return name == side.endpoint.ip
    if name in (side.endpoint.name, side.endpoint.ip):
        return True
    # What shares a sandbox has no endpoint of its own.
    return side.report is not None and side.container is not None and name in _sharing(side.report, side.container)


def _sharing(report: NodeReport, owner: Container) -> list[str]:
    return [one.name for one in report.containers or () if owner.id in (one.id, one.shares_network_of)]


def unknown(snapshot: Snapshot, text: str) -> OverlabError:
    """Why there is no such workload."""
    name = text.rpartition("/")[2]
    for node, report in snapshot.reports.items():
        for container in report.containers or ():
            if container.name == name:
                state = "is on no overlay network" if container.running else f"is {container.status}"
                remedy = f"overlab exec {node} -- docker start {name}" if not container.running else "name another one"
                return OverlabError(f"{name} on {node} {state}", remedy)
    known = sorted({side.name for side in _every(snapshot) if not side.endpoint.balancer})
    silent = [key for key in snapshot.nodes if key not in snapshot.reports]
    where = f"; {', '.join(silent)} did not answer" if silent else ""
    return OverlabError(f"no workload {text} is on an overlay network{where}", f"one of: {', '.join(known) or 'none'}")


def _networks(found: list[Side]) -> str:
    return ", ".join(sorted({side.network.name for side in found}))


def _is_address(text: str) -> bool:
    return text.replace(".", "").isdigit()
