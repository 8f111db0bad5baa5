"""Published ports: who can reach a workload through its node, and what they must not cover."""

from __future__ import annotations

from collections.abc import Iterator

from . import networks
from .rule import Parameters, Resource, ResourceRule, flag, items
from .types import CONTAINER

RESERVED_PORTS = (22, 2375, 2376, 2379, 2380, 4789, 7946, 8300, 8301, 8302, 8500, 8501, 8502, 8600)
"""Of SSH, engine, overlays and every kind of store: those that the settings refuse too."""
_ANY = ("", "0.0.0.0", "::", "[::]")


def exposed(resource: Resource, parameters: Parameters) -> Iterator[str]:
    """Ports bound beyond the lab's networks, or to a port that the lab itself needs."""
    anywhere = bool(parameters["any_address"])
    with resource.deferring_unknowns():
        if resource.props.get("publishAllPorts") and not anywhere:
            yield "publishAllPorts binds every address of the node"
    for port in resource.each("ports"):
        with resource.deferring_unknowns():
            external = int(port.get("external") or 0)
            if external in {int(reserved) for reserved in parameters["reserved_ports"]}:
                yield f"node port {external} is SSH's, or one of the engine's, the store's or the overlays' own"
        with resource.deferring_unknowns():
            label = f"port {int(port['internal'])}"
            address = str(port.get("ip") or "")
            if address in _ANY:
                if not anywhere:
                    yield f"{label} is published on every address of the node"
            elif not networks.inside(address, networks.lab(parameters)):
                yield f"{label} is published on {address}, outside {', '.join(parameters['lab_networks'])}"


RULES = (
    ResourceRule(
        name="port-published",
        reason="Published ports are for the lab's networks only, and never cover what engine and store listen on.",
        remedy="set ip to the node's lab address and external to a free port (or leave external to the engine)",
        types=(CONTAINER,),
        predicate=exposed,
        parameters={
            **networks.PARAMETER,
            **flag("any_address", "Allow ports without an address: for nodes that have no network but the lab's."),
            **items("reserved_ports", RESERVED_PORTS, "Node ports that no container may take.", "integer"),
        },
    ),
)
