"""The addresses of nodes and of the store in Docker's configuration and in the store. Pure."""

from __future__ import annotations

from components.config import conventions
from components.config.settings import Node, Settings


def advertised(node: Node) -> str:
    """The node's entry in the store: its address and the advertised port."""
    return f"{node.address}:{conventions.ENGINE_PORT}"


def store_address(settings: Settings) -> str:
    """The store's HTTP API for a node: the single server, or in cluster mode the agent on the node itself."""
    if settings.store.servers > 1:
        return f"127.0.0.1:{conventions.CONSUL_HTTP_PORT}"
    return f"{settings.nodes[settings.store_nodes[0]].address}:{conventions.CONSUL_HTTP_PORT}"


def store_url(settings: Settings) -> str:
    """The engines' ``cluster-store``. libkv takes exactly one Consul address."""
    return f"consul://{store_address(settings)}"
