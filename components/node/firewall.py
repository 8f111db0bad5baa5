"""A node's firewall: what may come in from the lab network. Pure."""

from __future__ import annotations

from components.config import conventions
from components.config.settings import Node, Settings

CHAIN = "OVERLAB"
PEERS = "OVERLAB-PEERS"
RULES_FILE = "/etc/overlab/firewall.rules"
UNIT = "overlab-firewall.service"


def rules(node: Node, settings: Settings) -> str:
    """The chain as ``iptables-restore --noflush`` reads it.

    Anyone in the lab network reaches SSH (and the engine's TLS listener, where there is one); peers also gossip, VXLAN
    and the store. Published ports never pass here: the engine forwards them.
    """
    lab = settings.underlay.cidr
    lines = [
        "*filter",
        f":{CHAIN} - [0:0]",
        f":{PEERS} - [0:0]",
        f"-A {CHAIN} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        f"-A {CHAIN} -p icmp -j ACCEPT",
        f"-A {CHAIN} -s {lab} -p tcp --dport {conventions.SSH_PORT} -j ACCEPT",
    ]
    if settings.engine.api == "tls":
        lines.append(f"-A {CHAIN} -s {lab} -p tcp --dport {conventions.ENGINE_PORT} -j ACCEPT")
    peers = [peer for peer in settings.nodes.values() if peer.key != node.key]
    lines += [f"-A {CHAIN} -s {peer.address} -j {PEERS}" for peer in peers]
    lines += [f"-A {PEERS} -p {protocol} --dport {port} -j ACCEPT" for protocol, port in _peer_ports(node, settings)]
    return "\n".join([*lines, f"-A {CHAIN} -j REJECT", "COMMIT", ""])


def _peer_ports(node: Node, settings: Settings) -> list[tuple[str, int]]:
    ports = [
        ("tcp", conventions.SERF_PORT),
        ("udp", conventions.SERF_PORT),
        ("udp", conventions.VXLAN_PORT),
    ]
    if settings.store.servers > 1:
        gossip = conventions.CONSUL_GOSSIP_PORT
        return [*ports, ("tcp", conventions.CONSUL_RPC_PORT), ("tcp", gossip), ("udp", gossip)]
    return [*ports, ("tcp", conventions.CONSUL_HTTP_PORT)] if node.key in settings.store_nodes else ports


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
