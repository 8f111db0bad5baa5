"""Everything that was collected of a lab at one moment, beside the state that its settings expect, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from overlab.inspect import store_view, swarm_view
from overlab.inspect.node_report import Fact, NodeReport, OverlayNamespace
from overlab.inspect.store_view import StoredNetwork, StoreView

DEFAULT_STACK = "dev"
"""The stack of a command that names none."""

TIMEOUT = "no answer within"
"""How an error begins where only the time was over, on the node and here."""


class NodeAnswer(Fact):
    """A node's report, or why there is none."""

    report: NodeReport | None
    error: str | None
    seconds: float
    clock_offset_s: float = 0.0
    """How far the node's clock was outside of the time of the session; 0 within it."""


class ExpectedState(Fact):
    """The part of the settings that a snapshot can be compared with."""

    stack: str
    store: str
    """The cluster store as the engines are configured with it."""
    servers: int
    store_nodes: tuple[str, ...]
    nodes: dict[str, str]
    """Node -> address."""
    advertise: dict[str, str]
    """Node -> its value below ``docker/nodes``."""
    networks: dict[str, str | None]
    """Network -> stated subnet."""
    workloads: dict[str, str]
    """Workload -> node."""
    attached: bool = False
    """Whether it is a cluster that was attached, and so is only what its own engines and store declare."""

    @property
    def store_url(self) -> str:
        return self.store.replace("consul://", "http://")

    def node_at(self, address: str) -> str | None:
        return next((key for key, known in self.nodes.items() if known == address), None)


class Snapshot(Fact):
    lab: str
    expected: ExpectedState
    machines: dict[str, str]
    """Node -> state of its machine."""
    nodes: dict[str, NodeAnswer]

    @property
    def reports(self) -> dict[str, NodeReport]:
        """Of the nodes that answered."""
        return {key: node.report for key, node in self.nodes.items() if node.report is not None}

    @cached_property
    def store(self) -> StoreView | None:
        """The store: the first answer to a node that names a leader; else any answer; else None."""
        answers = [report.store for report in self.reports.values() if report.store is not None]
        best = next((answer for answer in answers if answer.leader), answers[0] if answers else None)
        return None if best is None else store_view.read(best)

    @property
    def led_store(self) -> StoreView | None:
        """The store, where it has a leader: without one its answers mean nothing."""
        return self.store if self.store is not None and self.store.leader else None

    @property
    def in_swarm(self) -> bool:
        return any(report.engine is not None and report.engine.swarm_address for report in self.reports.values())

    @cached_property
    def stored_networks(self) -> tuple[StoredNetwork, ...]:
        """Overlay networks as the cluster store has them; those of a swarm as its engines declare them."""
        return self.led_store.networks if self.led_store else swarm_view.networks(self.reports)

    def namespaces(self) -> Iterator[tuple[StoredNetwork, str, OverlayNamespace]]:
        """Each of the store's networks with each node that has a namespace for it."""
        for network in self.stored_networks:
            for key, report in self.reports.items():
                namespace = report.namespace(network.id)
                if namespace is not None:
                    yield network, key, namespace
