"""Overlay networks: their addresses are chosen, not taken from a pool."""

from __future__ import annotations

from collections.abc import Iterator

from .rule import Parameters, Resource, ResourceRule
from .types import NETWORK

DRIVER = "overlay"


def no_subnet(resource: Resource, _: Parameters) -> Iterator[str]:
    """No subnet stated: the engine takes the next one of its own pool."""
    if resource.props.get("driver") != DRIVER:
        return
    if not any(config.get("subnet") for config in resource.props.get("ipamConfigs") or ()):
        yield f"the overlay '{resource.props.get('name') or resource.name}' states no subnet"


RULES = (
    ResourceRule(
        name="overlay-subnet-stated",
        reason="Without a subnet an overlay gets the next /24 of the engines' pool, 10.0.0.0/8, whatever is there.",
        remedy="state one, outside the lab network and the engines' local pools: subnet: 10.0.5.0/24",
        types=(NETWORK,),
        predicate=no_subnet,
    ),
)
