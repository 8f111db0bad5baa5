"""What a network driver can do: one record a driver, from which rules and checks follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkDriver:
    """A driver, and what its networks can and cannot do in a lab."""

    name: str
    per_node: bool
    """Each engine has a network of its own, with the subnet of all and a range of addresses of its own: the engines
    share no IPAM. Else one network is global, by way of the store."""
    overhead: int
    """Bytes that it takes of each packet on the underlay."""
    names: bool
    """Workloads find those of other nodes by name."""
    egress: bool
    """Its workloads get an interface on the node's bridge, and with it a default route. Where it is false they have the
    network's own gateway as default route instead, and no such interface even beside a network with egress."""
    internal: bool
    """Whether it can be without egress by choice."""
    mtu: bool
    """Whether a network may state an MTU."""
    own_node: bool
    """Workloads reach the node that they are on."""
    options: Callable[[str], Mapping[str, str]] | None = None
    """Docker's options for a parent interface; None where there is no parent."""

    @property
    def has_parent(self) -> bool:
        """Whether its interfaces are on the node's own, or on a VLAN of it."""
        return self.options is not None
