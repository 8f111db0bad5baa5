"""Consul: servers, and in a cluster an agent on every node."""

from __future__ import annotations

import json
from collections.abc import Collection
from ipaddress import IPv4Address
from typing import Any, Final

from components.config import conventions
from components.config.stores.backend import Member, Process, StoreBackend

DATA_DIR = "/consul/data"
CONFIG_FILE = "/consul/config/lab.json"
SECRETS_DIR = "/consul/secrets"
"""In the container."""


def agent_config(
    node: str, address: IPv4Address, servers: Collection[IPv4Address], *, acl: bool = False
) -> dict[str, Any]:
    """Consul's configuration on a node, without secrets."""
    config: dict[str, Any] = {
        "bind_addr": str(address),
        "client_addr": "127.0.0.1",
        "data_dir": DATA_DIR,
        "disable_update_check": True,
        "enable_script_checks": False,
        "node_name": node,
        # The name of it in Consul 1.8; later ones know it still.
        "ui": True,
    }
    if address in servers:
        config |= {"server": True, "bootstrap_expect": len(servers)}
    if len(servers) == 1:
        # Alone there is nobody to wait for: it elects itself after 1 to 2 s, by default after 5 to 10.
        return config | {"client_addr": f"127.0.0.1 {address}", "performance": {"raft_multiplier": 1}}
    if acl:
        config["acl"] = {"enabled": True, "default_policy": "deny", "enable_token_persistence": False}
    # RPC between agents, port 8300; HTTP is for the node itself, and its engine speaks no TLS to it.
    config |= {"verify_incoming_rpc": True, "verify_outgoing": True, "verify_server_hostname": True}
    config |= {f"{name}_file": f"{SECRETS_DIR}/{name}.pem" for name in ("ca", "cert", "key")}
    return config | {"retry_join": [str(one) for one in servers]}


def process(member: Member) -> Process:
    config = agent_config(member.node, member.address, tuple(member.servers.values()), acl=member.acl)
    return Process(
        command=("agent", f"-config-file={CONFIG_FILE}"),
        listens=tuple(config["client_addr"].split()),
        files={CONFIG_FILE: json.dumps(config, indent=2, sort_keys=True) + "\n"},
    )


CONSUL: Final = StoreBackend(
    name="consul",
    title="Consul",
    image=conventions.CONSUL_IMAGE,
    memory_mib=128,
    data_dir=DATA_DIR,
    client_port=conventions.CONSUL_HTTP_PORT,
    server_ports=(
        ("tcp", conventions.CONSUL_RPC_PORT),
        ("tcp", conventions.CONSUL_GOSSIP_PORT),
        ("udp", conventions.CONSUL_GOSSIP_PORT),
    ),
    process=process,
    # Gossip between data centers.
    other_ports=(conventions.CONSUL_WAN_PORT,),
    # HTTPS, gRPC, DNS.
    reserved_ports=frozenset({8501, 8502, 8600}),
    agents=True,
    acl=True,
    ui=True,
)
