"""Addresses from names, pure: underlay + node key -> number, address, MAC.

A node's address depends on its own key alone, so adding, removing or reordering nodes moves no other.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

FIRST_OFFSET = 10
"""``docker01`` gets the network's address + 11; the addresses below are for the gateway and for other hosts."""

_MOST_DIGITS = 12
"""A longer number is cut: no network has an address for it either way."""


def node_number(key: str) -> int | None:
    """The number at the end of the key (``docker01`` -> 1), or None when it has none or it is 0."""
    digits = key[len(key.rstrip("0123456789")) :].lstrip("0")
    return int(digits[:_MOST_DIGITS] or 0) or None


def node_address(network: IPv4Network, number: int) -> IPv4Address | None:
    """Address of node ``number`` (>= 1), or None where the network has no such address."""
    offset = FIRST_OFFSET + number
    return network[offset] if offset < network.num_addresses - 1 else None


def last_number(network: IPv4Network) -> int:
    """The greatest node number that has an address in the network (0 or less: none has)."""
    return network.num_addresses - 2 - FIRST_OFFSET


def node_range(subnet: IPv4Network, prefix: int, number: int) -> IPv4Network | None:
    """The range of a subnet from which the engine of node ``number`` picks addresses; None where the subnet has none.

    It depends on the node's own number alone. The first range of the subnet is no node's: the gateway is in it, and
    addresses that are stated.
    """
    count = 1 << (prefix - subnet.prefixlen)
    return IPv4Network((int(subnet.network_address) + (number << (32 - prefix)), prefix)) if number < count else None


def first(network: IPv4Network) -> IPv4Address:
    """The first address that a host may have; of a network of one address that one."""
    return network[min(1, network.num_addresses - 1)]


def gateway(network: IPv4Network) -> IPv4Address:
    """The hypervisor's address in the network: the first."""
    return first(network)


def usable(network: IPv4Network, address: IPv4Address) -> bool:
    """Whether a node may have the address: inside, and not the network, gateway or broadcast address."""
    return address in network and address not in (
        network.network_address,
        gateway(network),
        network.broadcast_address,
    )


def mac(address: IPv4Address) -> str:
    """A MAC with QEMU's prefix (52:54:00) and the address's last three bytes, so unique within a /8."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in address.packed[1:])
