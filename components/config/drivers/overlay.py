"""``overlay``: VXLAN between nodes, kept in the cluster store."""

from __future__ import annotations

from typing import Final

from components.config import conventions
from components.config.drivers.driver import NetworkDriver

OVERLAY: Final = NetworkDriver(
    name="overlay",
    per_node=False,
    overhead=conventions.VXLAN_OVERHEAD,
    names=True,
    egress=True,
    internal=True,
    mtu=True,
    own_node=True,
)
