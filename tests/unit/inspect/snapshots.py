"""Snapshots that were recorded on a real lab, and changes to them."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overlab.inspect.snapshot import Snapshot

_DIRECTORY = Path(__file__).parent / "recorded"
Raw = dict[str, Any]


def recorded(name: str = "healthy") -> Snapshot:
    return Snapshot.model_validate(_raw(name))


def changed(*changes: Callable[[Raw], None], name: str = "healthy") -> Snapshot:
    """The recorded snapshot with faults in it."""
    raw = copy.deepcopy(_raw(name))
    for change in changes:
        change(raw)
    return Snapshot.model_validate(raw)


def _raw(name: str) -> Raw:
    found: Raw = json.loads((_DIRECTORY / f"{name}.json").read_text())
    return found


def report(raw: Raw, node: str) -> Raw:
    found: Raw = raw["nodes"][node]["report"]
    return found


def container(raw: Raw, node: str, name: str) -> Raw:
    found: Raw = next(container for container in report(raw, node)["containers"] if container["name"] == name)
    return found


def namespace(raw: Raw, node: str, network: str) -> Raw:
    """The network's namespace on a node."""
    id_ = next(one["id"] for one in report(raw, node)["networks"] if one["name"] == network)
    found: Raw = next(one for one in report(raw, node)["overlay_namespaces"] if id_.startswith(one["network"]))
    return found


def stored(raw: Raw, part: str, change: Callable[[Raw], bool | None]) -> None:
    """Change the store's values below a part of libnetwork's data, for every node; False removes the key."""
    for node in raw["nodes"].values():
        keys = node["report"]["store"]["keys"]
        for key in [key for key in keys if key.startswith(f"docker/network/v1.0/{part}/") and keys[key]]:
            value = json.loads(base64.b64decode(keys[key]))
            if change(value) is False:
                del keys[key]
            else:
                keys[key] = base64.b64encode(json.dumps(value).encode()).decode()
