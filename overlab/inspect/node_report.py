"""What a node reports: the typed form of what ``node_collector.py`` prints. A part that was not collected is None."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


def _text(value: object) -> object:
    """Numbers and booleans are no addresses, though ``IPv4Interface`` takes them."""
    if not isinstance(value, str | IPv4Interface):
        raise ValueError("an address is text")
    return value


class Engine(Fact):
    """dockerd, by its ``/info``."""

    version: str
    store: str
    advertise: str
    """As resolved: address and port."""
    swarm_address: str = ""
    """Of the node in its swarm; empty without one."""
    swarm_nodes: dict[str, str] = {}
    """Address -> state; only a manager knows it."""


class StoreAnswer(Fact):
    """The cluster store, asked from this node."""

    version: str
    leader: str
    """Empty without one."""
    peers: tuple[str, ...]
    keys: dict[str, str]
    """Values in base64."""


class ContainerEndpoint(Fact):
    """A container's endpoint on a network, as its engine has it."""

    network: str
    network_id: str
    id: str
    """Empty while the container does not run."""
    address: str
    mac: str
    aliases: tuple[str, ...]


class Container(Fact):
    id: str
    name: str
    status: str
    running: bool
    network_mode: str
    """A network's name, ``host``, or ``container:<id>`` of the container whose sandbox it shares."""
    sandbox: str
    sandbox_key: str
    """File of the sandbox's namespace; empty where the sandbox is another container's."""
    network_namespace: int | None
    """Inode of the network namespace of its process; None while it does not run."""
    endpoints: tuple[ContainerEndpoint, ...]
    ports: tuple[str, ...]

    @property
    def shares_network_of(self) -> str | None:
        """Id of the container whose sandbox it shares; None where it has its own."""
        kind, _, owner = self.network_mode.partition(":")
        return owner if kind == "container" else None


class ListedEndpoint(Fact):
    """An endpoint of this node as ``docker network inspect`` lists it."""

    name: str
    mac: str
    address: str = ""
    """With its prefix length."""
    container: str = ""
    """Its id, or the name of a load balancer's sandbox."""

    @property
    def balancer(self) -> bool:
        """Whether it is a load balancer's of a swarm, and no container's."""
        return self.container.startswith("lb-") or self.container == "ingress-sbox"


class KnownEndpoint(Fact):
    """An endpoint of any node, as gossip brought it to an engine of a swarm."""

    name: str
    address: str
    node: str
    """Address of its node."""


class EngineNetwork(Fact):
    """A network as ``docker network ls`` lists it."""

    id: str
    name: str
    driver: str
    scope: str
    internal: bool
    subnet: str
    gateway: str
    vnis: dict[str, int] = {}
    """Subnet -> VNI; of a swarm's networks."""
    encrypted: bool = False
    peers: tuple[str, ...] = ()
    """Addresses of the nodes that have the network, as gossip brought them; of a swarm's networks."""
    endpoints: dict[str, ListedEndpoint]
    """By id; of docker_gwbridge and a swarm's networks."""
    known: dict[str, KnownEndpoint] = {}
    """By id; of a swarm's networks."""


class Port(Fact):
    """A veth on a bridge."""

    name: str
    index: int
    peer: int | None
    """Interface index of the other veth of the pair, in its own namespace."""
    up: bool = True
    """Whether it is set up, by its flag."""


class Interface(Port):
    """A veth in a sandbox."""

    mac: str
    mtu: int
    addresses: tuple[Annotated[IPv4Interface, BeforeValidator(_text)], ...]


class SandboxNamespace(Fact):
    """What the kernel has in a container's network namespace."""

    interfaces: tuple[Interface, ...]
    default_route: str | None

    def by_mac(self, mac: str) -> Interface | None:
        return next((interface for interface in self.interfaces if interface.mac == mac), None)


class FdbEntry(Fact):
    """The VXLAN tunnel endpoint (a node's address) behind which a MAC is."""

    mac: str
    destination: str


class Neighbor(Fact):
    """The MAC of an address."""

    address: str
    mac: str


class OverlayNamespace(Fact):
    """A network's namespace on a node: bridge, VXLAN device, FDB and neighbor entries of endpoints on other nodes."""

    file: str
    network: str
    """The beginning of the network's id."""
    devices: dict[str, int]
    """VXLAN device -> VNI."""
    bridge: str = ""
    down: tuple[str, ...] = ()
    """Interfaces that are not set up."""
    ports: tuple[Port, ...]
    detached: tuple[Port, ...] = ()
    """Veths that are not ports of the bridge."""
    fdb: tuple[FdbEntry, ...]
    neighbors: tuple[Neighbor, ...]

    @property
    def vnis(self) -> list[int]:
        return sorted(self.devices.values())


class Member(Fact):
    """The last event that the engine's gossip logged for a peer."""

    event: str
    """Join, Leave, Failed, Update or Reap."""

    @property
    def joined(self) -> bool:
        return self.event in ("Join", "Update")


class Watchdog(Fact):
    """``dockerd-watchdog`` (``docs/adr/0006``)."""

    active: bool
    """Whether its path unit is."""
    healthy: bool
    """Its message about the engine."""
    message: str


class NodeReport(Fact):
    hostname: str
    clock: float | None = None
    """Seconds since the epoch."""
    engine: Engine | None
    unit: str | None
    """systemd's state of docker.service."""
    store: StoreAnswer | None
    containers: tuple[Container, ...] | None
    networks: tuple[EngineNetwork, ...] | None
    sandboxes: dict[str, SandboxNamespace] | None
    """By file of the namespace."""
    overlay_namespaces: tuple[OverlayNamespace, ...] | None
    gateway_ports: tuple[Port, ...] | None
    """On docker_gwbridge."""
    gossip: dict[str, Member] | None
    """By host name of the peer."""
    watchdog: Watchdog | None
    configuration: tuple[str, ...] | None = None
    """What differs from what the last update put on the node."""
    dropping_rules: tuple[str, ...] | None = None
    """Of the node's packet filter, those that drop VXLAN or gossip from anywhere."""
    errors: dict[str, str]
    """What was not collected, and why: a part by its field, or an item of one (``container web1``)."""

    def namespace(self, network_id: str) -> OverlayNamespace | None:
        """The namespace of an overlay network; None where this node has none."""
        matches = [space for space in self.overlay_namespaces or () if network_id.startswith(space.network)]
        return matches[-1] if matches else None

    @property
    def load_balancers(self) -> list[ListedEndpoint]:
        """Those of a swarm that have a gateway endpoint."""
        bridges = (network for network in self.networks or () if network.driver == "bridge")
        return [one for network in bridges for one in network.endpoints.values() if one.balancer]

    def sandbox(self, container: Container) -> SandboxNamespace | None:
        return (self.sandboxes or {}).get(container.sandbox_key)

    def container_of(self, endpoint_id: str) -> Container | None:
        """The running container that has this endpoint."""
        for container in self.containers or ():
            if any(endpoint.id == endpoint_id for endpoint in container.endpoints):
                return container
        return None

    def attached_to_network(self, mac: str) -> str | None:
        """Id of the network on which a container of this node has an endpoint with this MAC."""
        endpoints = (endpoint for container in self.containers or () for endpoint in container.endpoints)
        return next((endpoint.network_id for endpoint in endpoints if endpoint.mac == mac), None)
