"""The store's view: what libnetwork and discovery keep there, decoded from the keys that a node brought."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Interface
from typing import Any

from overlab.inspect.report import Fact, StoreAnswer

_NODES = "docker/nodes/"
_DATA = "docker/network/v1.0/"


class StoredEndpoint(Fact):
    """An endpoint as every engine reads it."""

    id: str
    network: str
    """The network's id."""
    name: str
    address: IPv4Interface | None
    mac: str
    sandbox: str
    owner: str
    """Address of the node that made it."""


class StoredNetwork(Fact):
    id: str
    name: str
    internal: bool
    subnets: dict[str, int]
    """Subnet -> VNI; 0 until the first endpoint joins."""
    endpoints: tuple[StoredEndpoint, ...]

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
    """Engines that say they are alive: address and port."""
    networks: tuple[StoredNetwork, ...]
    """Overlays, by name."""
    unread: tuple[str, ...]
    """Keys with values that are not what they should be."""


def read(answer: StoreAnswer) -> StoreView:
    """The view in a store's answer. Raises nothing: what cannot be read is named in ``unread``."""
    unread: list[str] = []
    nodes = tuple(sorted(key.removeprefix(_NODES) for key in answer.keys if key.startswith(_NODES) and key != _NODES))
    subnets = {parts[0]: _subnets(value) for parts, value in _values(answer.keys, "overlay/network/", unread)}
    ends: dict[str, list[StoredEndpoint]] = {}
    for parts, value in _values(answer.keys, "endpoint/", unread):
        ends.setdefault(parts[0], []).append(_endpoint(parts[0], value))
    networks = [
        StoredNetwork(
            id=value["id"],
            name=value["name"],
            internal=bool(value.get("internal")),
            subnets=subnets.get(value["id"]) or dict.fromkeys(_pools(value), 0),
            endpoints=tuple(sorted(ends.get(value["id"], ()), key=lambda end: end.name)),
        )
        for _, value in _values(answer.keys, "network/", unread)
        if value.get("networkType") == "overlay"
    ]
    return StoreView(
        version=answer.version,
        leader=answer.leader,
        peers=tuple(sorted(answer.peers)),
        nodes=nodes,
        networks=tuple(sorted(networks, key=lambda network: (network.name, network.id))),
        unread=tuple(unread),
    )


def _values(keys: Mapping[str, str], part: str, unread: list[str]) -> Iterator[tuple[list[str], Any]]:
    """The keys below a part of libnetwork's data, split at their slashes, with their values."""
    for key, text in sorted(keys.items()):
        if not key.startswith(_DATA + part) or not text:
            continue
        try:
            value = json.loads(base64.b64decode(text))
        except ValueError:
            unread.append(key)
            continue
        if isinstance(value, dict):
            yield key.removeprefix(_DATA + part).strip("/").split("/"), value
        else:
            unread.append(key)


def _subnets(value: Mapping[str, Any]) -> dict[str, int]:
    return {str(one["SubnetIP"]): int(one.get("Vni") or 0) for one in value.get("subnets") or ()}


def _pools(value: Mapping[str, Any]) -> list[str]:
    """The network's subnets from its address management, for one that no engine has used yet."""
    infos = json.loads(value.get("ipamV4Info") or "[]")
    return [str(info["PoolID"]).split("/", 1)[1] for info in infos]


def _endpoint(network: str, value: Mapping[str, Any]) -> StoredEndpoint:
    interface = value.get("ep_iface") or {}
    address = interface.get("addr")
    return StoredEndpoint(
        id=str(value["id"]),
        network=network,
        name=str(value["name"]),
        address=IPv4Interface(address) if address else None,
        mac=str(interface.get("mac") or ""),
        sandbox=str(value.get("sandbox") or ""),
        owner=str(value.get("locator") or ""),
    )
