"""What a node's resource is for: the end of its name, ``NODE-ROLE``. Pure; the components name by it, the command line
finds by it."""

from __future__ import annotations

from typing import Final

DOMAIN: Final = "domain"
DISK: Final = "disk"
CONTAINER: Final = "container"
"""Of a node container."""
DATA: Final = "data"
"""Volume of a node container."""
ENGINE: Final = "dockerd"
"""Command that configures the engine."""
ENGINE_PROVIDER: Final = "docker"
STORE_DATA: Final = "store-data"
CHECKS: Final = "checks"
PORTS: Final = "ports"
"""Command that asks for published ports."""

MACHINE: Final = (DOMAIN, DISK, CONTAINER, DATA)
"""What is recreated together."""


def resource_name(node: str, role: str) -> str:
    return f"{node}-{role}"


def node_of(name: str, role: str) -> str | None:
    """The node of a resource with this role; None for another resource."""
    node = name.removesuffix(f"-{role}")
    return node if node != name else None
