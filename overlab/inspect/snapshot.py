"""Everything that was seen of a lab in one look, and what its settings want, as plain data."""

from __future__ import annotations

from functools import cached_property

from overlab.inspect import store
from overlab.inspect.report import Fact, NodeReport
from overlab.inspect.store import StoreView

DEFAULT_STACK = "dev"
"""The stack of a command that names none."""

LATE = "no answer within"
"""How the reason begins, where a look took too long."""


class Node(Fact):
    """What a node told, or why it told nothing."""

    report: NodeReport | None
    error: str | None
    seconds: float


class Wanted(Fact):
    """What the settings say of that which can be seen."""

    stack: str
    store: str
    """The cluster store as the engines are told."""
    servers: int
    store_nodes: tuple[str, ...]
    nodes: dict[str, str]
    """Node -> address."""
    advertise: dict[str, str]
    """Node -> how it stands in the store."""
    overlays: dict[str, str | None]
    """Overlay -> stated subnet."""
    workloads: dict[str, str]
    """Workload -> node."""

    def node_at(self, address: str) -> str | None:
        return next((key for key, known in self.nodes.items() if known == address), None)


class Snapshot(Fact):
    lab: str
    wanted: Wanted
    machines: dict[str, str]
    """Node -> state of its machine."""
    nodes: dict[str, Node]

    @property
    def reports(self) -> dict[str, NodeReport]:
        """Of the nodes that answered."""
        return {key: node.report for key, node in self.nodes.items() if node.report is not None}

    @cached_property
    def store(self) -> StoreView | None:
        """The store, by the first node that had an answer with a leader in it; else any answer; else None."""
        answers = [report.store for report in self.reports.values() if report.store is not None]
        best = next((answer for answer in answers if answer.leader), answers[0] if answers else None)
        return None if best is None else store.read(best)
