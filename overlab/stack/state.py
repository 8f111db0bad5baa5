"""What the stack's state knows: its resources, and the creations that an update was killed in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from overlab.core.errors import OverlabError

if TYPE_CHECKING:
    from overlab.stack.stack import Stack

DOMAIN = "libvirt:index/domain:Domain"
LIBVIRT_NETWORK = "libvirt:index/network:Network"
POOL = "libvirt:index/pool:Pool"
LIBVIRT_VOLUME = "libvirt:index/volume:Volume"
SEED = "libvirt:index/cloudInitDisk:CloudInitDisk"
IMAGE = "docker:index/remoteImage:RemoteImage"
CONTAINER = "docker:index/container:Container"
DOCKER_NETWORK = "docker:index/network:Network"
DOCKER_VOLUME = "docker:index/volume:Volume"
ENGINE = "overlab:index:DockerEngine"


@dataclass(frozen=True)
class Resource:
    """A resource as the state has it."""

    urn: str
    type: str
    id: str = ""
    name: str = ""
    """Of the object itself; empty where the resource states none."""
    host: str = ""
    """URI of the hypervisor, or ``DOCKER_HOST`` of the engine, that its provider is configured with."""
    triggers: tuple[str, ...] = ()
    """Of a command, as JSON."""
    addresses: frozenset[str] = frozenset()
    """Of a container, on its networks."""
    subnet: str = ""
    """Of a Docker network, also where the engine picked it."""
    inputs: Mapping[str, Any] = field(default_factory=dict, compare=False)
    stdout: str = field(default="", compare=False)
    """Of a command, as far as it is no secret."""
    outdated: bool = False
    """It has been replaced, and is still to be deleted."""

    @property
    def logical_name(self) -> str:
        return self.urn.rsplit("::", 1)[-1]

    @property
    def key(self) -> str:
        """What libvirt or Docker identifies the object by. The id of first-boot data has a suffix of the provider's."""
        return self.id.partition(";")[0] if self.type == SEED else self.id


@dataclass(frozen=True)
class State:
    """Empty where the stack does not exist."""

    resources: tuple[Resource, ...] = ()
    creating: tuple[Resource, ...] = ()
    """Begun by an update that was killed: whether the object exists is not known."""
    hypervisors: tuple[str, ...] = ()
    """URI of every libvirt provider."""
    engines: tuple[str, ...] = ()
    """``DOCKER_HOST`` of every Docker provider."""

    @cached_property
    def urns(self) -> frozenset[str]:
        return frozenset(resource.urn for resource in self.resources)

    def keys(self, host: str, *types: str) -> frozenset[str]:
        """Identifiers of the objects of these types on one hypervisor or engine."""
        return frozenset(one.key for one in self.resources if one.host == host and one.type in types)

    def keys_of(self, type_: str) -> frozenset[str]:
        """Identifiers of the objects of this type on every host."""
        return frozenset(one.key for one in self.resources if one.type == type_)

    def is_creating(self, host: str, type_: str, name: str) -> bool:
        return any((one.host, one.type, one.name) == (host, type_, name) for one in self.creating)


def read(stack: Stack) -> State:
    """The stack's state, from the lab's own backend. Raises :class:`OverlabError` where it cannot be read."""
    if not stack.exists():
        return State()
    return parse(stack.state_file.read_text("utf-8"))


def parse(text: str) -> State:
    """A state from the file in which Pulumi's backend keeps it."""
    try:
        latest: dict[str, Any] = json.loads(text)["checkpoint"]["latest"] or {}
    except (ValueError, KeyError, TypeError) as error:
        raise OverlabError(
            f"not a state of Pulumi's backend: {text[:200]!r}", "overlab pulumi -- stack export"
        ) from error
    resources = latest.get("resources") or []
    hosts = dict(_hosts(resources))
    pending = latest.get("pending_operations") or []
    return State(
        resources=tuple(_resource(one, hosts) for one in resources),
        creating=tuple(_resource(one["resource"], hosts) for one in pending if one.get("type") == "creating"),
        hypervisors=_hosts_of("libvirt", resources, hosts),
        engines=_hosts_of("docker", resources, hosts),
    )


def _hosts(resources: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """URN of a provider, and what it is configured with."""
    for one in resources:
        if one["type"].startswith("pulumi:providers:"):
            inputs = one.get("inputs") or {}
            host = inputs.get("uri") or inputs.get("host")
            if isinstance(host, str):
                yield one["urn"], host


def _hosts_of(package: str, resources: Iterable[Mapping[str, Any]], hosts: Mapping[str, str]) -> tuple[str, ...]:
    providers = [one["urn"] for one in resources if one["type"] == f"pulumi:providers:{package}"]
    return tuple(dict.fromkeys(hosts[urn] for urn in providers if urn in hosts))


def _resource(raw: Mapping[str, Any], hosts: Mapping[str, str]) -> Resource:
    name = (raw.get("inputs") or {}).get("name")
    return Resource(
        urn=raw["urn"],
        type=raw["type"],
        id=raw.get("id") or "",
        name=name if isinstance(name, str) else "",
        host=hosts.get((raw.get("provider") or "").rpartition("::")[0], ""),
        triggers=tuple(json.dumps(one) for one in (raw.get("inputs") or {}).get("triggers") or ()),
        addresses=frozenset(
            one["ipAddress"] for one in (raw.get("outputs") or {}).get("networkDatas") or () if one.get("ipAddress")
        ),
        subnet=next((one.get("subnet") or "" for one in (raw.get("outputs") or {}).get("ipamConfigs") or ()), ""),
        stdout=str((raw.get("outputs") or {}).get("stdout") or ""),
        outdated=bool(raw.get("delete")),
        inputs=raw.get("inputs") or {},
    )
