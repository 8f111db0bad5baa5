"""The addresses of nodes in Docker's configuration and in the store. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address

from components.config import conventions


def advertised(address: IPv4Address) -> str:
    """The node with this address as it stands in the store: address and the label port."""
    return f"{address}:{conventions.ENGINE_PORT}"
