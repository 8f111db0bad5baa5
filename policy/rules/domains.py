"""Domains: replaced without meeting their namesake, and found at an address that was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Interface
from typing import Any

from . import payloads
from .rule import Parameters, Resource, ResourceRule, Stack, StackRule
from .types import DOMAIN, SEED


def replaced_late(resource: Resource, _: Parameters) -> Iterator[str]:
    """The new domain would be made while the old one holds its name and its disks."""
    if not resource.delete_before_replace:
        yield "the domain is not deleted before it is replaced"


def static_addresses(network_config: Any) -> list[str]:
    """Addresses that cloud-init's network configuration (version 1 or 2) states; none where DHCP is asked."""
    found = payloads.parsed(network_config)
    if not isinstance(found, Mapping):
        return []
    inner = found.get("network", found)
    try:
        return [str(IPv4Interface(str(text)).ip) for text in _stated(inner)]
    except AddressValueError:
        return []


def _stated(config: Any) -> Iterator[str]:
    if not isinstance(config, Mapping):
        return
    for device in (config.get("ethernets") or {}).values():
        if not device.get("dhcp4"):
            yield from device.get("addresses") or ()
    for device in config.get("config") or ():
        for subnet in device.get("subnets") or ():
            if subnet.get("type") in ("static", "static4") and subnet.get("address"):
                yield subnet["address"]


def addresses_of(stack: Stack, domain: Resource) -> list[str] | None:
    """A domain's static addresses, from its interfaces or its first-boot data; None: not known yet."""
    seen = len(domain.unknown)
    found = [str(text) for interface in domain.each("networkInterfaces") for text in _of_interface(domain, interface)]
    complete = len(domain.unknown) == seen
    for urn in domain.property_dependencies.get("cloudinit") or domain.dependencies:
        seed = stack.by_urn.get(urn)
        if seed is not None and seed.type == SEED:
            before = len(seed.unknown)
            with seed.postponing():
                found += static_addresses(seed.props.get("networkConfig"))
            complete = complete and len(seed.unknown) == before
    return found if found or complete else None


def _of_interface(domain: Resource, interface: Any) -> Iterator[str]:
    with domain.postponing():
        for text in interface.get("addresses") or ():
            yield str(text)


def all_addresses(stack: Stack) -> tuple[set[str], bool]:
    """The static addresses of all domains, and whether every domain has some that are known."""
    found: set[str] = set()
    all_known = True
    for domain in stack.of(DOMAIN):
        addresses = addresses_of(stack, domain)
        all_known = all_known and bool(addresses)
        found |= set(addresses or ())
    return found, all_known


def wandering(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """No static address: neither first-boot data nor an interface states one."""
    for domain in stack.of(DOMAIN):
        if addresses_of(stack, domain) == []:
            yield domain, "no static address: neither its first-boot data nor an interface states one"


RULES = (
    ResourceRule(
        name="domain-replacement",
        reason="A domain's name is stated, so a new one cannot be made beside the old.",
        remedy="set delete_before_replace=True",
        types=(DOMAIN,),
        predicate=replaced_late,
    ),
    StackRule(
        name="domain-static-address",
        reason="Engines are known to each other by address: a lease that changes splits the lab.",
        remedy="state addresses (and no dhcp4) in the CloudInitDisk's network_config",
        predicate=wandering,
    ),
)
