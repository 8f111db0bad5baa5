"""A swarm's overlay networks, as its engines declare them: a swarm has no store that could be read from outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Interface

from overlab.inspect.node_report import EngineNetwork, ListedEndpoint, NodeReport
from overlab.inspect.store_view import StoredEndpoint, StoredNetwork


def networks(reports: Mapping[str, NodeReport]) -> tuple[StoredNetwork, ...]:
    """By name. Endpoints are those that their own nodes declare, and of other nodes those that gossip brought.

    Of the latter the MAC is not known.
    """
    by_id: dict[str, list[tuple[str, EngineNetwork]]] = {}
    for address, network in _declared(reports.values()):
        by_id.setdefault(network.id, []).append((address, network))
    found = (_network(declared, _addresses(reports)) for declared in by_id.values())
    return tuple(sorted(found, key=lambda network: (network.name, network.id)))


def _addresses(reports: Mapping[str, NodeReport]) -> set[str]:
    """Of the nodes that report their networks."""
    return {one.engine.swarm_address for one in reports.values() if one.engine is not None and one.networks is not None}


def _declared(reports: Iterable[NodeReport]) -> Iterator[tuple[str, EngineNetwork]]:
    for report in reports:
        if report.engine is not None and report.engine.swarm_address:
            for network in report.networks or ():
                if network.driver == "overlay" and network.scope == "swarm":
                    yield report.engine.swarm_address, network


def _network(declared: list[tuple[str, EngineNetwork]], reporting: set[str]) -> StoredNetwork:
    _, first = declared[0]
    endpoints: dict[str, StoredEndpoint] = {}
    for address, network in declared:
        for id_, listed in network.endpoints.items():
            endpoints[id_] = _endpoint(id_, listed, address)
    for _, network in declared:
        for id_, known in network.known.items():
            if id_ not in endpoints and known.node not in reporting:
                ip = IPv4Interface(known.address) if known.address else None
                endpoints[id_] = StoredEndpoint(id=id_, name=known.name, address=ip, mac="", locator=known.node)
    return StoredNetwork(
        id=first.id,
        name=first.name,
        internal=first.internal,
        subnets=first.vnis or {first.subnet: 0},
        endpoints=tuple(sorted(endpoints.values(), key=lambda endpoint: (endpoint.name, endpoint.locator))),
        encrypted=first.encrypted,
    )


def _endpoint(id_: str, listed: ListedEndpoint, node: str) -> StoredEndpoint:
    return StoredEndpoint(
        id=id_,
        name=listed.name,
        address=IPv4Interface(listed.address) if listed.address else None,
        mac=listed.mac,
        locator=node,
        balancer=listed.balancer,
    )
