"""What a lab has to know of a cluster store: one record a product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

PortRules = tuple[tuple[Literal["tcp", "udp"], int], ...]
"""Protocol and port."""


@dataclass(frozen=True)
class Member:
    """A server, or an agent, before it runs."""

    node: str
    address: IPv4Address
    servers: Mapping[str, IPv4Address]
    """By node."""
    acl: bool = False


@dataclass(frozen=True)
class Process:
    """How one server or agent of a store runs in its container, without its secrets."""

    command: tuple[str, ...]
    listens: tuple[str, ...]
    """Addresses at which clients reach it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the container -> content."""


@dataclass(frozen=True)
class StoreBackend:
    """A product that libkv, and so an engine, takes as its cluster store."""

    name: str
    """Also of its container, and the scheme of the engines' cluster store."""
    title: str
    image: str
    memory_mib: int
    """Default memory limit of its container."""
    data_dir: str
    """In the container; a volume."""
    client_port: int
    server_ports: PortRules
    """On which the members of a cluster reach each other."""
    process: Callable[[Member], Process]
    other_ports: tuple[int, ...] = ()
    """On which it listens, and which nobody needs."""
    reserved_ports: frozenset[int] = frozenset()
    """Further ports on which it may listen."""
    agents: bool = False
    """In a cluster every node has an agent, and its engine asks that one: the engines take one address only."""
    acl: bool = False
    """Whether it can have access lists that an engine can live with."""
    ui: bool = False
    """Whether it has a web UI."""
    public_image: str | None = None
    """Where the default image is in the bundled platform's registry alone: one that others can pull."""

    @property
    def volume(self) -> str:
        """Name of the volume with its data."""
        return f"{self.name}-data"

    @property
    def control_ports(self) -> tuple[int, ...]:
        """No workload may reach them."""
        return tuple(dict.fromkeys([*(port for _, port in self.server_ports), *self.other_ports, self.client_port]))

    def endpoints(self, servers: Sequence[IPv4Address]) -> tuple[str, ...]:
        """Each HOST:PORT at which a node finds the store."""
        hosts = ["127.0.0.1"] if self.agents and len(servers) > 1 else [str(server) for server in servers]
        return tuple(f"{host}:{self.client_port}" for host in hosts)

    def url(self, servers: Sequence[IPv4Address]) -> str:
        """The engines' cluster store."""
        return f"{self.name}://{','.join(self.endpoints(servers))}"

    def peer_ports(self, servers: int, *, serves: bool) -> PortRules:
        """What a node opens to its peers for the store; ``serves``: it runs a server."""
        if servers > 1 and self.agents:
            return self.server_ports
        if not serves:
            return ()
        return (("tcp", self.client_port), *(self.server_ports if servers > 1 else ()))
