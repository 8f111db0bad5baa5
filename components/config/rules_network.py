"""Rules about addresses, networks, and names and ports on them. Each looks at the whole lab, in linear time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import islice

from components.config import addressing, conventions
from components.config.draft import Draft
from components.config.partial import Unparsed, if_parsed
from components.config.problems import join_path
from components.config.spec import NetworkSpec, NodeSpec, PortSpec

LARGEST = 8
SMALLEST = 28
SMALLEST_OVERLAY = 29
_UNUSABLE = {
    IPv4Network("0.0.0.0/8"): "no address of a machine",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local",
    IPv4Network("224.0.0.0/3"): "multicast or reserved",
}


def check(draft: Draft) -> None:
    """Apply every rule; the problems are added to the draft."""
    for rule in _RULES:
        with if_parsed:
            rule(draft)
    for key, overlay in draft.networks.items():
        for of_overlay in _OVERLAY_RULES:
            with if_parsed:
                of_overlay(draft, key, overlay)


def known(draft: Draft, collection: str, path: str, name: str) -> bool:
    """Whether a name is one of the lab's; if not, that is noted."""
    names = draft.names(collection)
    if name in names:
        return True
    kind = collection.removesuffix("s")
    draft.add_problem(path, name, f"the name of a {kind} of this lab", f"one of: {format_choices(names)}")
    return False


def format_choices(names: Collection[str]) -> str:
    """Names for a message: not more than a dozen of them."""
    some = ", ".join(islice(names, 12)) or "(none)"
    return some + (f", ... ({len(names)} in all)" if len(names) > 12 else "")


# -- nodes


def node_addresses(draft: Draft) -> Iterator[tuple[str, NodeSpec, IPv4Address | None]]:
    """Every node with its address: stated, or derived, or None where the network has none for it."""
    for key, node in draft.nodes.items():
        with if_parsed:
            address = node.address
            if address is None and (number := addressing.node_number(key)):
                address = addressing.node_address(draft.underlay.cidr, number)
            yield key, node, address


def _places(draft: Draft) -> None:
    for key, _, address in node_addresses(draft):
        with if_parsed:
            if address is None:
                _refuse_underived(draft, key)
            elif not addressing.usable(network := draft.underlay.cidr, address):
                gateway = addressing.gateway(network)
                rule = f"inside the lab network {network}, not its network, gateway ({gateway}) or broadcast address"
                draft.add_problem(
                    join_path("nodes", key, "address"), address, rule, f"choose a free address of {network}"
                )


def _refuse_underived(draft: Draft, key: str) -> None:
    number = addressing.node_number(key)
    if number is None:
        rule = "a node's address follows from the number (1 or more) that ends its key, and this key has none"
        draft.add_problem(join_path("nodes", key), key, rule, f"rename it (such as {key}1) or state its address")
        return
    network = draft.underlay.cidr
    rule = f"{network} has addresses for node numbers 1 to {max(addressing.last_number(network), 0)}"
    remedy = "use a larger lab network, a smaller number, or state its address"
    draft.add_problem(join_path("nodes", key), key, rule, remedy)


def _one_address_a_node(draft: Draft) -> None:
    taken: dict[IPv4Address, str] = {}
    for key, _, address in sorted(node_addresses(draft), key=lambda item: item[0]):
        if address is None:
            continue
        owner = taken.setdefault(address, key)
        if owner != key:
            rule = f"one address a node; nodes.{owner} has it already"
            draft.add_problem(
                join_path("nodes", key, "address"), address, rule, "state another address for one of the two"
            )


# -- networks


def _ranges(draft: Draft) -> Iterator[tuple[str, IPv4Network]]:
    """Every stated network, in the order in which one makes way for another."""
    with if_parsed:
        yield "underlay.cidr", draft.underlay.cidr
    with if_parsed:
        for index, pool in enumerate(draft.engine.address_pools):
            with if_parsed:
                yield join_path("engine.address_pools", index, "base"), pool.base
    for key, overlay in sorted(draft.networks.items()):
        with if_parsed:
            if overlay.subnet is not None:
                yield join_path("networks", key, "subnet"), overlay.subnet


def _unusable(draft: Draft) -> None:
    for path, network in _ranges(draft):
        for range_, why in _UNUSABLE.items():
            if network.overlaps(range_):
                draft.add_problem(
                    path, network, f"outside {range_} ({why})", "choose a private range, such as 10.x.y.0/24"
                )


def _overlaps(draft: Draft) -> None:
    ranges = list(_ranges(draft))
    order = {path: index for index, (path, _) in enumerate(ranges)}
    around: list[tuple[str, IPv4Network]] = []
    # In this order a network comes right after those that it lies in.
    for path, network in sorted(ranges, key=lambda item: (item[1].network_address, item[1].prefixlen, order[item[0]])):
        while around and not network.subnet_of(around[-1][1]):
            around.pop()
        for other_path, other in around:
            (first, one), (second, two) = sorted(
                [(path, network), (other_path, other)], key=lambda item: order[item[0]]
            )
            rule = f"networks must not overlap; lab.{first} is {one}"
            draft.add_problem(second, two, rule, "choose a range that no other network of the lab uses")
        if not around or around[-1][1] != network:
            around.append((path, network))


def _pool_sizes(draft: Draft) -> None:
    for index, pool in enumerate(draft.engine.address_pools):
        with if_parsed:
            if pool.size < pool.base.prefixlen:
                rule = f"a prefix length of {pool.base.prefixlen} or more, to cut {pool.base} into subnets"
                path = join_path("engine.address_pools", index, "size")
                draft.add_problem(path, pool.size, rule, "write a larger prefix length")


def _lab_network_size(draft: Draft) -> None:
    cidr = draft.underlay.cidr
    if cidr.prefixlen > SMALLEST:
        draft.add_problem("underlay.cidr", cidr, f"/{SMALLEST} or larger", "use a shorter prefix")
    if cidr.prefixlen < LARGEST:
        rule = f"/{LARGEST} or smaller: a machine's MAC carries the last three bytes of its address"
        draft.add_problem("underlay.cidr", cidr, rule, "use a longer prefix")


# -- each overlay


def _maker(draft: Draft, key: str, overlay: NetworkSpec) -> None:
    known(draft, "nodes", join_path("networks", key, "created_on"), overlay.created_on)


def _mtu(draft: Draft, key: str, overlay: NetworkSpec) -> None:
    if overlay.mtu and overlay.mtu > draft.underlay.mtu:
        rule = f"at most the lab network's MTU ({draft.underlay.mtu})"
        draft.add_problem(join_path("networks", key, "mtu"), overlay.mtu, rule, "leave it out, or write a smaller one")


def _subnet_size(draft: Draft, key: str, overlay: NetworkSpec) -> None:
    if overlay.subnet and overlay.subnet.prefixlen > SMALLEST_OVERLAY:
        path = join_path("networks", key, "subnet")
        draft.add_problem(path, overlay.subnet, f"/{SMALLEST_OVERLAY} or larger", "use a shorter prefix")


def _gateway(draft: Draft, key: str, overlay: NetworkSpec) -> None:
    if overlay.gateway is None:
        return
    path = join_path("networks", key, "gateway")
    if overlay.subnet is None:
        draft.add_problem(path, overlay.gateway, "a gateway needs a stated subnet", "state the subnet")
    elif not _host_of(overlay.subnet, overlay.gateway):
        draft.add_problem(
            path, overlay.gateway, f"a host address of {overlay.subnet}", f"use {addressing.first(overlay.subnet)}"
        )


def _host_of(network: IPv4Network, address: IPv4Address) -> bool:
    return address in network and address not in (network.network_address, network.broadcast_address)


# -- on the overlays and nodes


def _addresses_on_overlays(draft: Draft) -> None:
    taken: dict[tuple[str, IPv4Address], str] = {}
    for key, workload in sorted(draft.workloads.items()):
        with if_parsed:
            for name, attachment in workload.networks.items():
                with if_parsed:
                    if attachment.ipv4_address is not None and name in draft.networks:
                        _address_on(draft, key, name, attachment.ipv4_address, taken)


def _address_on(
    draft: Draft, key: str, name: str, address: IPv4Address, taken: dict[tuple[str, IPv4Address], str]
) -> None:
    path = join_path("workloads", key, "networks", name, "ipv4_address")
    owner = taken.setdefault((name, address), key)
    if owner != key:
        rule = f"one workload an address; {owner} has it already"
        draft.add_problem(path, address, rule, "choose another address of the subnet")
    overlay = draft.networks[name]
    if overlay.subnet is None:
        draft.add_problem(path, address, f"{name} has no stated subnet", f"state networks.{name}.subnet")
    elif not _host_of(overlay.subnet, address) or address == (overlay.gateway or addressing.first(overlay.subnet)):
        rule = f"a host address of {overlay.subnet} that is not its gateway"
        draft.add_problem(path, address, rule, "choose another address of the subnet")


def _names_on_overlays(draft: Draft) -> None:
    taken: dict[tuple[str, str], str] = {}
    places = [(key, *place) for key in sorted(draft.workloads) for place in _aliases(draft, key)]
    for key, overlay, _ in places:
        taken[overlay, key] = join_path("workloads", key)
    for key, overlay, aliases in places:
        for index, alias in enumerate(aliases):
            path = join_path("workloads", key, "networks", overlay, "aliases", index)
            if (overlay, alias) in taken:
                rule = f"one owner a name on an overlay, across nodes; {taken[overlay, alias]} has it already"
                draft.add_problem(path, alias, rule, "choose another alias")
            taken.setdefault((overlay, alias), path)


def _aliases(draft: Draft, workload: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The overlays that a workload is on, with the further names that it has there, as far as they can be read."""
    with if_parsed:
        for overlay, attachment in draft.workloads[workload].networks.items():
            try:
                yield overlay, attachment.aliases
            except Unparsed:
                yield overlay, ()


def _ports(draft: Draft) -> None:
    taken: dict[tuple[str | None, int, str], str] = {}
    for key, workload in sorted(draft.workloads.items()):
        with if_parsed:
            for index, port in enumerate(workload.ports):
                with if_parsed:
                    path = join_path("workloads", key, "ports", index, "published")
                    _published(draft, path, workload.node, port, taken)


def _published(
    draft: Draft, path: str, node: str | None, port: PortSpec, taken: dict[tuple[str | None, int, str], str]
) -> None:
    if port.published is None:
        return
    if port.published in conventions.RESERVED_PORTS:
        rule = "a port that the lab itself does not use"
        draft.add_problem(path, port.published, rule, f"not one of {sorted(conventions.RESERVED_PORTS)}")
    owner = taken.setdefault((node, port.published, port.protocol), path)
    if owner != path:
        rule = f"one workload a port of a node; {owner} is {port.published}/{port.protocol} too"
        draft.add_problem(path, port.published, rule, "choose another port, another node, or none")


_RULES: tuple[Callable[[Draft], None], ...] = (
    _places,
    _one_address_a_node,
    _unusable,
    _overlaps,
    _pool_sizes,
    _lab_network_size,
    _addresses_on_overlays,
    _names_on_overlays,
    _ports,
)
_OVERLAY_RULES: tuple[Callable[[Draft, str, NetworkSpec], None], ...] = (_maker, _mtu, _subnet_size, _gateway)
