"""Address ranges: those of overlays are stated, and none overlaps another's, the underlay's or an engine's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from . import engines
from .rule import Parameters, Resource, ResourceRule, Stack, StackRule
from .types import CONTAINER_UNDERLAY, ENGINE, NETWORK, UNDERLAY

DRIVER = "overlay"
_DEFAULT_POOLS = (*(f"172.{second}.0.0/16" for second in range(17, 32)), "192.168.0.0/16")
"""What an engine cuts its local networks from by default."""


def no_subnet(resource: Resource, _: Parameters) -> Iterator[str]:
    """No subnet stated: the engine takes the next one of its own pool."""
    if resource.props.get("driver") != DRIVER:
        return
    if not any(config.get("subnet") for config in resource.props.get("ipamConfigs") or ()):
        yield f"the overlay '{resource.props.get('name') or resource.name}' states no subnet"


@dataclass(frozen=True)
class Range:
    """One range. Local ones may overlap each other: each is some engine's own."""

    network: IPv4Network
    what: str
    owner: Resource
    local: bool = False


def overlaps(ranges: list[Range]) -> Iterator[tuple[Range, Range]]:
    """Every range that is not local and overlaps another is in one of the pairs; by sorting, so n log n."""
    furthest: dict[bool, Range] = {}
    for item in sorted(ranges, key=lambda one: (one.network.network_address, one.network.prefixlen)):
        for local, other in furthest.items():
            if not (local and item.local) and other.network.broadcast_address >= item.network.network_address:
                yield other, item
        reach = furthest.get(item.local)
        if reach is None or item.network.broadcast_address > reach.network.broadcast_address:
            furthest[item.local] = item


def ranges_of(stack: Stack) -> Iterator[Range]:
    """Every range that the stack states; a text that is no range is another rule's matter."""
    for network in stack.of(NETWORK):
        with network.deferring_unknowns():
            overlay, lab = network.props.get("driver") == DRIVER, network.parent_type == CONTAINER_UNDERLAY
            kind = "overlay" if overlay else "lab network" if lab else "local network"
            what, local = f"{kind} {network.props.get('name') or network.name}", not overlay and not lab
            for config in network.props.get("ipamConfigs") or ():
                with network.deferring_unknowns():
                    yield from _range(config.get("subnet"), what, network, local)
    for network in stack.of(UNDERLAY):
        for text in network.each("addresses"):
            yield from _range(text, f"lab network {network.name}", network)
    pools: dict[str, Resource] = {}
    for engine in stack.of(ENGINE):
        with engine.deferring_unknowns():
            stated = engines.pools(engine)
            for text in _DEFAULT_POOLS if stated is None else stated:
                pools.setdefault(str(text), engine)
    for text, owner in pools.items():
        yield from _range(text, "the engines' local pool", owner, local=True)


def _range(text: object, what: str, owner: Resource, local: bool = False) -> Iterator[Range]:
    try:
        yield Range(IPv4Network(str(text), strict=False), f"{what} ({text})", owner, local)
    except ValueError:
        return  # absent, IPv6, or refused by the provider


def overlapping(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
    """An overlay or the lab network meets another of them, or a local pool."""
    for first, second in overlaps(list(ranges_of(stack))):
        blamed, other = (second, first) if first.local or not second.local else (first, second)
        yield blamed.owner, f"{blamed.what} overlaps {other.what}"


RULES = (
    ResourceRule(
        name="overlay-subnet-stated",
        reason="Without a subnet an overlay gets the next /24 of the engines' pool, 10.0.0.0/8, whatever uses it.",
        remedy="state one, outside the lab network and the engines' local pools: subnet: 10.0.5.0/24",
        types=(NETWORK,),
        predicate=no_subnet,
    ),
    StackRule(
        name="subnets-disjoint",
        reason="Where ranges overlap, containers do not start or reach the wrong network; engines check only a part.",
        remedy="give each overlay a subnet of its own, outside the lab network and the engines' local pools",
        predicate=overlapping,
    ),
)
