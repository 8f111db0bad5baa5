"""Addresses follow from names alone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from components.config import addressing

networks = st.builds(
    lambda base, prefix: IPv4Network((base, prefix), strict=False),
    st.integers(0x0A000000, 0xDFFFFFFF),
    st.integers(16, 27),
)


@given(networks, st.sets(st.integers(1, 250), min_size=1, max_size=250))
def test_addresses_are_unique_usable_and_inside(network: IPv4Network, numbers: set[int]) -> None:
    found = {n: addressing.node_address(network, n) for n in numbers}
    placed = {n: a for n, a in found.items() if a is not None}
    assert len(set(placed.values())) == len(placed)
    assert all(addressing.usable(network, address) for address in placed.values())
    assert {n for n in numbers if n <= addressing.last_number(network)} == set(placed)


@given(networks, st.lists(st.integers(1, 250), min_size=2, unique=True), st.randoms())
def test_adding_removing_and_reordering_moves_no_other(
    network: IPv4Network, numbers: list[int], random: object
) -> None:
    before = {n: addressing.node_address(network, n) for n in numbers}
    after = {n: addressing.node_address(network, n) for n in reversed(numbers[1:])}
    assert all(before[n] == address for n, address in after.items())


@given(st.lists(st.integers(0, 2**24 - 1), unique=True, min_size=2))
def test_macs_are_unique_and_local(hosts: list[int]) -> None:
    macs = {addressing.mac(IPv4Address(0x0A000000 + host)) for host in hosts}
    assert len(macs) == len(hosts)
    assert all(mac.startswith("52:54:00:") for mac in macs)


def test_the_number_that_ends_the_key_counts() -> None:
    assert addressing.node_number("docker01") == 1
    assert addressing.node_number("node-17") == 17
    assert addressing.node_number("web") is None
    assert addressing.node_number("web0") is None
    assert addressing.node_address(IPv4Network("10.99.0.0/24"), 1) == IPv4Address("10.99.0.11")


def test_a_full_network_has_no_further_address() -> None:
    network = IPv4Network("10.99.0.0/28")
    last = addressing.last_number(network)
    assert addressing.node_address(network, last) == IPv4Address("10.99.0.14")
    assert addressing.node_address(network, last + 1) is None
