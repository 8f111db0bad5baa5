"""What an update destroys, in sentences, from the events of its preview."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_RECREATED = frozenset({"replace", "create-replacement", "delete-replaced"})
_KINDS = {
    "overlab:index:Machine": ("-domain", "node {}", "all that is on it is lost"),
    "overlab:index:NodeContainer": ("-container", "node {}", "all that is on it is lost"),
    "overlab:index:StoreAgent": (
        "-store-data",
        "the store's volume on {}",
        "a single server's networks are lost with it",
    ),
    "overlab:index:Network": ("", "network {}", "its workloads are disconnected, or recreated with it"),
    "overlab:index:Workload": ("", "workload {}", "its files are lost"),
}
"""Type of the component -> what its resource's name ends with, what it is called, what is lost."""
_OBJECTS = ("domain:Domain", "container:Container", "network:Network", "volume:Volume")


def losses(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each loss; nothing for what only changes or is new."""
    found: dict[str, None] = {}
    for event in events:
        metadata = (event.get("resourcePreEvent") or {}).get("metadata") or {}
        op, (component, name) = str(metadata.get("op")), _parts(str(metadata.get("urn", "")))
        verb = "recreated" if op in _RECREATED else "removed" if op == "delete" else ""
        if not verb or component not in _KINDS:
            continue
        suffix, subject, lost = _KINDS[component]
        if name.endswith(suffix):
            found[f"{subject.format(name.removesuffix(suffix))} is {verb}: {lost}"] = None
    return list(found)


def _parts(urn: str) -> tuple[str, str]:
    """Type of the component to which an object belongs, and its resource's name; empty for what is no object."""
    types, _, name = urn.rpartition("::")
    *_, parent, type_ = ["", *types.rpartition("::")[2].split("$")]
    return (parent, name) if type_.endswith(_OBJECTS) else ("", "")
