"""What a node told: the typed form of what ``node_collector.py`` prints. A part that could not be looked at is None."""

from __future__ import annotations

from ipaddress import IPv4Interface

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Engine(Fact):
    """dockerd, by its ``/info``."""

    version: str
    store: str
    advertise: str
    """As resolved: address and port."""
    live_restore: bool
    kernel: str


class Unit(Fact):
    """The engine's systemd unit."""

    state: str
    since: str
    run: str
    """systemd's invocation: another one is another run of the engine."""


class StoreAnswer(Fact):
    """The store, asked from this node."""

    version: str
    leader: str
    """Empty where it has none."""
    peers: tuple[str, ...]
    keys: dict[str, str]
    """Values in base64."""


class Endpoint(Fact):
    """A container's end in a network, as its engine has it."""

    network: str
    network_id: str
    id: str
    """Empty while the container does not run."""
    address: str
    mac: str
    gateway: str
    aliases: tuple[str, ...]


class Container(Fact):
    id: str
    name: str
    image: str
    status: str
    running: bool
    mode: str
    """A network's name, ``host``, or ``container:<id>`` for one that lives in another one's sandbox."""
    sandbox: str
    sandbox_key: str
    """File of the sandbox's namespace; that of the other container where the sandbox is shared is not here."""
    namespace: int | None
    """Inode of the network namespace that its process is in; None while it does not run."""
    endpoints: tuple[Endpoint, ...]
    ports: tuple[str, ...]

    @property
    def host_of_network(self) -> str | None:
        """Id of the container whose sandbox it lives in; None where it has its own."""
        kind, _, owner = self.mode.partition(":")
        return owner if kind == "container" else None


class NetworkEnd(Fact):
    """An endpoint as ``docker network inspect`` lists it."""

    name: str
    address: str
    mac: str


class Network(Fact):
    id: str
    name: str
    driver: str
    scope: str
    internal: bool
    subnet: str
    gateway: str
    endpoints: dict[str, NetworkEnd]
    """By endpoint; of the node's bridge alone."""


class Interface(Fact):
    name: str
    index: int
    peer: int | None
    """Index of the other end of its virtual cable, in the namespace where that is."""
    mac: str
    mtu: int
    addresses: tuple[IPv4Interface, ...]


class Sandbox(Fact):
    """What the kernel has in a container's network namespace."""

    interfaces: tuple[Interface, ...]
    default_route: str | None

    def by_mac(self, mac: str) -> Interface | None:
        return next((interface for interface in self.interfaces if interface.mac == mac), None)


class Port(Fact):
    """A virtual cable's end on a bridge."""

    name: str
    index: int
    peer: int | None


class Forwarding(Fact):
    """Behind which node's address a MAC is."""

    mac: str
    to: str
    device: str


class Neighbour(Fact):
    """Which MAC an address has."""

    address: str
    mac: str
    device: str


class OverlayNamespace(Fact):
    """An overlay's namespace on a node: bridge, VXLAN device, and what it knows of other nodes."""

    file: str
    network: str
    """The beginning of the network's id."""
    devices: dict[str, int]
    """VXLAN device -> VNI."""
    ports: tuple[Port, ...]
    forwarding: tuple[Forwarding, ...]
    neighbours: tuple[Neighbour, ...]

    @property
    def vnis(self) -> list[int]:
        return sorted(self.devices.values())


class Member(Fact):
    """The last thing that the engine's gossip said of a peer."""

    event: str
    """Join, Leave, Failed, Update or Reap."""
    address: str

    @property
    def joined(self) -> bool:
        return self.event in ("Join", "Update")


class Guard(Fact):
    """The engine's guard (``docs/adr/0006``)."""

    watching: bool
    sound: bool
    says: str


class NodeReport(Fact):
    """Everything that a node told."""

    hostname: str
    engine: Engine | None
    unit: Unit | None
    store: StoreAnswer | None
    containers: tuple[Container, ...] | None
    networks: tuple[Network, ...] | None
    sandboxes: dict[str, Sandbox] | None
    overlays: tuple[OverlayNamespace, ...] | None
    bridge: tuple[Port, ...] | None
    gossip: dict[str, Member] | None
    guard: Guard | None
    errors: dict[str, str]
    """What could not be looked at, and why: a part by its field, or one thing of it (``container web1``)."""

    def namespace(self, network_id: str) -> OverlayNamespace | None:
        """The namespace of an overlay; None where this node has none."""
        found = [one for one in self.overlays or () if network_id.startswith(one.network)]
        return found[-1] if found else None

    def sandbox(self, container: Container) -> Sandbox | None:
        return (self.sandboxes or {}).get(container.sandbox_key)

    def container_of(self, endpoint: str) -> Container | None:
        """The running container that has this endpoint."""
        for container in self.containers or ():
            if any(one.id == endpoint for one in container.endpoints):
                return container
        return None
