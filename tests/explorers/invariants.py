"""What holds for a lab that is as declared, over the document of ``overlab status --json`` and a census. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
_LOCAL, _OF_OTHERS = "local", ("resolved", "unresolved", "absent")


@dataclass(frozen=True)
class Declared:
    """The part of the settings that the lab is held against."""

    placement: Mapping[str, str]
    """Workload -> node."""
    attachments: frozenset[tuple[str, str]]
    """Network and workload of each endpoint."""
    networks: frozenset[str]


def violations(status: Document, declared: Declared) -> list[str]:
    """A sentence for each thing that does not hold; empty for a lab that is as declared."""
    return [
        *(f"finding: {one['id']}: {one['subject']}: {one['evidence']}" for one in _findings(status)),
        *_nodes(status),
        *_endpoints(status, declared),
        *_entries(status),
    ]


def too_many(before: Counter[str], after: Counter[str]) -> list[str]:
    """What exists that did not, or more often than before."""
    return [f"too many: {count} x {what}" for what, count in sorted((after - before).items())]


def _findings(status: Document) -> list[Document]:
    return [one for one in status["findings"] if one["severity"] != "note"]


def _nodes(status: Document) -> Iterator[str]:
    if not status["store"]["leader"]:
        yield "the store has no leader"
    for node in status["nodes"]:
        name = node["name"]
        if node["machine"] != "running":
            yield f"{name}: its machine is {node['machine']}"
        if node["engine"] is None or node["error"]:
            yield f"{name}: no engine: {node['error']}"
        if not node["registered"]:
            yield f"{name}: not in docker/nodes"
        yield from (f"{name}: no gossip member {peer}" for peer, joined in node["members"].items() if not joined)
        if node["watchdog"] != "healthy":
            yield f"{name}: its watchdog is {node['watchdog']}"


def _endpoints(status: Document, declared: Declared) -> Iterator[str]:
    """No two endpoints share an address or a MAC; each belongs to one declared workload, on that one's node."""
    found: Counter[tuple[str, str]] = Counter()
    macs: Counter[str] = Counter()
    yield from _twice("network", [one["name"] for one in status["networks"]])
    for network in status["networks"]:
        name, endpoints = network["name"], network["endpoints"]
        if name not in declared.networks or network["id"] is None:
            yield f"network {name}: declared: {name in declared.networks}, in the store: {network['id'] is not None}"
        yield from _twice(f"{name}: address", [one["address"] for one in endpoints])
        macs.update(one["mac"] for one in endpoints)
        for one in endpoints:
            found[name, one["name"]] += 1
            if declared.placement.get(one["name"]) != one["node"]:
                yield f"{name}/{one['name']} is on {one['node']}, declared on {declared.placement.get(one['name'])}"
    yield from _twice("MAC", macs.elements())
    for pair in sorted(found.keys() | declared.attachments):
        wanted = int(pair in declared.attachments)
        if found[pair] != wanted:
            yield f"{'/'.join(pair)}: {found[pair]} endpoints in the store, {wanted} declared"


def _entries(status: Document) -> Iterator[str]:
    """Interfaces, FDB and neighbor entries are those of the store."""
    for network in status["networks"]:
        for one in network["endpoints"]:
            for node, state in one["kernel"].items():
                if state not in ((_LOCAL,) if node == one["node"] else _OF_OTHERS):
                    yield f"{network['name']}/{one['name']} on {node}: {state}"


def _twice(what: str, values: Iterable[str]) -> Iterator[str]:
    yield from (f"{what} {value}: {count} times" for value, count in Counter(values).items() if count > 1)
