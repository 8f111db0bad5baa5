"""The order of creation: store, joined engines, overlays, workloads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from .rule import Parameters, Resource, Stack, StackRule
from .subnets import DRIVER
from .types import COMMAND, CONTAINER, MEMBERSHIP, NETWORK, STORE_AGENT

_OWN_NETWORK = {"bridge", "default", "host", "none"}


def workload_before_network(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """A container that names a network, or another container's, without coming after it."""
    declared = {name: network for network in stack.of(NETWORK) for name in _names(network)}
    later: dict[str, set[str]] = {}
    for container in stack.of(CONTAINER):
        named = 0
        for attachment in container.each("networksAdvanced"):
            name = ""
            with container.deferring_unknowns():
                name = str(attachment["name"])
            if name in _OWN_NETWORK:
                continue
            network = declared.get(name)
            if network is None:
                named += 1  # by its id, or by a name that this stack does not declare
            elif network.urn not in container.dependencies:
                if network.urn not in later:
                    later[network.urn] = stack.after(network)
                if container.urn not in later[network.urn]:
                    yield container, f"names the network '{name}' without depending on it"
        by_id = _referred(stack, container, "networksAdvanced", NETWORK)
        if named > by_id:
            yield container, f"is on {named} network(s) by id or name, and depends on {by_id} of this stack"
        # An id is unknown only because it is another resource's: the dependencies name it.
        container.unknown.clear()
        yield from _shared_before_owner(stack, container)


def _names(network: Resource) -> Iterator[str]:
    with network.deferring_unknowns():
        yield str(network.props.get("name") or network.name)


def _referred(stack: Stack, resource: Resource, key: str, type_: str) -> int:
    """How many resources of a type a property comes from."""
    urns = set(resource.property_dependencies.get(key, ()))
    return sum(1 for urn in urns if urn in stack.by_urn and stack.by_urn[urn].type == type_)


def _shared_before_owner(stack: Stack, container: Resource) -> Iterator[tuple[Resource, str]]:
    mode = "container:"
    with container.deferring_unknowns():
        mode = str(container.props.get("networkMode") or "")
    container.unknown.clear()
    if mode.startswith("container:") and not _referred(stack, container, "networkMode", CONTAINER):
        yield container, "shares another container's network without depending on that container"


def network_before_store(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """An overlay that does not come after every store container and every engine's join."""
    stores = {container.urn for container in stack.of(CONTAINER) if f"{STORE_AGENT}$" in container.urn}
    gates = {c.urn for c in stack.of(COMMAND) if f"{MEMBERSHIP}$" in c.urn}
    # Overlays mostly depend on the same resources: what is before each is found once.
    before = cache(lambda urn: stack.before(stack.by_urn[urn]) if urn in stack.by_urn else set())
    for network in stack.of(NETWORK):
        with network.deferring_unknowns():
            if network.props.get("driver") != DRIVER:
                continue
            missing = (stores | gates) - set(network.dependencies)
            for urn in [*network.dependencies, network.provider] if missing else []:
                missing -= before(urn)
            if missing:
                names = ", ".join(sorted(urn.rpartition("::")[2] for urn in missing)[:3])
                yield network, f"does not come after {names}" + (f" and {len(missing) - 3} more" * (len(missing) > 3))
            elif not stores:
                yield network, "comes after no store: the stack has none"
            elif not gates:
                yield network, f"comes after no proof that the engines joined (a command in a {MEMBERSHIP})"


RULES = (
    StackRule(
        name="workload-after-overlay",
        reason="A workload whose overlay does not exist yet does not start, and may never be started again.",
        remedy="name the network by its resource's id (networks_advanced name=network.id), or add depends_on",
        predicate=workload_before_network,
    ),
    StackRule(
        name="overlay-after-store",
        reason="An overlay that is created before every engine joined the store is seen by some of them only.",
        remedy="let the overlay depend on the store's containers and on every engine's joined gate",
        predicate=network_before_store,
    ),
)
