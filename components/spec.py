"""What a person writes under ``overlab:lab`` in a stack file. Shapes and ranges only; rules across fields: ``rules.py``."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from components import conventions

HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
OBJECT_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")


class Spec(BaseModel):
    """Frozen, strict, and closed: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


def _cidr(value: Any) -> Any:
    if isinstance(value, IPv4Network):
        return value
    try:
        return IPv4Network(value) if isinstance(value, str) and "/" in value else _refuse_cidr()
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        if "host bits" in str(error):
            fixed = IPv4Network(value, strict=False)
            rule = "a network address without host bits (here: {fixed})"
            raise PydanticCustomError("cidr", rule, {"fixed": str(fixed)}) from error
        return _refuse_cidr()


def _refuse_cidr() -> Any:
    raise PydanticCustomError("cidr", "an IPv4 network in CIDR form, such as 10.99.0.0/24")


def _address(value: Any) -> Any:
    if isinstance(value, IPv4Address):
        return value
    try:
        if isinstance(value, str):
            return IPv4Address(value)
    except AddressValueError:
        pass
    raise PydanticCustomError("address", "an IPv4 address, such as 10.99.0.11")


def _matching(pattern: re.Pattern[str], rule: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.fullmatch(value):
            raise PydanticCustomError("name", rule)
        return value

    return BeforeValidator(check)


Cidr = Annotated[IPv4Network, BeforeValidator(_cidr), PlainSerializer(str)]
Address = Annotated[IPv4Address, BeforeValidator(_address), PlainSerializer(str)]
HostName = Annotated[
    str, _matching(HOSTNAME, "a host name: lower-case letters, digits and inner hyphens, 1 to 63 characters")
]
ObjectName = Annotated[
    str, _matching(OBJECT_NAME, "a Docker name: letters, digits, '_', '.', '-', starting with a letter or digit, at most 63")
]
ImageName = Annotated[
    str, _matching(re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}"), "an image reference, such as busybox:1.35")
]


class NetworkSpec(Spec):
    """The network between the machines (the overlays' underlay)."""

    cidr: Cidr = IPv4Network("10.99.0.0/24")
    domain: HostName = "lab"
    mtu: Annotated[int, Field(ge=1280, le=9000)] = 1500
    mode: Literal["auto", "isolated", "nat"] = "auto"
    """``auto``: isolated where the ground brings its own registry, else nat."""


class MachineSpec(Spec):
    """Size of a node's virtual machine."""

    vcpu: Annotated[int, Field(ge=1, le=64)] = 1
    memory_mib: Annotated[int, Field(ge=conventions.MINIMUM_MEMORY_MIB, le=1_048_576)] = 1024
    disk_gib: Annotated[int, Field(ge=conventions.MINIMUM_DISK_GIB, le=4096)] = 8


class NodeSpec(Spec):
    """One node. Its key is its host name."""

    address: Address | None = None
    """Default: the lab network + 10 + the number that ends the node's key."""
    machine: MachineSpec | None = None


class PoolSpec(Spec):
    """Addresses for an engine's local bridge networks."""

    base: Cidr
    size: Annotated[int, Field(ge=8, le=30)]


class EngineSpec(Spec):
    """dockerd on every node."""

    version: Annotated[str, Field(pattern=r"^20\.10(\.[0-9]+)?$")] = conventions.ENGINE_VERSION
    """Wanted version, or its leading part."""
    install: Literal["golden", "packages", "apt"] = "golden"
    """Where it comes from when the image lacks it: nowhere (golden image), packages carried to the node, an apt repository."""
    api: Literal["ssh", "tls"] = "ssh"
    """``tls`` adds a listener on tcp 2376 of the lab network that asks for a client certificate."""
    live_restore: bool = True
    local_pools: Annotated[tuple[PoolSpec, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] = (
        PoolSpec(base=IPv4Network("172.30.0.0/16"), size=24),
    )
    heartbeat_s: Annotated[int, Field(ge=1, le=300)] = conventions.HEARTBEAT_S
    ttl_s: Annotated[int, Field(ge=conventions.MINIMUM_DISCOVERY_TTL_S, le=3600)] = conventions.DISCOVERY_TTL_S


class StoreSpec(Spec):
    """The cluster store."""

    kind: Literal["consul"] = "consul"
    node: HostName | None = None
    """Where the single server runs; default: the first node."""
    image: ImageName = conventions.CONSUL_IMAGE
    memory_mib: Annotated[int, Field(ge=64, le=65536)] = 256


class OverlaySpec(Spec):
    """One overlay network."""

    made_from: HostName
    """The node whose engine declares it; every node then sees it."""
    subnet: Cidr
    mtu: Annotated[int, Field(ge=1280, le=9000)] | None = None
    """The *underlay* MTU that it assumes; containers get 50 less. Default: the lab network's."""


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class WorkloadSpec(Spec):
    """One test container."""

    node: HostName
    image: ImageName = conventions.BUSYBOX_IMAGE
    command: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ("sleep", "2147483647")
    overlays: Annotated[tuple[ObjectName, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    memory_mib: Annotated[int, Field(ge=6, le=65536)] = 64


class CheckSpec(Spec):
    """A check of one's own, beside those that follow from the lab."""

    kind: Literal["ping-ip", "ping-name"]
    source: ObjectName
    target: ObjectName
    overlay: ObjectName
    expect: Literal["pass", "fail"] = "pass"
    within_s: Annotated[int, Field(ge=1, le=3600)] = conventions.CHECK_LIMIT_S


class GroundSpec(Spec):
    """What to use instead of what the machine offers or what can be made there."""

    kind: Literal["auto", "embedded", "native"] = "auto"
    uri: str | None = None
    """libvirt URI of the hypervisor."""
    image: str | None = None
    """Path or URL of a base image."""
    registry_mirror: str | None = None
    """URL of a registry mirror, as the nodes reach it."""
    pulumi: str | None = None
    """Path of a Pulumi CLI."""
