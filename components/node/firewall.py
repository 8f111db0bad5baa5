"""A node's firewall: what it accepts, and what workloads may reach through it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from components.config import addressing, conventions
from components.config.stores.backend import PortRules
from components.node import scripts

SCRIPT = "/usr/local/sbin/overlab-firewall"
RULES_FILE = "/etc/overlab/firewall.rules"
RULES6_FILE = "/etc/overlab/firewall6.rules"
UNIT = "overlab-firewall.service"
PEER_PORTS: PortRules = (
    ("tcp", conventions.SERF_PORT),
    ("udp", conventions.SERF_PORT),
    ("udp", conventions.VXLAN_PORT),
)


def rules(
    underlay: IPv4Network,
    interface: str,
    peers: Iterable[IPv4Address],
    *,
    engine_api: bool,
    store_ports: PortRules,
    control_ports: Iterable[int],
) -> str:
    """The chains as ``iptables-restore --noflush`` reads them; ``interface`` is that of the underlay.

    Anyone on the underlay reaches SSH (and the engine's TLS listener, where there is one); peers also gossip, VXLAN
    and the store. From any other interface, which are those of containers, nothing is accepted.

    Published ports are forwarded and do not pass ``OVERLAB``. What workloads send to the underlay is masqueraded, so
    peers would take it for the node's own: ``OVERLAB-WORKLOADS`` rejects it on the way out, for every control port.
    It rejects link-local addresses too: by those a hypervisor's own services can be reached.
    """
    api = [conventions.ENGINE_PORT] if engine_api else []
    nodes = [(underlay, port) for port in control_ports]
    return scripts.render_text(
        "overlab-firewall.rules",
        underlay=underlay,
        interface=interface,
        ports=[conventions.SSH_PORT, *api],
        peers=list(peers),
        peer_ports=[*PEER_PORTS, *store_ports],
        link_local=conventions.LINK_LOCAL,
        refused=[*nodes, (addressing.gateway(underlay), conventions.REGISTRY_PORT)],
    )


def rules6() -> str:
    """The chain for IPv6, which a lab does not use: ICMPv6 and nothing else, from workloads and the underlay alike."""
    return scripts.render_text("overlab-firewall6.rules")


def script() -> str:
    """Loads the rules."""
    return scripts.render("overlab-firewall", rules_file=RULES_FILE, rules6_file=RULES6_FILE)


def unit() -> str:
    """The systemd unit that loads the rules before the engine starts."""
    return scripts.render_text(UNIT, script=SCRIPT)
