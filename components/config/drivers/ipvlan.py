"""``ipvlan`` in mode l2: each workload on the underlay's segment, or on a VLAN of it, by its node's MAC."""

from __future__ import annotations

from typing import Final

from components.config.drivers.driver import NetworkDriver

IPVLAN: Final = NetworkDriver(
    name="ipvlan",
    per_node=True,
    overhead=0,
    names=False,
    egress=False,
    internal=False,
    mtu=False,
    own_node=False,
    options=lambda parent: {"parent": parent, "ipvlan_mode": "l2"},
)
