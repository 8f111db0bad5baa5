"""Rules on address ranges: which may not meet, and whether each has the addresses that the lab takes from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from itertools import islice

from components.config import addressing, conventions
from components.config.derived import choices, has_egress
from components.config.draft import Draft
from components.config.spec import NetworkSpec

KeyPath = tuple[str | int, ...]

OVERLAY_POOL = IPv4Network("10.0.0.0/8")
OVERLAY_POOL_SIZE = 24
"""Engines cut the subnets of overlays that state none from here; ``address_pools`` changes only those of bridges."""
_LIKELY = IPv4Network("10.0.0.0/16")
"""They begin here, and go on behind the last one that they took: a range is not used again at once."""
_SMALLEST_RANGE = 29
_TRIED_RANGES = 64


def _ranges(lab: Draft) -> Iterator[tuple[KeyPath, IPv4Network]]:
    """Every stated range of the lab. Of two that overlap, the later one is reported."""
    yield from _ranges_of_nodes(lab)
    for key, network in sorted(lab.networks.items()):
        if network.subnet is not None:
            yield ("networks", key, "subnet"), network.subnet


def _ranges_of_nodes(lab: Draft) -> Iterator[tuple[KeyPath, IPv4Network]]:
    if lab.underlay:
        yield ("underlay", "cidr"), lab.underlay.cidr
    for index, pool in enumerate(lab.engine.address_pools if lab.engine else ()):
        yield ("engine", "address_pools", index, "base"), pool.base


def _overlaps(lab: Draft) -> None:
    ranges = [(order, path, cidr) for order, (path, cidr) in enumerate(_ranges(lab))]
    around: list[tuple[int, KeyPath, IPv4Network]] = []
    # In this order a network comes right after those that contain it.
    for one in sorted(ranges, key=lambda item: (item[2].network_address, item[2].prefixlen, item[0])):
        while around and not one[2].subnet_of(around[-1][2]):
            around.pop()
        for other in around:
            (_, first, cidr), (_, path, later) = sorted((one, other))
            rule = f"networks must not overlap; lab.{'.'.join(map(str, first))} is {cidr}"
            lab.add_problem(path, rule, "choose a range that no other network of the lab uses", later)
        if not around or around[-1][2] != one[2]:
            around.append(one)


# -- overlays without a subnet


def _pooled(lab: Draft) -> list[str]:
    return sorted(key for key, network in lab.networks.items() if network.subnet is None)


def _likely_subnets(lab: Draft) -> None:
    """A subnet that an engine may pick is in use as the underlay or for local bridges, which no engine compares."""
    for key in _pooled(lab):
        for path, cidr in _ranges_of_nodes(lab):
            if cidr.overlaps(_LIKELY):
                picked = f"without one the engines pick a /{OVERLAY_POOL_SIZE} of {_LIKELY}"
                rule = f"{picked}, and lab.{'.'.join(map(str, path))} is {cidr}"
                remedy = f"state a subnet outside {cidr}, or move that out of {_LIKELY}"
                lab.add_problem(("networks", key, "subnet"), rule, remedy)


def _pool_size(lab: Draft) -> None:
    pooled = _pooled(lab)
    stated = [network.subnet for network in lab.networks.values() if network.subnet is not None]
    units = [
        cidr.supernet(new_prefix=OVERLAY_POOL_SIZE) if cidr.prefixlen > OVERLAY_POOL_SIZE else cidr for cidr in stated
    ]
    taken = sum(
        min(cidr.num_addresses, OVERLAY_POOL.num_addresses) >> (32 - OVERLAY_POOL_SIZE)
        for cidr in collapse_addresses(units)
        if cidr.overlaps(OVERLAY_POOL)
    )
    free = (1 << (OVERLAY_POOL_SIZE - OVERLAY_POOL.prefixlen)) - taken
    for key in pooled[max(free, 0) :]:
        rule = f"without one the engines pick a /{OVERLAY_POOL_SIZE} of {OVERLAY_POOL}, and other networks take all"
        lab.add_problem(("networks", key, "subnet"), rule, "state a subnet, or smaller ones for the others")


# -- addresses of a network


@dataclass
class _Members:
    """Who takes the addresses of a network."""

    network: NetworkSpec
    stated: dict[IPv4Address, str] = field(default_factory=dict)
    """Address -> workload."""
    dynamic: list[str] = field(default_factory=list)
    """Workloads that state none."""

    @property
    def subnet(self) -> IPv4Network:
        return self.network.subnet or IPv4Network((OVERLAY_POOL.network_address, OVERLAY_POOL_SIZE))

    @property
    def range(self) -> IPv4Network:
        """From which the engines pick."""
        return self.network.ip_range or self.subnet

    @property
    def unavailable(self) -> set[IPv4Address]:
        """What nobody gets: the subnet's ends, its gateway, what is kept free."""
        gateway = self.network.gateway_address or self.subnet[1]
        return {self.subnet[0], self.subnet[-1], gateway, *self.network.aux_addresses.values()}

    @property
    def available(self) -> int:
        """How many addresses the engines can pick."""
        missing = {*self.unavailable, *self.stated}
        return self.range.num_addresses - sum(address in self.range for address in missing)

    def first_picked(self) -> list[IPv4Address]:
        """What the engines may give to the dynamic members: the lowest, whoever starts first."""
        free = (address for address in self.range if address not in self.unavailable)
        return list(islice(free, len(self.dynamic)))

    def range_beside(self) -> IPv4Network | None:
        """A part of the subnet, the largest and highest, that has room for the dynamic members and no other address."""
        taken = {*self.stated, *self.network.aux_addresses.values()} | ({self.network.gateway} - {None})
        for prefix in range(self.subnet.prefixlen + 1, _SMALLEST_RANGE + 1):
            parts = 1 << (prefix - self.subnet.prefixlen)
            for number in range(parts - 1, max(parts - 1 - _TRIED_RANGES, -1), -1):
                base = int(self.subnet.network_address) + (number << (32 - prefix))
                part = IPv4Network((base, prefix))
                # It loses its gateway where none is stated, and the subnet's ends.
                if part.num_addresses >= len(self.dynamic) + 3 and not any(address in part for address in taken):
                    return part
        return None


def _members(lab: Draft) -> dict[str, _Members]:
    """Of networks whose addresses all engines pick from one range."""
    shared = {key: network for key, network in lab.networks.items() if not network.kind.per_node}
    found = {key: _Members(network) for key, network in sorted(shared.items())}
    for key, workload in sorted(lab.workloads.items()):
        for name, attachment in workload.networks.items():
            if name not in found:
                continue
            if attachment.ipv4_address is None:
                found[name].dynamic.append(key)
            elif found[name].network.has_host(attachment.ipv4_address):
                found[name].stated.setdefault(attachment.ipv4_address, key)
    return found


def _enough_addresses(lab: Draft) -> None:
    for key, members in _members(lab).items():
        needed, network = len(members.dynamic), members.network
        if needed <= members.available:
            continue
        of = f"{members.range} has {_addresses(members.available)}"
        if members.stated:
            of += " that no workload states"
        rule = f"{of}, and {needed} workloads take one"
        part = "ip_range" if network.ip_range else "subnet"
        lab.add_problem(("networks", key, part), rule, "use a shorter prefix, or a second network")


def _stated_addresses_first(lab: Draft) -> None:
    """A stated address that the engines may give to another workload: who starts first gets it, at each boot."""
    for key, members in _members(lab).items():
        if not members.stated or not members.dynamic:
            continue
        picked = members.first_picked()
        for address in picked:
            if owner := members.stated.get(address):
                who = f"workloads that state none ({choices(members.dynamic)})"
                rule = f"not among the addresses that the engines may give to {who}: up to {picked[-1]}"
                part = members.range_beside()
                remedy = f"choose a higher one{f', or state networks.{key}.ip_range: {part} for them' if part else ''}"
                lab.add_problem(("workloads", owner, "networks", key, "ipv4_address"), rule, remedy, address)


def _addresses(count: int) -> str:
    return f"{count} address{'' if count == 1 else 'es'}"


# -- local bridges


def _local_pools(lab: Draft) -> None:
    if lab.engine is None:
        return
    pools = lab.engine.address_pools
    sizes = [pool.size for pool in pools for _ in range(min(2, 1 << (pool.size - pool.base.prefixlen)))]
    if len(sizes) < 2:
        rule = f"two subnets or more: docker0 and {conventions.GWBRIDGE} take one each on every node"
        lab.add_problem(("engine", "address_pools"), rule, "use a larger base, a longer size, or add a pool")
        return
    room = max((1 << (32 - sizes[1])) - 3, 0)
    members = Counter(workload.node for workload in lab.workloads.values() if has_egress(lab, workload))
    index = next(number for number, pool in enumerate(pools) if number or pool.size > pool.base.prefixlen)
    for node, count in sorted((node or "", count) for node, count in members.items()):
        if count > room:
            has = f"{conventions.GWBRIDGE} has {_addresses(room)} in a /{sizes[1]}"
            rule = f"room for {node}'s {count} workloads: {has}"
            lab.add_problem(("engine", "address_pools", index, "size"), rule, "write a shorter prefix length", sizes[1])


# -- networks of each engine's own


def _node_ranges(lab: Draft) -> None:
    """A range for each node, with an address for each of its workloads, and none that is stated."""
    for key, network in sorted(lab.networks.items()):
        if not network.kind.per_node or network.subnet is None:
            continue
        subnet, prefix = network.subnet, network.range_prefix
        ranges: dict[str, IPv4Network] = {}
        for node in lab.nodes:
            number = addressing.node_number(node)
            part = addressing.node_range(subnet, prefix, number) if number else None
            if part is None:
                last = (1 << (prefix - subnet.prefixlen)) - 1
                rule = f"a range for every node, by the number in its name: {subnet} has /{prefix} for 1 to {last}"
                lab.add_problem(("networks", key, "node_prefix"), rule, f"write a longer one, or rename {node}", prefix)
                break
            ranges[node] = part
        _addresses_of_ranges(lab, key, network, ranges)


def _addresses_of_ranges(lab: Draft, key: str, network: NetworkSpec, ranges: dict[str, IPv4Network]) -> None:
    picking: Counter[str] = Counter()
    for name, workload in sorted(lab.workloads.items()):
        attachment = workload.networks.get(key)
        if attachment is None or workload.node not in ranges:
            continue
        stated = attachment.ipv4_address
        if stated is None:
            picking[workload.node] += 1
        elif owner := next((node for node, part in ranges.items() if stated in part), None):
            rule = f"outside the ranges from which the engines pick: {ranges[owner]} is {owner}'s"
            remedy = f"choose one below {min(part[0] for part in ranges.values())}"
            lab.add_problem(("workloads", name, "networks", key, "ipv4_address"), rule, remedy, stated)
    taken = {network.gateway_address, *network.aux_addresses.values()}
    for node, needed in sorted(picking.items()):
        part = ranges[node]
        # The last range ends with the subnet's broadcast address.
        available = part.num_addresses - (part[-1] == network.subnet[-1] if network.subnet else 0)
        available -= sum(address in part for address in taken if address)
        if needed > available:
            rule = f"{node}'s range {part} has {_addresses(available)}, and {needed} workloads take one"
            lab.add_problem(("networks", key, "node_prefix"), rule, "write a shorter one", network.range_prefix)


def _parents(lab: Draft) -> None:
    """One network an interface: the engine and the kernel refuse a second one, whichever of the drivers it has."""
    first: dict[int | None, str] = {}
    for key, network in sorted(lab.networks.items()):
        if network.kind.has_parent and (other := first.setdefault(network.vlan, key)) != key:
            where = f"VLAN {network.vlan}" if network.vlan else "the underlay's interface itself"
            rule = f"one network a VLAN; networks.{other} is on {where} too"
            lab.add_problem(("networks", key, "vlan"), rule, "state another VLAN")


RULES = (
    _node_ranges,
    _parents,
    _overlaps,
    _likely_subnets,
    _pool_size,
    _enough_addresses,
    _stated_addresses_first,
    _local_pools,
)
