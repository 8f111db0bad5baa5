"""The addresses of nodes and of the store in Docker's configuration and in the store. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from components.config import conventions


def advertised(address: IPv4Address) -> str:
    """The node with this address as it stands in the store: address and the label port."""
    return f"{address}:{conventions.ENGINE_PORT}"


def store_address(servers: Sequence[IPv4Address]) -> str:
    """Where a node finds the store's HTTP API: the single server, or in cluster mode the agent on the node itself."""
    host = "127.0.0.1" if len(servers) > 1 else str(servers[0])
    return f"{host}:{conventions.CONSUL_HTTP_PORT}"


def store_url(servers: Sequence[IPv4Address]) -> str:
    """The engines' cluster store. libkv takes exactly one Consul address."""
    return f"consul://{store_address(servers)}"
