"""The sections of a stack file: the value of ``overlab:lab``. Rules between sections: ``rules.py``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from components.config import addressing, compose, conventions
from components.config.drivers import DRIVERS, NetworkDriver
from components.config.fields import (
    Address,
    Bridge,
    Cidr,
    Directory,
    DockerSocket,
    HostName,
    ImageName,
    ImageSource,
    LabName,
    LibvirtUri,
    Mtu,
    ObjectName,
    Pattern,
    Port,
    Sha256,
    Url,
    UtsName,
    WorkloadName,
    as_tuple,
)
from components.config.section import Spec, Violation
from components.config.stores import BACKENDS, RESERVED_PORTS, StoreBackend

LARGEST_UNDERLAY = 8
SMALLEST_UNDERLAY = 28
SMALLEST_SUBNET = 29
DEFAULT_RANGE_BITS = 4


class UnderlaySpec(Spec):
    """The network between the machines (the overlays' underlay)."""

    cidr: Cidr = IPv4Network("10.99.0.0/24")
    """/8 to /28, overlapping no other network of the lab. Its first address is the hypervisor's."""
    domain: HostName = "lab"
    """The nodes' DNS domain: docker01.lab."""
    mtu: Mtu = 1500
    """Bytes a packet; overlay networks get 50 less."""
    mode: Literal["auto", "isolated", "nat"] = "auto"
    """Egress. ``auto``: isolated where the platform brings its own registry, else nat."""
    bridge: Bridge | None = None
    """An existing bridge of this name on every hypervisor, to which the machines are connected instead of a network of
    the lab's own. The first address is then that of the router and name server behind it."""

    def violations(self) -> Iterator[Violation]:
        if self.cidr.prefixlen > SMALLEST_UNDERLAY:
            yield Violation(("cidr",), self.cidr, f"/{SMALLEST_UNDERLAY} or larger", "use a shorter prefix")
        if self.cidr.prefixlen < LARGEST_UNDERLAY:
            rule = f"/{LARGEST_UNDERLAY} or smaller: a machine's MAC carries the last three bytes of its address"
            yield Violation(("cidr",), self.cidr, rule, "use a longer prefix")
        if self.bridge is not None and self.mode != "auto":
            rule = f"auto where underlay.bridge is set: the network behind {self.bridge} decides on egress"
            yield Violation(("mode",), self.mode, rule, "leave out one of the two")


class MachineSpec(Spec):
    """Size of a node's virtual machine. Another size replaces the machine, with everything on its disk."""

    vcpu: Annotated[int, Field(ge=1, le=64)] = 1
    """Virtual processors."""
    memory_mib: Annotated[int, Field(ge=conventions.MINIMUM_MEMORY_MIB, le=1_048_576)] = 1024
    """Must hold the node's containers and 320 MiB for the system and the engine."""
    disk_gib: Annotated[int, Field(ge=conventions.MINIMUM_DISK_GIB, le=4096)] = 8
    """Size that the disk may grow to."""


class MachinesSpec(MachineSpec):
    """What the nodes are, and the size of those that state none."""

    kind: Literal["vm", "container"] = "vm"
    """``vm``: virtual machines of a hypervisor. ``container``: system containers, up in a second and no isolation
    boundary; ``vcpu`` and ``disk_gib`` limit nothing then."""


class NodeSpec(Spec):
    """One node. Its key is its host name."""

    address: Address | None = None
    """Default: the underlay's address + 10 + the number at the end of the node's key."""
    machine: MachineSpec | None = None
    """Its size, where it differs. A key left out has its own default, not the value in the lab's ``machine``."""
    hypervisor: HostName | None = None
    """The one of ``platform.hypervisors`` that runs its machine. Required where there are several."""


class PoolSpec(Spec):
    """Addresses for an engine's local bridge networks."""

    base: Cidr
    """The range that they are cut from."""
    size: Annotated[int, Field(ge=8, le=30)]
    """Prefix length of each."""

    def violations(self) -> Iterator[Violation]:
        if self.size < self.base.prefixlen:
            rule = f"a prefix length of {self.base.prefixlen} or more, to cut {self.base} into subnets"
            yield Violation(("size",), self.size, rule, "write a larger prefix length")


class EngineSpec(Spec):
    """dockerd on every node."""

    version: Annotated[str, Pattern(r"20\.10(\.[0-9]{1,3})?", "20.10 or 20.10.N")] = conventions.ENGINE_VERSION
    """Wanted version, or its leading part."""
    install: Literal["preinstalled", "packages", "apt"] = "preinstalled"
    """Part of the image (``preinstalled``), packages copied to the node, or an apt repository."""
    api: Literal["ssh", "tls"] = "ssh"
    """``tls`` adds a listener on tcp 2376 of the underlay that requires a client certificate."""
    live_restore: bool = True
    """Containers outlive a restart of their engine."""
    firewall: bool = True
    """Accept from the underlay only what the lab needs: SSH, and from peers gossip, VXLAN and the store; and let
    workloads reach no control port of any node. Its engine does not start without it."""
    no_new_privileges: bool = True
    """Processes in containers gain no rights by setuid programs or file capabilities (sudo, su, ping of a user)."""
    icc: bool = False
    """Containers on an engine's default bridge ``docker0`` reach each other. Workloads are not on it."""
    address_pools: Annotated[tuple[PoolSpec, ...], BeforeValidator(as_tuple)] = (
        PoolSpec(base=IPv4Network("172.30.0.0/16"), size=24),
    )
    """Where the engines' own bridge networks get their subnets."""
    heartbeat_s: Annotated[int, Field(ge=1, le=300)] = conventions.HEARTBEAT_S
    """How often an engine renews its registration in the store."""
    ttl_s: Annotated[int, Field(ge=conventions.MINIMUM_DISCOVERY_TTL_S, le=3600)] = conventions.DISCOVERY_TTL_S
    """After how long without a heartbeat an engine counts as gone."""

    def violations(self) -> Iterator[Violation]:
        if self.ttl_s <= self.heartbeat_s:
            rule = f"greater than engine.heartbeat_s ({self.heartbeat_s})"
            yield Violation(("ttl_s",), self.ttl_s, rule, f"use {3 * self.heartbeat_s}, three heartbeats")


class StoreSpec(Spec):
    """The cluster store."""

    kind: Literal["consul", "etcd"] = "consul"
    """The product."""
    servers: Literal[1, 3, 5] = 1
    """1 is the single-server mode. 3 or 5: a server on as many nodes. Of Consul every node then has an agent, which
    its engine uses; of the others each engine knows all servers."""
    node: HostName | None = None
    """The node of the single server; default: the first node by name."""
    acl: bool | None = None
    """Consul's access lists, deny by default: a node may write Docker's data and little else. Default: with several
    servers; a single one cannot have them, nor can another product."""
    image: ImageName | None = None
    """The image that it runs from. Default: by kind."""
    memory_mib: Annotated[int, Field(ge=64, le=65536)] | None = None
    """Memory limit of its container. Default: by kind, 128 for Consul and etcd."""

    @property
    def backend(self) -> StoreBackend:
        return BACKENDS[self.kind]

    @property
    def image_name(self) -> str:
        """The image, stated or by default."""
        return self.image or self.backend.image

    @property
    def memory_limit_mib(self) -> int:
        """The memory limit, stated or by default."""
        return self.memory_mib or self.backend.memory_mib

    @property
    def has_acl(self) -> bool:
        """Whether the store has access lists, stated or by default."""
        return self.backend.acl and (self.servers > 1 if self.acl is None else self.acl)

    def violations(self) -> Iterator[Violation]:
        if self.servers > 1 and self.node is not None:
            rule = "only for a single server"
            yield Violation(("node",), self.node, rule, "leave it out: the first nodes run the servers")
        if self.acl and not self.backend.acl:
            rule = f"not with {self.backend.title}, to which the engines cannot send a name and a password"
            yield Violation(("acl",), True, rule, "leave it out, or set store.kind to consul")
        elif self.acl and self.servers == 1:
            reason = "the engines cannot send a token, so each needs its own agent that has one"
            remedy = "set store.servers to 3, or leave it out"
            yield Violation(("acl",), True, f"only with 3 or 5 servers: {reason}", remedy)


class NetworkOptions(Spec):
    """How an engine creates a network."""

    driver: Literal["overlay", "macvlan", "ipvlan"] = "overlay"
    """Docker's network driver."""
    subnet: Cidr | None = None
    """Default: the next free one of the engines' own overlay pool (10.0.0.0/8 in /24, from 10.0.0.0/16 on)."""
    ip_range: Cidr | None = None
    """The part of the (stated) subnet from which the engines pick addresses. Default: all of it."""
    gateway: Address | None = None
    """A host address of the (stated) subnet. Default: the first, or the first of ``ip_range``."""
    aux_addresses: dict[ObjectName, Address] = Field(default_factory=dict)
    """Addresses of the (stated) subnet that no workload may get, by a name for each."""
    internal: bool = False
    """No egress: its workloads get no interface on the node's bridge and no default route."""
    mtu: Mtu | None = None
    """The *underlay* MTU that it assumes; containers get 50 less. Default: the underlay's own. ``overlay`` only."""
    vlan: Annotated[int, Field(ge=2, le=4094)] | None = None
    """The VLAN of the underlay's interface that it is on. Default: the interface itself. ``macvlan``, ``ipvlan``."""

    @property
    def kind(self) -> NetworkDriver:
        """What its driver can do."""
        return DRIVERS[self.driver]

    @property
    def gateway_address(self) -> IPv4Address | None:
        """The gateway, stated or as libnetwork picks it; None where no subnet is stated."""
        if self.subnet is None or self.gateway is not None:
            return self.gateway
        lowest = addressing.first(self.subnet)
        return max(lowest, self.ip_range.network_address) if self.ip_range else lowest

    def has_host(self, address: IPv4Address) -> bool:
        """Whether the address is a host address of the stated subnet."""
        subnet = self.subnet
        return subnet is not None and address in subnet and address not in (subnet[0], subnet[-1])

    def violations(self) -> Iterator[Violation]:
        kind = self.kind
        if self.vlan is not None and not kind.has_parent:
            yield Violation(("vlan",), self.vlan, f"not with driver {kind.name}", "leave it out")
        if self.mtu is not None and not kind.mtu:
            rule = f"not with driver {kind.name}, whose packets are the underlay's own"
            yield Violation(("mtu",), self.mtu, rule, "leave it out, and state underlay.mtu")
        if self.internal and not kind.internal:
            rule = f"not with driver {kind.name}, which has no egress in any case"
            yield Violation(("internal",), True, rule, "leave it out")
        if self.subnet is None and kind.per_node:
            rule = f"required with driver {kind.name}: the engines share no IPAM"
            yield Violation(("subnet",), None, rule, "state one, outside the underlay's")
        if self.subnet is None:
            for key in ("ip_range", "gateway", "aux_addresses"):
                if value := getattr(self, key):
                    yield Violation((key,), value, "only with a stated subnet", "state the subnet")
            return
        if self.subnet.prefixlen > SMALLEST_SUBNET:
            yield Violation(("subnet",), self.subnet, f"/{SMALLEST_SUBNET} or larger", "use a shorter prefix")
        if self.gateway is not None and not self.has_host(self.gateway):
            remedy = f"use {addressing.first(self.subnet)}"
            yield Violation(("gateway",), self.gateway, f"a host address of {self.subnet}", remedy)
        if self.ip_range is not None and not self.ip_range.subnet_of(self.subnet):
            yield Violation(
                ("ip_range",), self.ip_range, f"a part of {self.subnet}", "choose a range inside the subnet"
            )
        names: dict[IPv4Address, str] = {}
        for name, address in self.aux_addresses.items():
            if not self.has_host(address) or address == self.gateway_address:
                rule = f"a host address of {self.subnet} that is not its gateway ({self.gateway_address})"
                yield Violation(("aux_addresses", name), address, rule, "choose another address of the subnet")
            if (first := names.setdefault(address, name)) != name:
                rule = f"one name an address; {first} is this one"
                yield Violation(("aux_addresses", name), address, rule, "remove one of the two")


class NetworkSpec(NetworkOptions):
    """One network."""

    created_on: HostName | None = None
    """The node whose engine creates it; every other node sees it then. Required with ``overlay``; with another driver
    every engine creates its own."""
    node_prefix: Annotated[int, Field(ge=9, le=30)] | None = None
    """Prefix length of the range of the subnet from which each engine picks addresses, where every engine has a network
    of its own. Default: 16 ranges, the first of which is no node's."""

    @property
    def range_prefix(self) -> int:
        """Prefix length of a node's range. Only with a stated subnet."""
        assert self.subnet is not None
        return self.node_prefix or min(self.subnet.prefixlen + DEFAULT_RANGE_BITS, 30)

    def violations(self) -> Iterator[Violation]:
        yield from super().violations()
        kind = self.kind
        if not kind.per_node:
            if self.created_on is None:
                yield Violation(("created_on",), None, "required with driver overlay", "add the key created_on")
            if self.node_prefix is not None:
                rule = "not with driver overlay, whose engines share one IPAM"
                yield Violation(("node_prefix",), self.node_prefix, rule, "leave it out")
            return
        if self.created_on is not None:
            rule = f"not with driver {kind.name}: every engine creates its own"
            yield Violation(("created_on",), self.created_on, rule, "leave it out")
        if self.ip_range is not None:
            rule = f"not with driver {kind.name}: each node has a range of its own"
            yield Violation(("ip_range",), self.ip_range, rule, "leave it out, or state node_prefix")
        if self.subnet is not None and self.node_prefix is not None and self.node_prefix <= self.subnet.prefixlen:
            rule = f"longer than the subnet's, {self.subnet.prefixlen}"
            yield Violation(("node_prefix",), self.node_prefix, rule, f"write {self.subnet.prefixlen + 4}")


def has_egress(networks: Collection[NetworkOptions]) -> bool:
    """Whether a workload on these gets an interface on the node's bridge.

    libnetwork makes none where another network has a gateway, and an overlay has none.
    """
    return all(one.kind.egress for one in networks) and any(not one.internal for one in networks)


class AttachmentSpec(Spec):
    """How a workload is connected to one network."""

    ipv4_address: Address | None = None
    """A fixed address of the network's (stated) subnet. Default: the next free one."""
    aliases: Annotated[tuple[HostName, ...], BeforeValidator(as_tuple)] = ()
    """Further names by which the network's other workloads find it."""


Attachment = Annotated[AttachmentSpec, compose.ATTACHMENT_FORMS]


class PortSpec(Spec):
    """A published port."""

    target: Port
    """The port in the container."""
    published: compose.Published | None = None
    """The port of the node. Default: one that the engine picks."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """The protocol of both."""

    def violations(self) -> Iterator[Violation]:
        if self.published in RESERVED_PORTS:
            remedy = f"not one of {sorted(RESERVED_PORTS)}"
            yield Violation(("published",), self.published, "a port that the lab itself does not use", remedy)


PublishedPort = Annotated[PortSpec, compose.PORT_FORMS]


class ContainerOptions(Spec):
    """How an engine runs a workload's container."""

    image: ImageName = conventions.BUSYBOX_IMAGE
    """The image that it runs from."""
    command: compose.Command | None = None
    """A list, or text that is split as a shell splits it. Default: the image's own; a busybox sleeps."""
    labels: compose.Labels = Field(default_factory=dict)
    """Container labels: a mapping, or a list of ``NAME=VALUE``. ``overlab.`` is the lab's own namespace."""
    hostname: UtsName | None = None
    """Default: the workload's name."""
    dns: compose.DnsServers = ()
    """Name servers for what the engine's own does not answer: one, or a list. Default: the node's."""
    dns_search: compose.DnsSearch = ()
    """Search domains: one, or a list. Default: the node's."""
    extra_hosts: compose.ExtraHosts = Field(default_factory=dict)
    """Lines for ``/etc/hosts``: a list of ``"NAME:ADDRESS"``, or a mapping."""
    ports: Annotated[tuple[PublishedPort, ...], BeforeValidator(as_tuple)] = ()
    """Ports published on its node: ``"90:80"`` (published:target), ``"80"``, or mappings."""
    publish_all: bool = False
    """Publish every port that the image exposes, each on a port that the engine picks."""
    http_port: Port | None = None
    """The port of a web server in it, for checks by HTTP."""
    memory_mib: Annotated[int, Field(ge=6, le=65536)] = 64
    """Memory limit of the container."""

    def violations(self) -> Iterator[Violation]:
        first: dict[tuple[int, str], int] = {}
        for index, port in enumerate(self.ports):
            if first.setdefault((port.target, port.protocol), index) != index:
                rule = f"one node port a container port; ports.{first[port.target, port.protocol]} is {port.target} too"
                yield Violation(("ports", index), port.published, rule, "publish it once")


OF_NETWORK_STACK = ("networks", "ports", "publish_all", "hostname", "dns", "dns_search", "extra_hosts")
"""What a workload in another one's network stack cannot have."""


class WorkloadSpec(ContainerOptions):
    """One test container: on its own networks, or in the network stack of another workload."""

    node: HostName | None = None
    """Required unless ``network_mode`` is set (then it is that workload's node)."""
    environment: compose.Environment = Field(default_factory=dict)
    """Environment variables: a mapping, or a list of ``NAME=VALUE``. A value may be a Pulumi secret."""
    networks: Annotated[dict[ObjectName, Attachment], compose.NAMES] = Field(default_factory=dict)
    """Names of networks, or a mapping of names to how it is connected to each."""
    network_mode: compose.NetworkMode | None = None
    """``container:NAME``: use the network stack (addresses, interfaces, loopback) of the workload NAME."""

    @property
    def shares_network_of(self) -> str | None:
        """The workload whose network stack this one uses; None where it has its own."""
        return self.network_mode.removeprefix("container:") if self.network_mode else None

    def violations(self) -> Iterator[Violation]:
        yield from super().violations()
        other = self.shares_network_of
        if other is None:
            if self.node is None:
                rule = "required, unless network_mode names another workload"
                yield Violation(("node",), None, rule, "add the key node")
            if not self.networks:
                rule = "at least one network, or network_mode: container:NAME"
                yield Violation(("networks",), [], rule, "name a network of this lab")
            return
        for key in OF_NETWORK_STACK:
            if value := getattr(self, key):
                rule = f"not for a workload in {other}'s network stack"
                yield Violation((key,), value, rule, f"leave it out, or set it at {other}")


class CheckSpec(Spec):
    """A custom check, beside those that follow from the lab."""

    kind: Literal["ping-ip", "ping-name", "http"]
    """What is sent."""
    source: WorkloadName
    """The workload that sends it."""
    target: WorkloadName
    """The workload that must answer."""
    network: ObjectName
    """The network of the target on which it is asked."""
    expect: Literal["pass", "fail"] = "pass"
    """Whether it must succeed."""
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = conventions.CHECK_LIMIT_S
    """It is retried until the result is as expected, at most this long."""


class HypervisorSpec(Spec):
    """One of several hypervisors."""

    uri: LibvirtUri
    """Its libvirt URI."""
    pool_dir: Directory = conventions.POOL_DIR
    """Directory on it in which the lab's storage pool is created."""


class PlatformSpec(Spec):
    """What to use instead of what this machine has or what can be built on it."""

    kind: Literal["auto", "bundled", "system"] = "auto"
    """``bundled``: a private hypervisor, or a private engine for node containers; ``system``: the one at ``uri`` or
    ``docker_host``; ``auto``: system where one of these is set."""
    uri: LibvirtUri | None = None
    """libvirt URI of the hypervisor."""
    hypervisors: dict[HostName, HypervisorSpec] = Field(default_factory=dict)
    """Named hypervisors, instead of ``uri``, where nodes are placed on several."""
    docker_host: DockerSocket | None = None
    """The Docker engine of this machine that runs node containers, as ``DOCKER_HOST`` states it."""
    image: ImageSource | None = None
    """Path or URL of a base image: raw or qcow2."""
    image_sha256: Sha256 | None = None
    """Its SHA-256, which is verified; required for an ``http`` URL."""
    registry_mirror: Url | None = None
    """URL of a registry mirror, as the nodes reach it."""

    @property
    def is_bundled(self) -> bool:
        """Whether the platform is the bundled one, whose nodes reach nothing but each other and its registry."""
        stated = self.uri or self.docker_host or self.hypervisors
        return self.kind == "bundled" or (self.kind == "auto" and not stated)

    def violations(self) -> Iterator[Violation]:
        names = list(self.hypervisors)
        if self.kind == "bundled" and self.docker_host is not None:
            rule = "only on a system platform; platform.kind is bundled, whose engine belongs to the lab"
            yield Violation(("docker_host",), self.docker_host, rule, "remove platform.kind, or docker_host")
        if self.kind == "bundled" and names:
            rule = "only on a system platform; platform.kind is bundled, whose hypervisor belongs to the lab"
            remedy = "remove platform.kind, or platform.hypervisors and each node's hypervisor"
            yield Violation(("hypervisors",), names, rule, remedy)
        if self.uri is not None and names:
            rule = "not together with platform.hypervisors, each of which has its own"
            yield Violation(("uri",), self.uri, rule, "remove it, or move it to platform.hypervisors")
        if self.image_sha256 is not None and self.image is None:
            yield Violation(("image_sha256",), self.image_sha256, "only with platform.image", "name the image")
        if self.image_sha256 is None and (self.image or "").startswith("http://"):
            rule = "https, or with platform.image_sha256: anyone on the way could exchange the image"
            yield Violation(("image",), self.image, rule, "set image_sha256 to the checksum that its publisher states")
        first: dict[str, str] = {}
        for name, hypervisor in self.hypervisors.items():
            if (other := first.setdefault(hypervisor.uri, name)) != name:
                rule = f"one name a hypervisor; {other} is this one"
                yield Violation(("hypervisors", name, "uri"), hypervisor.uri, rule, "remove one of the two")


class LabSpec(Spec):
    """A lab: the value of ``overlab:lab`` in a stack file."""

    name: LabName | None = None
    """Default: the stack's name."""
    underlay: UnderlaySpec | None = UnderlaySpec()
    machine: MachinesSpec | None = MachinesSpec()
    """Size of the nodes that state none."""
    engine: EngineSpec | None = EngineSpec()
    store: StoreSpec | None = StoreSpec()
    nodes: dict[HostName, NodeSpec | None]
    """1 to 250, by host name. The number at the end of the name gives the address."""
    networks: dict[ObjectName, NetworkSpec] | None = Field(default_factory=dict)
    """The networks, by name."""
    workloads: dict[WorkloadName, WorkloadSpec] | None = Field(default_factory=dict)
    """The test containers, by name."""
    checks: dict[ObjectName, CheckSpec] | None = Field(default_factory=dict)
    """Custom checks, by name."""
    platform: PlatformSpec | None = PlatformSpec()
