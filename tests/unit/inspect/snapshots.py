"""Looks that were recorded on a real lab, and what can befall them."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overlab.inspect.snapshot import Snapshot

_DIRECTORY = Path(__file__).parent / "looks"
Raw = dict[str, Any]


def recorded(name: str = "healthy") -> Snapshot:
    return Snapshot.model_validate(_raw(name))


def changed(*changes: Callable[[Raw], None], name: str = "healthy") -> Snapshot:
    """The recorded look after something happened to it."""
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
    found: Raw = next(one for one in report(raw, node)["containers"] if one["name"] == name)
    return found


def namespace(raw: Raw, node: str, overlay: str) -> Raw:
    """The overlay's namespace on a node."""
    nid = next(one["id"] for one in report(raw, node)["networks"] if one["name"] == overlay)
    found: Raw = next(one for one in report(raw, node)["overlays"] if nid.startswith(one["network"]))
    return found


def stored(raw: Raw, part: str, change: Callable[[Raw], bool | None]) -> None:
    """Change the store's values below a part of libnetwork's data, for every node; False takes the key away."""
    for node in raw["nodes"].values():
        keys = node["report"]["store"]["keys"]
        for key in [key for key in keys if key.startswith(f"docker/network/v1.0/{part}/") and keys[key]]:
            value = json.loads(base64.b64decode(keys[key]))
            if change(value) is False:
                del keys[key]
            else:
                keys[key] = base64.b64encode(json.dumps(value).encode()).decode()
