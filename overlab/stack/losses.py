"""What an update destroys, in sentences, from the events of its preview."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from components.config import roles

_RECREATED = frozenset({"replace", "create-replacement", "delete-replaced"})
_KINDS = {
    "overlab:index:Machine": (roles.DOMAIN, "node {}", "all that is on it is lost"),
    "overlab:index:NodeContainer": (roles.CONTAINER, "node {}", "all that is on it is lost"),
    "overlab:index:StoreAgent": (
        roles.STORE_DATA,
        "the store's volume on {}",
        "a single server's networks are lost with it",
    ),
    "overlab:index:Network": ("", "network {}", "its workloads are disconnected, or recreated with it"),
    "overlab:index:Workload": ("", "workload {}", "its files are lost"),
}
"""Type of the component -> its resource's role, or none for its only one, what it is called, what is lost."""
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
        role, subject, lost = _KINDS[component]
        if (named := roles.node_of(name, role) if role else name) is not None:
            found[f"{subject.format(named)} is {verb}: {lost}"] = None
    return list(found)


def _parts(urn: str) -> tuple[str, str]:
    """Type of the component to which an object belongs, and its resource's name; empty for what is no object."""
    types, _, name = urn.rpartition("::")
    *_, parent, type_ = ["", *types.rpartition("::")[2].split("$")]
    return (parent, name) if type_.endswith(_OBJECTS) else ("", "")
