"""Small labs drawn by a seed, and edits of one into another. Pure; what is drawn is valid."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

from components.config import settings as lab_settings
from components.config.settings import SettingsError

Raw = dict[str, Any]
Pair = tuple[Raw, Raw]

NODES = ("docker01", "docker02", "docker03")
_NETWORKS = ("front", "back", "data")
_WORKLOADS = ("a1", "b1", "c1", "d1", "e1")
_SUBNETS = ("10.20.0.0/24", "10.21.0.0/24", "10.22.0.0/24")
_HOSTS = (41, 42, 43)
_PORTS = ("8080:80", "8081:80")
_FRESH = 0.2
"""How often the second file has nothing to do with the first."""
_EDITS = (1, 3)


def pair(seed: int, cidr: str) -> Pair:
    """The two labs of a seed."""
    own = random.Random(seed)
    first = _valid(own, lambda: _lab(own, cidr))
    if own.random() < _FRESH:
        return first, _valid(own, lambda: _lab(own, cidr), first)
    return first, _valid(own, lambda: _edited(own, first), first)


def smaller(case: Pair) -> Iterator[Pair]:
    """Pairs with less in both, or with less difference between the two; only valid ones."""
    for one in _smaller(case):
        if one[0] != one[1] and all(map(is_valid, one)):
            yield one


def _smaller(case: Pair) -> Iterator[Pair]:
    for section in ("workloads", "networks"):
        for name in case[0][section].keys() | case[1][section].keys():
            yield tuple(_without(raw, section, name) for raw in case)  # type: ignore[misc]  # two are two
    first, second = case
    for section in ("workloads", "networks", "store"):
        for name in first[section].keys() | second[section].keys():
            one = copy.deepcopy(second)
            if name in first[section]:
                one[section][name] = copy.deepcopy(first[section][name])
            else:
                del one[section][name]
            if one != second:
                yield first, one


def _without(raw: Raw, section: str, name: str) -> Raw:
    found = copy.deepcopy(raw)
    found[section].pop(name, None)
    for workload in list(found["workloads"]):
        spec = found["workloads"][workload]
        spec.get("networks", {}).pop(name if section == "networks" else "", None)
        if not spec.get("networks") and spec.get("network_mode", f"container:{name}") == f"container:{name}":
            del found["workloads"][workload]
    return found


def _valid(own: random.Random, make: Callable[[], Raw], other: Raw | None = None) -> Raw:
    while True:
        found = make()
        if found != other and is_valid(found):
            return found


def is_valid(raw: Raw) -> bool:
    """Whether it is accepted, and has a network and a workload."""
    try:
        lab_settings.parse(copy.deepcopy(raw), "explore")
    except SettingsError:
        return False
    return bool(raw["networks"] and raw["workloads"])


def _lab(own: random.Random, cidr: str) -> Raw:
    subnets = own.sample(_SUBNETS, len(_SUBNETS))
    networks = {name: _network(own, subnets.pop()) for name in sorted(own.sample(_NETWORKS, own.randint(1, 2)))}
    raw: Raw = {
        "underlay": {"cidr": cidr},
        "machine": {"kind": "container", "memory_mib": 512},
        "nodes": {node: {} for node in NODES},
        "store": {"node": NODES[0]},
        "networks": networks,
        "workloads": {},
    }
    for name in sorted(own.sample(_WORKLOADS, own.randint(1, 4))):
        raw["workloads"][name] = _workload(own, raw)
    return raw


def _network(own: random.Random, subnet: str) -> Raw:
    internal = {"internal": True} if own.random() < 0.2 else {}
    return {"created_on": own.choice(NODES), "subnet": subnet} | internal


def _workload(own: random.Random, raw: Raw) -> Raw:
    owners = [name for name, spec in raw["workloads"].items() if "networks" in spec]
    if owners and own.random() < 0.15:
        return {"network_mode": f"container:{own.choice(owners)}"}
    names = own.sample(sorted(raw["networks"]), own.randint(1, len(raw["networks"])))
    found: Raw = {
        "node": own.choice(NODES),
        "networks": {name: _attachment(own, raw["networks"][name]) for name in names},
    }
    if own.random() < 0.3:
        found["ports"] = [own.choice(_PORTS)]
    return found


def _attachment(own: random.Random, network: Raw) -> Raw:
    found: Raw = {}
    if own.random() < 0.4:
        found["ipv4_address"] = network["subnet"].replace("0/24", str(own.choice(_HOSTS)))
    if own.random() < 0.2:
        found["aliases"] = [own.choice(("web", "db"))]
    return found


# -- edits -----------------------------------------------------------------------------------------


def _edited(own: random.Random, raw: Raw) -> Raw:
    found = copy.deepcopy(raw)
    for edit in own.choices(EDITS, k=own.randint(*_EDITS)):
        if found["networks"] and found["workloads"]:
            edit(own, found)
    return found


def _rename_network(own: random.Random, raw: Raw) -> None:
    old, new = own.choice(sorted(raw["networks"])), own.choice(_NETWORKS)
    if new not in raw["networks"]:
        raw["networks"][new] = raw["networks"].pop(old)
        for spec in raw["workloads"].values():
            if old in spec.get("networks", {}):
                spec["networks"][new] = spec["networks"].pop(old)


def _renumber_network(own: random.Random, raw: Raw) -> None:
    name, subnet = own.choice(sorted(raw["networks"])), own.choice(_SUBNETS)
    old = raw["networks"][name]["subnet"]
    raw["networks"][name]["subnet"] = subnet
    for spec in raw["workloads"].values():
        how = spec.get("networks", {}).get(name, {})
        if "ipv4_address" in how:
            how["ipv4_address"] = how["ipv4_address"].replace(old.removesuffix("0/24"), subnet.removesuffix("0/24"))


def _change_network(own: random.Random, raw: Raw) -> None:
    """Its creating node, or whether it is internal."""
    network = raw["networks"][own.choice(sorted(raw["networks"]))]
    if own.random() < 0.5:
        network["created_on"] = own.choice(NODES)
    elif not network.pop("internal", False):
        network["internal"] = True


def _add_network(own: random.Random, raw: Raw) -> None:
    raw["networks"].setdefault(own.choice(_NETWORKS), _network(own, own.choice(_SUBNETS)))


def _remove_network(own: random.Random, raw: Raw) -> None:
    raw |= _without(raw, "networks", own.choice(sorted(raw["networks"])))


def _add_workload(own: random.Random, raw: Raw) -> None:
    raw["workloads"].setdefault(own.choice(_WORKLOADS), _workload(own, raw))


def _remove_workload(own: random.Random, raw: Raw) -> None:
    raw |= _without(raw, "workloads", own.choice(sorted(raw["workloads"])))


def _rename_workload(own: random.Random, raw: Raw) -> None:
    old, new = own.choice(sorted(raw["workloads"])), own.choice(_WORKLOADS)
    if new not in raw["workloads"]:
        raw["workloads"][new] = raw["workloads"].pop(old)
        for spec in raw["workloads"].values():
            if spec.get("network_mode") == f"container:{old}":
                spec["network_mode"] = f"container:{new}"


def _move_workload(own: random.Random, raw: Raw) -> None:
    spec = raw["workloads"][own.choice(sorted(raw["workloads"]))]
    if "node" in spec:
        spec["node"] = own.choice(NODES)


def _swap(key: str) -> Callable[[random.Random, Raw], None]:
    """What two workloads have of it changes its owner."""

    def swap(own: random.Random, raw: Raw) -> None:
        names = [name for name, spec in raw["workloads"].items() if "networks" in spec]
        if len(names) > 1:
            one, other = (raw["workloads"][name] for name in own.sample(names, 2))
            values = one.pop(key, None), other.pop(key, None)
            for spec, value in ((other, values[0]), (one, values[1])):
                if value is not None:
                    spec[key] = value

    return swap


def _change_workload(own: random.Random, raw: Raw) -> None:
    spec = raw["workloads"][own.choice(sorted(raw["workloads"]))]
    key, value = own.choice((("memory_mib", 48), ("labels", {"org.example.x": "1"}), ("environment", {"A": "b"})))
    spec[key] = value


EDITS: tuple[Callable[[random.Random, Raw], None], ...] = (
    _rename_network,
    _renumber_network,
    _change_network,
    _add_network,
    _remove_network,
    _add_workload,
    _remove_workload,
    _rename_workload,
    _move_workload,
    _swap("networks"),
    _swap("node"),
    _swap("ports"),
    _change_workload,
)
"""Of what a node's removal, another number of store servers, or another underlay would be, none."""
