"""A node's firewall: what may come in from the underlay. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from components.config import conventions
from components.node import scripts

RULES_FILE = "/etc/overlab/firewall.rules"
UNIT = "overlab-firewall.service"
Ports = tuple[tuple[Literal["tcp", "udp"], int], ...]
"""Protocol and port."""
PEER_PORTS: Ports = (
    ("tcp", conventions.SERF_PORT),
    ("udp", conventions.SERF_PORT),
    ("udp", conventions.VXLAN_PORT),
)


def rules(lab: IPv4Network, peers: Iterable[IPv4Address], *, engine_api: bool, store_ports: Ports) -> str:
    """The chain as ``iptables-restore --noflush`` reads it.

    Anyone on the underlay reaches SSH (and the engine's TLS listener, where there is one); peers also gossip, VXLAN
    and the store. Published ports never pass here: the engine forwards them.
    """
    api = [conventions.ENGINE_PORT] if engine_api else []
    return scripts.render_text(
        "overlab-firewall.rules",
        lab=lab,
        ports=[conventions.SSH_PORT, *api],
        peers=list(peers),
        peer_ports=[*PEER_PORTS, *store_ports],
    )


def store_ports(servers: int, *, serves: bool) -> Ports:
    """What a node opens to its peers for the store: in a cluster each has an agent, else one node ``serves`` alone."""
    if servers > 1:
        gossip = conventions.CONSUL_GOSSIP_PORT
        return ("tcp", conventions.CONSUL_RPC_PORT), ("tcp", gossip), ("udp", gossip)
    return (("tcp", conventions.CONSUL_HTTP_PORT),) if serves else ()


def unit(interface: str) -> str:
    """The systemd unit that loads the chain at boot, before the engine."""
    return scripts.render_text(UNIT, interface=interface, rules_file=RULES_FILE)
