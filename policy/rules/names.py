"""Names: unique wherever Docker, libvirt or the store identifies things by them."""

from __future__ import annotations

from collections.abc import Iterator

from .rule import Parameters, Resource, Stack, StackRule
from .subnets import DRIVER
from .types import CONTAINER, DOMAIN, MACHINE, NETWORK, NODE_CONTAINER, UNDERLAY, VOLUME

ENGINE_NETWORKS = ("bridge", "default", "docker_gwbridge", "host", "none")
"""Networks that every engine has already: names that the settings refuse too."""
_LAB = "in this lab"


def duplicate_names(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """Two things of one name where only one can be."""
    owners: dict[tuple[str, str, str], Resource] = {}
    for resource in stack.of(CONTAINER, NETWORK, VOLUME, DOMAIN, UNDERLAY, MACHINE, NODE_CONTAINER):
        with resource.deferring_unknowns():
            if resource.type == NETWORK and str(resource.props.get("name")) in ENGINE_NETWORKS:
                yield resource, f"the network name '{resource.props['name']}' is one of every engine's own"
            for kind, scope, name in _claims(resource):
                owner = owners.setdefault((kind, scope, name), resource)
                if owner is not resource:
                    where = scope if scope == _LAB else f"on {scope.rpartition('::')[2]}"
                    yield resource, f"the {kind} name '{name}' is taken {where} by {owner.name}"


def _claims(resource: Resource) -> Iterator[tuple[str, str, str]]:
    """Kind, scope and name. Scope is the provider (one engine, one hypervisor), or the lab."""
    name = str(resource.props.get("name") or resource.name)
    if resource.type == CONTAINER:
        yield "container", resource.provider, name
        if resource.parent_type != NODE_CONTAINER and resource.props.get("networksAdvanced"):
            # An overlay knows its containers by name, whichever engine runs them, and its resolver ignores case.
            yield "workload", _LAB, name.lower()
    elif resource.type == NETWORK:
        overlay = resource.props.get("driver") == DRIVER
        yield "overlay" if overlay else "network", _LAB if overlay else resource.provider, name
    elif resource.type == VOLUME:
        yield "volume", resource.provider, name
    elif resource.type == DOMAIN:
        yield "domain", resource.provider, name
    elif resource.type == UNDERLAY:
        yield "libvirt network", resource.provider, name
    elif resource.type in (MACHINE, NODE_CONTAINER):
        # Gossip takes the host name, which is the component's, for the member's name.
        yield "host", _LAB, resource.name


RULES = (
    StackRule(
        name="names-unique",
        reason="Docker, libvirt and the store's gossip identify things by name; a second one is refused or lost.",
        remedy="rename one of the two",
        predicate=duplicate_names,
    ),
)
