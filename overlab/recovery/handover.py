"""What another resource is to get in an update: a port, an address, a subnet. Pulumi creates before it deletes, so what
holds it now has to be removed first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from components.config import roles
from components.config.settings import Settings
from overlab.stack.engines import node_of
from overlab.stack.state import CONTAINER, DOCKER_NETWORK, DOMAIN, ENGINE, Resource, State


@dataclass(frozen=True)
class Handover:
    """A resource that gives something up."""

    resource: Resource
    what: str
    to: str
    needed: bool = True
    """Whether an update fails without; else it takes longer."""

    def __str__(self) -> str:
        return f"{self.resource.logical_name} is removed first: {self.what} goes to {self.to}"


def handovers(settings: Settings, state: State) -> list[Handover]:
    """Each resource that holds what the settings give to another one. Those on a removed network come before it."""
    present = [one for one in state.resources if not one.outdated]
    machines = list(_machines(settings, present))
    networks = [*_moved_store(settings, present), *_networks(settings, present)]
    lost = {one.resource.id: one for one in _once(networks)}
    return _once([*machines, *_containers(settings, present, lost), *networks])


def _once(found: list[Handover]) -> list[Handover]:
    """One of each resource: that which is needed, where there is one."""
    by_urn: dict[str, Handover] = {}
    for one in found:
        known = by_urn.get(one.resource.urn)
        if known is None or not known.needed:
            by_urn[one.resource.urn] = one
    return list(by_urn.values())


def _machines(settings: Settings, present: list[Resource]) -> Iterator[Handover]:
    """Machines whose address is another node's."""
    owners = {str(node.address): key for key, node in settings.nodes.items()}
    by_name = {one.logical_name: one for one in present if one.type in (DOMAIN, CONTAINER)}
    for provider in present:
        node = roles.node_of(provider.logical_name, roles.ENGINE_PROVIDER)
        if node is None:
            continue
        named = (by_name.get(roles.resource_name(node, role)) for role in roles.MACHINE)
        machine = next((one for one in named if one is not None), None)
        address = node_of(Resource("", "", host=str(provider.inputs.get("host", ""))))
        if machine is not None and address in owners and owners[address] != node:
            yield Handover(machine, f"address {address}", owners[address])


def _moved_store(settings: Settings, present: list[Resource]) -> Iterator[Handover]:
    """Networks of engines that get another store: they are created there, and so are their workloads.

    An engine that starts before that store cannot restore what its containers hold of the old one: their endpoints
    stay there, and their published ports stay allocated.
    """
    addresses = {str(node.address) for node in settings.nodes.values()}
    engines = [one.inputs for one in present if one.type == ENGINE and one.inputs.get("address") in addresses]
    url = settings.cluster_store
    moved = any(engine.get("cluster_store") != url for engine in engines)
    for one in present if moved else ():
        if one.type == DOCKER_NETWORK and node_of(one) in addresses:
            yield Handover(one, f"network {one.name}", url, needed=False)


def _networks(settings: Settings, present: list[Resource]) -> Iterator[Handover]:
    """Networks whose subnet overlaps with one that another network is to have."""
    for one in present:
        if one.type != DOCKER_NETWORK or node_of(one) is None:
            continue
        subnets = [IPv4Network(item["subnet"]) for item in one.inputs.get("ipamConfigs") or () if item.get("subnet")]
        for name, spec in settings.networks.items():
            if name != one.name and spec.subnet and any(spec.subnet.overlaps(subnet) for subnet in subnets):
                yield Handover(one, f"subnet {spec.subnet}", name)


def _containers(settings: Settings, present: list[Resource], lost: dict[str, Handover]) -> Iterator[Handover]:
    """Containers on those networks, and those whose published port or address another workload is to have."""
    addresses = {
        str(how.ipv4_address): name
        for name, spec in settings.workloads.items()
        for how in spec.networks.values()
        if how.ipv4_address
    }
    ports: dict[tuple[str, int, str], str] = {
        (str(settings.nodes[settings.placement[name]].address), port.published, port.protocol): name
        for name, spec in settings.workloads.items()
        for port in spec.ports
        if port.published
    }
    for one in present:
        if one.type != CONTAINER or node_of(one) is None:
            continue
        for network in one.inputs.get("networksAdvanced") or ():
            if (why := lost.get(network.get("name", ""))) is not None:
                yield Handover(one, f"network {why.resource.name}", why.to, why.needed)
        for address in one.addresses & addresses.keys():
            if addresses[address] != one.name:
                yield Handover(one, f"address {address}", addresses[address])
        for port in one.inputs.get("ports") or ():
            owner = ports.get(_published(one, port))
            if owner not in (None, one.name):
                yield Handover(one, f"port {port['external']}/{port.get('protocol', 'tcp')}", str(owner))


def _published(container: Resource, port: dict[str, Any]) -> tuple[str, int, str]:
    return node_of(container) or "", int(port.get("external") or 0), port.get("protocol", "tcp")
