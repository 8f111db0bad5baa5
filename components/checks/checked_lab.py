"""What checks need of a lab's settings, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from components.config import addressing, conventions
from components.config.docker_names import advertised
from components.config.drivers import DRIVERS
from components.config.settings import Settings


@dataclass(frozen=True)
class CheckedWorkload:
    """A workload as checks need it."""

    node: str
    networks: tuple[str, ...]
    http_port: int | None


@dataclass(frozen=True)
class CheckedLab:
    """A lab as checks need it, before it runs."""

    nodes: Mapping[str, IPv4Address]
    underlay_gateway: IPv4Address
    """The platform's own address of the underlay."""
    cluster_store: str
    """The store's URL, as the engines are configured with it."""
    control_ports: tuple[int, ...]
    """Of the nodes: no workload may reach them."""
    workloads: Mapping[str, CheckedWorkload]
    mtu: Mapping[str, int]
    """Network -> bytes that a packet of a workload may have."""
    underlay_mtu: int = conventions.DEFAULT_MTU
    drivers: Mapping[str, str] = field(default_factory=dict)
    """Network -> driver."""

    @classmethod
    def of(cls, settings: Settings) -> CheckedLab:
        return cls(
            nodes={key: node.address for key, node in settings.nodes.items()},
            underlay_gateway=addressing.gateway(settings.underlay.cidr),
            cluster_store=settings.cluster_store,
            control_ports=settings.control_ports,
            workloads={
                name: CheckedWorkload(settings.placement[name], tuple(spec.networks), spec.http_port)
                for name, spec in settings.workloads.items()
            },
            mtu={name: settings.mtu(name) for name in settings.networks},
            drivers={name: spec.driver for name, spec in settings.networks.items()},
            underlay_mtu=settings.underlay.mtu,
        )

    def is_global(self, network: str) -> bool:
        """Whether every engine sees it by way of the store."""
        return not DRIVERS[self.drivers[network]].per_node

    def following(self, node: str) -> str:
        """The next node; a lone one itself."""
        nodes = list(self.nodes)
        return nodes[(nodes.index(node) + 1) % len(nodes)]

    def advertised(self, node: str) -> str:
        """The node as it stands in the store."""
        return advertised(self.nodes[node])
