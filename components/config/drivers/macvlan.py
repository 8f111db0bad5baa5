"""``macvlan``: each workload with a MAC of its own on the underlay's segment, or on a VLAN of it."""

from __future__ import annotations

from typing import Final

from components.config.drivers.driver import NetworkDriver

MACVLAN: Final = NetworkDriver(
    name="macvlan",
    per_node=True,
    overhead=0,
    names=False,
    # Its default route is the subnet's gateway, which a lab has not.
    egress=False,
    internal=False,
    mtu=False,
    # The kernel delivers nothing between a parent and its macvlan interfaces.
    own_node=False,
    options=lambda parent: {"parent": parent, "macvlan_mode": "bridge"},
)
