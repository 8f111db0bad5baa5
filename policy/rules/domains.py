"""Domains: replaced without meeting their namesake. Every node: found at an address that was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import networks
from .rule import Parameters, Resource, ResourceRule, Stack, StackRule
from .types import CONTAINER, DOMAIN, MACHINE, NODE_CONTAINER


def of_nodes(stack: Stack) -> list[Resource]:
    """What the nodes are: domains, and containers of node components."""
    return [*stack.of(DOMAIN), *(one for one in stack.of(CONTAINER) if one.parent_type == NODE_CONTAINER)]


def not_deleted_first(resource: Resource, _: Parameters) -> Iterator[str]:
    """The new domain would be created while the old one holds its name and its disks."""
    if not resource.delete_before_replace:
        yield "the domain is not deleted before it is replaced"


def addresses_of(stack: Stack, domain: Resource) -> list[str] | None:
    """A node's static addresses, from its component or its domain's interfaces; None: not known yet."""
    seen = len(domain.unknown)
    found = [str(text) for interface in domain.each("networkInterfaces") for text in _of_interface(domain, interface)]
    machine = stack.by_urn.get(domain.parent)
    if machine is not None and machine.type in (MACHINE, NODE_CONTAINER):
        with domain.deferring_unknowns():
            found.append(str(machine.props.get("address") or ""))
    static = [text for text in found if networks.address(text)]
    return static if static or len(domain.unknown) == seen else None


def _of_interface(domain: Resource, interface: Any) -> Iterator[Any]:
    with domain.deferring_unknowns():
        yield from interface.get("addresses") or ()


def all_addresses(stack: Stack) -> tuple[set[str], bool]:
    """The static addresses of all nodes, and whether every node has some that are known."""
    found = [addresses_of(stack, node) for node in of_nodes(stack)]
    return {address for addresses in found for address in addresses or ()}, all(found)


def no_static_address(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """Neither the node's component nor an interface of its domain states an address."""
    for node in of_nodes(stack):
        if addresses_of(stack, node) == []:
            yield node, "no static address: neither its component nor an interface states one"


RULES = (
    ResourceRule(
        name="domain-replacement",
        reason="A domain's name is stated, so a new one cannot be created beside the old.",
        remedy="set delete_before_replace=True",
        types=(DOMAIN,),
        predicate=not_deleted_first,
    ),
    StackRule(
        name="domain-static-address",
        reason="Engines are known to each other by address: a lease that changes splits the lab.",
        remedy="declare the domain by a Machine, which states its address, and no DHCP, in its first-boot data",
        predicate=no_static_address,
    ),
)
