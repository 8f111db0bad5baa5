"""Overlays state their subnets, and no range meets another."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules import types
from rules.rule import Resource
from rules.subnets import Range, overlaps

from tests.policy.evaluate import DEFERRED, PASSED, UNKNOWN, Declared, evaluate, evaluate_stack

STATED = "overlay-subnet-stated"
DISJOINT = "subnets-disjoint"


def network(name: str, *subnets: str, driver: str = "overlay") -> Declared:
    return Declared(
        types.NETWORK, name, {"name": name, "driver": driver, "ipamConfigs": [{"subnet": s} for s in subnets]}
    )


def lab(*addresses: str) -> Declared:
    return Declared(types.UNDERLAY, "network", {"addresses": list(addresses)})


def container_underlay(*subnets: str) -> Declared:
    configs = [{"subnet": subnet} for subnet in subnets]
    props = {"name": "overlab-dev", "driver": "bridge", "ipamConfigs": configs}
    return Declared(types.NETWORK, "underlay", props, parent=types.CONTAINER_UNDERLAY)


def engine(pools: list[str] | None = None, name: str = "docker01-engine") -> Declared:
    stated = {} if pools is None else {"address_pools": [{"base": pool, "size": 24} for pool in pools]}
    return Declared(types.ENGINE, name, {"cluster_store": "consul://10.99.0.11:8500", **stated})


def test_stated() -> None:
    assert evaluate(STATED, types.NETWORK, driver="overlay", ipamConfigs=[{"subnet": "10.0.0.0/24"}]) == PASSED
    assert evaluate(STATED, types.NETWORK, driver="bridge") == PASSED
    assert evaluate(STATED, types.NETWORK) == PASSED


@pytest.mark.parametrize("configs", [None, [], [{"gateway": "10.0.0.1"}], [{"subnet": ""}]])
def test_not_stated(configs: Any) -> None:
    props = {"driver": "overlay", "name": "ov_net2"} | ({} if configs is None else {"ipamConfigs": configs})
    assert evaluate(STATED, types.NETWORK, **props).problems == ["the overlay 'ov_net2' states no subnet"]


@pytest.mark.parametrize(
    "props",
    [
        {"driver": UNKNOWN},
        {"driver": "overlay", "ipamConfigs": UNKNOWN},
        {"driver": "overlay", "ipamConfigs": [UNKNOWN]},
    ],
)
def test_unknown_statement(props: dict[str, Any]) -> None:
    assert evaluate(STATED, types.NETWORK, **props) == DEFERRED


def test_disjoint() -> None:
    stack = [network("a", "10.0.0.0/24"), network("b", "10.0.1.0/24"), lab("10.99.0.0/24"), engine(["172.30.0.0/16"])]
    assert evaluate_stack(DISJOINT, *stack) == PASSED


@pytest.mark.parametrize(
    ("stack", "blamed"),
    [
        ([network("a", "10.0.0.0/24"), network("b", "10.0.0.128/25")], "b"),
        ([network("a", "10.0.0.0/24"), network("b", "10.0.0.0/24")], "b"),
        ([network("a", "10.99.0.0/24"), lab("10.99.0.1/16")], "a"),
        ([network("a", "172.30.5.0/24"), engine(["172.30.0.0/16"])], "a"),
        ([network("a", "172.16.0.0/12"), engine(["172.30.0.0/16"])], "a"),
        ([network("a", "172.19.0.0/24"), engine()], "a"),
        ([network("a", "10.5.0.0/24"), network("local", "10.5.0.0/16", driver="bridge")], "a"),
        ([lab("172.30.1.0/24"), engine(["172.30.0.0/16"])], "network"),
        ([container_underlay("172.30.1.0/24"), engine(["172.30.0.0/16"])], "underlay"),
        ([container_underlay("10.99.0.0/24"), network("z", "10.99.0.0/25")], "z"),
    ],
    ids=[
        *("nested", "equal", "lab", "in pool", "around pool", "docker's own pool", "local network", "lab in pool"),
        *("container underlay in pool", "in container underlay"),
    ],
)
def test_overlapping(stack: list[Declared], blamed: str) -> None:
    result = evaluate_stack(DISJOINT, *stack)
    assert result.names == [blamed]
    assert "overlaps" in result.text


def test_the_underlay_of_node_containers_is_not_local() -> None:
    props = {"name": "underlay", "driver": "bridge", "ipamConfigs": [{"subnet": "172.30.1.0/24"}]}
    pool = engine(["172.30.0.0/16"])
    underlay = Declared(types.NETWORK, "underlay", props, parent=types.CONTAINER_UNDERLAY)
    assert evaluate_stack(DISJOINT, underlay, pool).names == ["underlay"]
    assert evaluate_stack(DISJOINT, Declared(types.NETWORK, "underlay", props), pool) == PASSED


def test_local_ranges_may_overlap_each_other() -> None:
    bridges = [network(n, "10.7.0.0/24", driver="bridge") for n in ("a", "b")]
    assert evaluate_stack(DISJOINT, *bridges, engine(["10.7.0.0/16"]), engine(["10.7.0.0/16"], "other")) == PASSED


def test_unknown_subnet_hides_no_overlap() -> None:
    unseen = Declared(types.NETWORK, "u", {"driver": "overlay", "ipamConfigs": [{"subnet": UNKNOWN}]})
    result = evaluate_stack(DISJOINT, unseen, network("a", "10.0.0.0/24"), network("b", "10.0.0.0/16"))
    assert len(result.problems) == 1
    assert result.unknown


def test_a_subnet_left_out_is_not_unknown_though_its_output_is() -> None:
    unstated = Declared(types.NETWORK, "u", {"driver": "overlay"}, outputs={"ipamConfigs": UNKNOWN})
    assert evaluate_stack(DISJOINT, unstated) == PASSED


def test_unknown_pools_hide_no_overlap() -> None:
    unknown = Declared(types.ENGINE, "e", {"address_pools": UNKNOWN})
    assert evaluate_stack(DISJOINT, network("a", "10.0.0.0/24"), unknown) == DEFERRED
    assert evaluate_stack(DISJOINT, network("a", "10.0.0.0/24"), network("b", "10.0.0.0/24"), unknown).problems


_OWNER = Resource("t", "n", "u", {})
_ranges = st.builds(
    lambda address, prefix, local: Range(IPv4Network((address, prefix), strict=False), "r", _OWNER, local),
    st.integers(0, 2**12 - 1).map(lambda n: n << 20),
    st.integers(2, 14),
    st.booleans(),
)


@given(st.lists(_ranges, max_size=12))
def test_every_overlap_is_found(ranges: list[Range]) -> None:
    """Against all pairs: of those that are not local, exactly those that overlap something are in a found pair."""
    pairs = [(a, b) for a, b in combinations(ranges, 2) if not (a.local and b.local) and a.network.overlaps(b.network)]
    found = list(overlaps(ranges))
    assert all(a.network.overlaps(b.network) and not (a.local and b.local) for a, b in found)
    assert {id(r) for p in found for r in p if not r.local} == {id(r) for p in pairs for r in p if not r.local}


def test_many_overlaps_stay_linear() -> None:
    count = 4000
    ranges = [Range(IPv4Network("10.0.0.0/8"), "all", _OWNER)]
    ranges += [Range(IPv4Network((f"10.{i >> 8}.{i & 255}.0", 24)), "one", _OWNER) for i in range(count)]
    assert len(list(overlaps(ranges))) == count
