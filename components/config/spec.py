"""What a person writes under ``overlab:lab`` in a stack file: shapes and ranges. Rules across fields: ``rules.py``."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from components.config import conventions
from components.config.fields import (
    Address,
    Argument,
    Bridge,
    Cidr,
    Directory,
    HostName,
    ImageName,
    LabName,
    LibvirtUri,
    Line,
    NetworkMode,
    ObjectName,
    Pattern,
    Port,
    Url,
    as_tuple,
)
from components.config.partial import Spec


class UnderlaySpec(Spec):
    """The network between the machines (the overlays' underlay)."""

    cidr: Cidr = IPv4Network("10.99.0.0/24")
    """/8 to /28, overlapping no other network of the lab. The hypervisor has its first address."""
    domain: HostName = "lab"
    """The nodes' DNS domain: docker01.lab."""
    mtu: Annotated[int, Field(ge=1280, le=9000)] = 1500
    """Bytes a packet; overlays get 50 less."""
    mode: Literal["auto", "isolated", "nat"] = "auto"
    """Way out of it. ``auto``: isolated where the platform brings its own registry, else nat."""
    bridge: Bridge | None = None
    """A bridge that is there on every hypervisor: the machines are ports of it, instead of a network of the lab's own.
    Then the first address is the router's and name server's behind it."""


class MachineSpec(Spec):
    """Size of a node's virtual machine."""

    vcpu: Annotated[int, Field(ge=1, le=64)] = 1
    """Virtual processors."""
    memory_mib: Annotated[int, Field(ge=conventions.MINIMUM_MEMORY_MIB, le=1_048_576)] = 1024
    """Must hold the node's containers and 320 MiB for the system and the engine."""
    disk_gib: Annotated[int, Field(ge=conventions.MINIMUM_DISK_GIB, le=4096)] = 8
    """Size that the disk may grow to."""


class NodeSpec(Spec):
    """One node. Its key is its host name."""

    address: Address | None = None
    """Default: the lab network + 10 + the number that ends the node's key."""
    machine: MachineSpec | None = None
    """Its size, where it differs. What is left out has the default of its own, not that of the lab's ``machine``."""
    hypervisor: HostName | None = None
    """Where its machine is: one of ``platform.hypervisors``. Required where these are several."""


class PoolSpec(Spec):
    """Addresses for an engine's local bridge networks."""

    base: Cidr
    """The range that they are cut from."""
    size: Annotated[int, Field(ge=8, le=30)]
    """Prefix length of each."""


class EngineSpec(Spec):
    """dockerd on every node."""

    version: Annotated[str, Pattern(re.compile(r"20\.10(\.[0-9]{1,3})?"), "20.10 or 20.10.N")] = (
        conventions.ENGINE_VERSION
    )
    """Wanted version, or its leading part."""
    install: Literal["preinstalled", "packages", "apt"] = "preinstalled"
    """Part of the image (``preinstalled``), packages copied to the node, or an apt repository."""
    api: Literal["ssh", "tls"] = "ssh"
    """``tls`` adds a listener on tcp 2376 of the lab network that asks for a client certificate."""
    live_restore: bool = True
    """Containers outlive a restart of their engine."""
    firewall: bool = True
    """Let in from the lab network only what the lab needs: SSH, and from peers gossip, VXLAN and the store."""
    address_pools: Annotated[tuple[PoolSpec, ...], BeforeValidator(as_tuple)] = (
        PoolSpec(base=IPv4Network("172.30.0.0/16"), size=24),
    )
    """Where the engines' own bridge networks get their subnets."""
    heartbeat_s: Annotated[int, Field(ge=1, le=300)] = conventions.HEARTBEAT_S
    """How often an engine tells the store that it is alive."""
    ttl_s: Annotated[int, Field(ge=conventions.MINIMUM_DISCOVERY_TTL_S, le=3600)] = conventions.DISCOVERY_TTL_S
    """After how long without a heartbeat an engine is taken for gone."""


class StoreSpec(Spec):
    """The cluster store."""

    kind: Literal["consul"] = "consul"
    """What it is."""
    servers: Literal[1, 3, 5] = 1
    """1 is the single-server mode. 3 or 5: a server on as many nodes; each engine uses the agent on its own node."""
    node: HostName | None = None
    """Where the single server runs; default: the first node by name."""
    acl: bool = False
    """With several servers: Consul's access lists, deny by default. A node may write Docker's data and little else."""
    image: ImageName = conventions.CONSUL_IMAGE
    """The image that it runs from."""
    memory_mib: Annotated[int, Field(ge=64, le=65536)] = 128
    """Memory limit of its container."""


class NetworkSpec(Spec):
    """One overlay network."""

    created_on: HostName
    """The node whose engine declares it; every node then sees it."""
    driver: Literal["overlay"] = "overlay"
    """The network driver."""
    subnet: Cidr | None = None
    """Default: what the engines' own overlay pool (10.0.0.0/8 in /24) has next."""
    ip_range: Cidr | None = None
    """The part of the (stated) subnet from which workloads get addresses. Default: all of it."""
    gateway: Address | None = None
    """A host address of the (stated) subnet. Default: its first."""
    aux_addresses: dict[HostName, Address] = Field(default_factory=dict)
    """Addresses of the (stated) subnet that no workload gets, by host name."""
    internal: bool = False
    """No way out: its workloads get no interface on the node's bridge and no default route."""
    mtu: Annotated[int, Field(ge=1280, le=9000)] | None = None
    """The *underlay* MTU that it assumes; containers get 50 less. Default: the lab network's."""


def _as_mapping(value: Any) -> Any:
    """``[a, b]`` means ``{a: {}, b: {}}``; so does ``{a: , b: }``."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        if len(set(value)) < len(value):
            raise PydanticCustomError("once", "each overlay once")
        return {name: {} for name in value}
    if isinstance(value, dict):
        return {name: {} if settings is None else settings for name, settings in value.items()}
    return value


class _NamesToo:
    """Tells editors what :func:`_as_mapping` takes."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        mapping = handler(schema)
        [(pattern, settings)] = mapping["patternProperties"].items()
        names = {"type": "array", "items": {"type": "string", "pattern": pattern}, "uniqueItems": True}
        or_nothing = {"anyOf": [settings, {"type": "null"}]}
        return {"anyOf": [names, mapping | {"patternProperties": {pattern: or_nothing}}]}


class AttachmentSpec(Spec):
    """How a workload is on one overlay."""

    ipv4_address: Address | None = None
    """A fixed address of the overlay's (stated) subnet. Default: the next free one."""
    aliases: Annotated[tuple[HostName, ...], BeforeValidator(as_tuple)] = ()
    """Further names by which the overlay's other workloads find it."""


class PortSpec(Spec):
    """A published port."""

    target: Port
    """The port in the container."""
    published: Port | None = None
    """Default: one that the engine picks."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """Of both."""


class WorkloadSpec(Spec):
    """One test container: on overlays, or in the network of another workload."""

    node: HostName | None = None
    """Required unless it shares another workload's network (then it is on that one's node)."""
    image: ImageName = conventions.BUSYBOX_IMAGE
    """The image that it runs from."""
    command: Annotated[tuple[Argument, ...], BeforeValidator(as_tuple)] | None = None
    """Default: the image's own; a busybox sleeps."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Environment variables."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the container."""
    hostname: HostName | None = None
    """Default: the workload's name."""
    dns: Annotated[tuple[Address, ...], BeforeValidator(as_tuple)] = ()
    """Name servers, instead of the node's."""
    dns_search: Annotated[tuple[Line, ...], BeforeValidator(as_tuple)] = ()
    """Search domains."""
    extra_hosts: dict[Line, Address] = Field(default_factory=dict)
    """Further lines of /etc/hosts."""
    networks: Annotated[dict[ObjectName, AttachmentSpec], BeforeValidator(_as_mapping), _NamesToo()] = Field(
        default_factory=dict
    )
    """Their names, or a mapping of names to how it is on each."""
    network_mode: NetworkMode | None = None
    """``container:NAME``: use the network stack (addresses, interfaces, loopback) of the workload NAME."""
    ports: Annotated[tuple[PortSpec, ...], BeforeValidator(as_tuple)] = ()
    """Ports published on its node."""
    publish_all: bool = False
    """Publish every port that the image exposes, each on a port that the engine picks."""
    http_port: Port | None = None
    """The port of a web server in it, for checks by HTTP."""
    memory_mib: Annotated[int, Field(ge=6, le=65536)] = 64
    """Memory limit of the container."""

    @property
    def shares_network_of(self) -> str | None:
        """The workload whose network stack this one uses; None where it has its own."""
        return self.network_mode.removeprefix("container:") if self.network_mode else None


class CheckSpec(Spec):
    """A check of one's own, beside those that follow from the lab."""

    kind: Literal["ping-ip", "ping-name", "http"]
    """What is tried."""
    source: ObjectName
    """The workload that tries it."""
    target: ObjectName
    """The workload that is to answer."""
    network: ObjectName
    """The overlay that the target is asked on."""
    expect: Literal["pass", "fail"] = "pass"
    """Whether it is to succeed."""
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = conventions.CHECK_LIMIT_S
    """It is tried again until it does as expected or this is over."""


class HypervisorSpec(Spec):
    """One of several hypervisors."""

    uri: LibvirtUri
    """Its libvirt URI."""
    pool_dir: Directory = conventions.POOL_DIR
    """Directory on it in which the lab's storage pool is made."""


class PlatformSpec(Spec):
    """What to use instead of what the machine offers or what can be made there."""

    kind: Literal["auto", "bundled", "system"] = "auto"
    """``bundled``: a hypervisor of its own; ``system``: the one at ``uri``; ``auto``: native where ``uri`` is."""
    uri: LibvirtUri | None = None
    """libvirt URI of the hypervisor."""
    hypervisors: dict[HostName, HypervisorSpec] = Field(default_factory=dict)
    """By a name of their own, instead of ``uri``, where nodes are placed on several."""
    image: Line | None = None
    """Path or URL of a base image."""
    registry_mirror: Url | None = None
    """URL of a registry mirror, as the nodes reach it."""
    pulumi: Line | None = None
    """Path of a Pulumi CLI."""


class LabSpec(Spec):
    """A lab: the value of ``overlab:lab`` in a stack file."""

    name: LabName | None = None
    """Default: the stack's name."""
    underlay: UnderlaySpec | None = UnderlaySpec()
    machine: MachineSpec | None = MachineSpec()
    """Size of the nodes that state none."""
    engine: EngineSpec | None = EngineSpec()
    store: StoreSpec | None = StoreSpec()
    nodes: dict[HostName, NodeSpec | None]
    """1 to 250, by host name. The number that ends the name gives the address."""
    networks: dict[ObjectName, NetworkSpec] | None = Field(default_factory=dict)
    """The overlay networks, by name."""
    workloads: dict[ObjectName, WorkloadSpec] | None = Field(default_factory=dict)
    """The test containers, by name."""
    checks: dict[ObjectName, CheckSpec] | None = Field(default_factory=dict)
    """Checks of one's own, by name."""
    platform: PlatformSpec | None = PlatformSpec()
