"""The cluster store's view: what libnetwork and discovery keep there, decoded from the keys that a node reports."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Interface
from typing import Any, TypeVar

from overlab.inspect.node_report import Fact, StoreAnswer

T = TypeVar("T")
_NODES = "docker/nodes/"
_DATA = "docker/network/v1.0/"


class StoredEndpoint(Fact):
    """An endpoint as every engine reads it."""

    id: str
    name: str
    address: IPv4Interface | None
    mac: str
    locator: str
    """Address of the node whose engine created it."""
    balancer: bool = False
    """Whether it is a swarm's load balancer of the network on its node, and no container's."""

    @property
    def ip(self) -> str:
        return str(self.address.ip) if self.address else ""


class StoredNetwork(Fact):
    id: str
    name: str
    internal: bool
    subnets: dict[str, int]
    """Subnet -> VNI; 0 until the first endpoint joins."""
    endpoints: tuple[StoredEndpoint, ...]
    encrypted: bool = False

    @property
    def subnet(self) -> str:
        return next(iter(self.subnets), "")

    @property
    def vni(self) -> int:
        return next(iter(self.subnets.values()), 0)


class StoreView(Fact):
    version: str
    leader: str
    peers: tuple[str, ...]
    nodes: tuple[str, ...]
    """The registered engines: address and port."""
    networks: tuple[StoredNetwork, ...]
    """Overlay networks, by name."""
    invalid: tuple[str, ...]
    """Keys whose values are not libnetwork's."""


def read(answer: StoreAnswer) -> StoreView:
    """The view in a store's answer. Raises nothing: a key that cannot be decoded is named in ``invalid``."""
    invalid: list[str] = []
    nodes = tuple(sorted(key.removeprefix(_NODES) for key in answer.keys if key.startswith(_NODES) and key != _NODES))
    subnets = dict(_values(answer.keys, "overlay/network/", _subnets, invalid))
    endpoints: dict[str, list[StoredEndpoint]] = {}
    for network, endpoint in _values(answer.keys, "endpoint/", _endpoint, invalid):
        endpoints.setdefault(network, []).append(endpoint)

    def network_of(value: Mapping[str, Any]) -> StoredNetwork | None:
        if value.get("networkType") != "overlay":
            return None
        id_ = str(value["id"])
        return StoredNetwork(
            id=id_,
            name=str(value["name"]),
            internal=bool(value.get("internal")),
            subnets=subnets.get(id_) or dict.fromkeys(_pools(value), 0),
            endpoints=tuple(sorted(endpoints.get(id_, ()), key=lambda endpoint: endpoint.name)),
        )

    networks = [found for _, found in _values(answer.keys, "network/", network_of, invalid) if found is not None]
    return StoreView(
        version=answer.version,
        leader=answer.leader,
        peers=tuple(sorted(answer.peers)),
        nodes=nodes,
        networks=tuple(sorted(networks, key=lambda network: (network.name, network.id))),
        invalid=tuple(invalid),
    )


def _values(
    keys: Mapping[str, str], part: str, decode: Callable[[Mapping[str, Any]], T], invalid: list[str]
) -> Iterator[tuple[str, T]]:
    """The values below a part of libnetwork's data, each with the first part of its key there: the network's id.

    Anyone who reaches the store can write anything there: what ``decode`` cannot read is named in ``invalid``.
    """
    for key, text in sorted(keys.items()):
        if not key.startswith(_DATA + part) or not text:
            continue
        try:
            value = decode(json.loads(base64.b64decode(text)))
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
            invalid.append(key)
        else:
            yield key.removeprefix(_DATA + part).split("/", 1)[0], value


def _subnets(value: Mapping[str, Any]) -> dict[str, int]:
    return {str(subnet["SubnetIP"]): int(subnet.get("Vni") or 0) for subnet in value.get("subnets") or ()}


def _pools(value: Mapping[str, Any]) -> list[str]:
    """The network's subnets by its IPAM data, for one that no engine has used yet."""
    return [str(info["PoolID"]).split("/", 1)[1] for info in json.loads(value.get("ipamV4Info") or "[]")]


def _endpoint(value: Mapping[str, Any]) -> StoredEndpoint:
    interface = value.get("ep_iface") or {}
    address = interface.get("addr")
    if not isinstance(address, str | None):
        raise TypeError("an address that is no text")
    return StoredEndpoint(
        id=str(value["id"]),
        name=str(value["name"]),
        address=IPv4Interface(address) if address else None,
        mac=str(interface.get("mac") or ""),
        locator=str(value.get("locator") or ""),
    )
