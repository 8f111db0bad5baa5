"""A node's firewall: what may come in from the lab network. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from components.config import conventions

CHAIN = "OVERLAB"
PEERS = "OVERLAB-PEERS"
RULES_FILE = "/etc/overlab/firewall.rules"
UNIT = "overlab-firewall.service"


PeerPorts = tuple[tuple[Literal["tcp", "udp"], int], ...]
OVERLAY_PORTS: PeerPorts = (
    ("tcp", conventions.SERF_PORT),
    ("udp", conventions.SERF_PORT),
    ("udp", conventions.VXLAN_PORT),
)
CLUSTER_PORTS: PeerPorts = (
    ("tcp", conventions.CONSUL_RPC_PORT),
    ("tcp", conventions.CONSUL_GOSSIP_PORT),
    ("udp", conventions.CONSUL_GOSSIP_PORT),
)
"""Of a store with several servers."""
SINGLE_SERVER_PORTS: PeerPorts = (("tcp", conventions.CONSUL_HTTP_PORT),)


def rules(underlay: IPv4Network, peers: Iterable[IPv4Address], store_ports: PeerPorts, *, tls_api: bool) -> str:
    """The chain as ``iptables-restore --noflush`` reads it.

    Anyone on the underlay reaches SSH (and the engine's TLS listener, where there is one); peers also gossip, VXLAN
    and the store. Published ports never pass here: the engine forwards them.
    """
    lines = [
        "*filter",
        f":{CHAIN} - [0:0]",
        f":{PEERS} - [0:0]",
        f"-A {CHAIN} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        f"-A {CHAIN} -p icmp -j ACCEPT",
        f"-A {CHAIN} -s {underlay} -p tcp --dport {conventions.SSH_PORT} -j ACCEPT",
    ]
    if tls_api:
        lines.append(f"-A {CHAIN} -s {underlay} -p tcp --dport {conventions.ENGINE_PORT} -j ACCEPT")
    lines += [f"-A {CHAIN} -s {peer} -j {PEERS}" for peer in peers]
    lines += [f"-A {PEERS} -p {protocol} --dport {port} -j ACCEPT" for protocol, port in (*OVERLAY_PORTS, *store_ports)]
    return "\n".join([*lines, f"-A {CHAIN} -j REJECT", "COMMIT", ""])


def unit() -> str:
    """The systemd unit that loads the chain at boot, before the engine."""
    jump = f"INPUT -i {conventions.NIC} -j {CHAIN}"
    return "\n".join(
        [
            "[Unit]",
            "Description=What may come in from the lab network",
            "Before=docker.service",
            "",
            "[Service]",
            "Type=oneshot",
            "RemainAfterExit=yes",
            f"ExecStart=/usr/bin/env iptables-restore --noflush {RULES_FILE}",
            f"ExecStart=/bin/sh -c 'iptables -C {jump} 2>/dev/null || iptables -I {jump}'",
            f"ExecStop=/bin/sh -c 'iptables -D {jump} 2>/dev/null || true'",
            f"ExecReload=/usr/bin/env iptables-restore --noflush {RULES_FILE}",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )
