"""A lab as data to draw: its parts, their connections, and the state of each in the last test. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from components.checks.model import CheckResult
from components.config.settings import Settings
from overlab.stack.outputs import Outputs

PictureStatus = Literal["passed", "failed", "not run", "unknown"]


@dataclass(frozen=True)
class State:
    """Results of the checks about a part."""

    passed: int = 0
    failed: int = 0
    not_run: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.not_run

    @property
    def status(self) -> PictureStatus:
        if self.failed:
            return "failed"
        if self.not_run:
            return "not run"
        return "passed" if self.passed else "unknown"

    @property
    def text(self) -> str:
        return f"{self.passed}/{self.total} checks passed" if self.total else "not tested"


@dataclass(frozen=True)
class PictureNode:
    key: str
    address: str
    engine: str
    """Version of its engine; empty where it is not known."""
    serves_store: bool
    state: State = field(default_factory=State)
    advertises: str = ""
    store: str = ""
    """As its engine names it."""


@dataclass(frozen=True)
class PictureNetwork:
    name: str
    subnet: str
    """Empty where the engines have not chosen one yet."""
    created_on: str
    internal: bool
    state: State = field(default_factory=State)
    id: str = ""
    driver: str = "overlay"


@dataclass(frozen=True)
class PictureAttachment:
    network: str
    address: str
    aliases: tuple[str, ...] = ()
    state: State = field(default_factory=State)
    """Of the workload's checks on this network, and of those that are about none."""


@dataclass(frozen=True)
class Published:
    inside: str
    """``80/tcp``."""
    node_port: int | None
    """None where the engine has not chosen one yet."""


@dataclass(frozen=True)
class PictureWorkload:
    name: str
    node: str
    image: str
    shares_network_of: str
    """The workload whose network stack it uses; empty where it has its own."""
    attachments: tuple[PictureAttachment, ...] = ()
    ports: tuple[Published, ...] = ()
    state: State = field(default_factory=State)


@dataclass(frozen=True)
class Picture:
    """Everything that a drawing shows, in the order of the settings."""

    lab: str
    underlay: str
    gateway: str
    store: str
    """``consul, single-server mode``."""
    nodes: tuple[PictureNode, ...]
    networks: tuple[PictureNetwork, ...]
    workloads: tuple[PictureWorkload, ...]
    tested: datetime | None = None
    """When the last test began; None where the colors come from the last ``up``, or there are none."""

    def on(self, node: str) -> list[PictureWorkload]:
        return [workload for workload in self.workloads if workload.node == node]

    def sharing(self, workload: str) -> list[PictureWorkload]:
        """The workloads that use the network stack of this one."""
        return [other for other in self.workloads if other.shares_network_of == workload]


def build(
    settings: Settings, outputs: Outputs, results: Iterable[CheckResult] = (), tested: datetime | None = None
) -> Picture:
    """The picture of a lab: from its settings, and what is known of it once it was up."""
    found = list(results)
    return Picture(
        lab=settings.name,
        underlay=str(settings.underlay.cidr),
        gateway=str(settings.gateway),
        store=f"{settings.store.kind}, {'cluster' if settings.store.servers > 1 else 'single-server mode'}",
        nodes=tuple(_node(key, settings, outputs, found) for key in settings.nodes),
        networks=tuple(_network(name, settings, outputs, found) for name in settings.networks),
        workloads=tuple(_workload(name, settings, outputs, found) for name in settings.workloads),
        tested=tested,
    )


def _node(key: str, settings: Settings, outputs: Outputs, results: list[CheckResult]) -> PictureNode:
    engine = outputs.nodes.get(key, {}).get("engine")
    facts = engine if isinstance(engine, Mapping) else {}
    # What a node alone is about; what a workload on it is about colors that one.
    own = [one for one in results if one.node == key and (not one.source or one.status == "not run")]
    return PictureNode(
        key=key,
        address=str(settings.nodes[key].address),
        engine=str(facts.get("version", "")),
        serves_store=key in settings.store_nodes,
        state=_state(own),
        advertises=str(facts.get("advertise", "")),
        store=str(facts.get("store", "")),
    )


def _network(name: str, settings: Settings, outputs: Outputs, results: list[CheckResult]) -> PictureNetwork:
    spec = settings.networks[name]
    known = outputs.networks.get(name, {})
    subnet = known.get("subnet") or spec.subnet or ""
    own = [one for one in results if one.network == name]
    id_ = str(known.get("id", ""))
    created_on = spec.created_on or "every node"
    return PictureNetwork(name, str(subnet), created_on, spec.internal, _state(own), id_, spec.driver)


def _workload(name: str, settings: Settings, outputs: Outputs, results: list[CheckResult]) -> PictureWorkload:
    spec = settings.workloads[name]
    known = outputs.addresses().get(name, {})
    own = [one for one in results if name in one.workloads]
    attachments = tuple(
        PictureAttachment(
            network,
            known.get(network) or str(one.ipv4_address or ""),
            one.aliases,
            _state([result for result in own if result.network in (network, "")]),
        )
        for network, one in spec.networks.items()
    )
    return PictureWorkload(
        name=name,
        node=settings.placement[name],
        image=spec.image,
        shares_network_of=spec.shares_network_of or "",
        attachments=attachments,
        ports=_ports(name, settings, outputs),
        state=_state(own),
    )


def _ports(name: str, settings: Settings, outputs: Outputs) -> tuple[Published, ...]:
    if known := outputs.ports.get(name):
        return tuple(Published(inside, port) for inside, port in sorted(known.items()))
    spec = settings.workloads[name]
    stated = [Published(f"{port.target}/{port.protocol}", port.published) for port in spec.ports]
    exposed = [Published("every exposed port", None)] if spec.publish_all else []
    return tuple(stated + exposed)


def _state(results: list[CheckResult]) -> State:
    counts = Counter(result.status for result in results)
    return State(counts["passed"], counts["failed"], counts["not run"])
