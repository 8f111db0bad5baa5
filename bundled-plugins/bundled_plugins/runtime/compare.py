"""Structural comparison of old and new inputs, for providers that diff inputs (not old outputs)."""

from __future__ import annotations

from typing import Any

from bundled_plugins.runtime.model import property_path
from bundled_plugins.runtime.resource import Kind
from bundled_plugins.runtime.values import Archive, Asset, Properties, Secret, Unknown


def changes(olds: Properties, news: Properties, ignored: frozenset[str] = frozenset({"version"})) -> dict[str, Kind]:
    """Changed paths by kind. A secret is one leaf; assets and archives compare by hash; ``__*`` keys do not count."""
    found: dict[str, Kind] = {}
    _object(_counted(olds, ignored), _counted(news, ignored), (), found)
    return found


def _counted(properties: Properties, ignored: frozenset[str]) -> Properties:
    return {k: v for k, v in properties.items() if not k.startswith("__") and k not in ignored}


def _object(old: dict[str, Any], new: dict[str, Any], path: tuple[int | str, ...], found: dict[str, Kind]) -> None:
    for key in sorted({*old, *new}):
        here = (*path, key)
        if key not in new:
            found[property_path(here)] = Kind.DELETE
        elif key not in old:
            found[property_path(here)] = Kind.ADD
        else:
            _value(old[key], new[key], here, found)


def _value(old: Any, new: Any, path: tuple[int | str, ...], found: dict[str, Kind]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        _object(old, new, path, found)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            here = (*path, index)
            if index >= len(new):
                found[property_path(here)] = Kind.DELETE
            elif index >= len(old):
                found[property_path(here)] = Kind.ADD
            else:
                _value(old[index], new[index], here, found)
    elif not _same(old, new):
        found[property_path(path)] = Kind.UPDATE


def _same(old: Any, new: Any) -> bool:
    if isinstance(new, Unknown):
        return False
    if isinstance(old, Asset | Archive) and isinstance(new, Asset | Archive):
        return type(old) is type(new) and old.hash == new.hash
    if isinstance(old, Secret) and isinstance(new, Secret):
        found: dict[str, Kind] = {}
        _value(old.value, new.value, ("secret",), found)
        return not found
    return _type(old) is _type(new) and bool(old == new)


def _type(value: Any) -> type:
    """The value's type on the wire, which has one kind of number (and where a boolean is none)."""
    return float if type(value) is int else type(value)
