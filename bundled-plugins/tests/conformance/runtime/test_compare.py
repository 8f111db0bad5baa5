"""Inputs against inputs."""

from __future__ import annotations

from typing import Any

import pytest
from bundled_plugins.runtime.compare import changes
from bundled_plugins.runtime.model import property_path
from bundled_plugins.runtime.resource import Kind
from bundled_plugins.runtime.values import UNKNOWN, Archive, Asset, Properties, Secret
from hypothesis import given
from hypothesis import strategies as st

from conformance.runtime import strategies

pytestmark = pytest.mark.bundled_only("internals")

ADD, DELETE, UPDATE = Kind.ADD, Kind.DELETE, Kind.UPDATE


@given(strategies.known_properties)
def test_nothing_differs_from_itself(properties: Properties) -> None:
    assert changes(properties, properties) == {}


@given(strategies.known_properties, strategies.known_properties)
def test_turning_the_sides_turns_the_kinds(old: Properties, new: Properties) -> None:
    turned = {ADD: DELETE, DELETE: ADD, UPDATE: UPDATE}
    assert changes(new, old) == {path: turned[kind] for path, kind in changes(old, new).items()}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1}, {"a": 1.0}, {}),
        ({"a": 1}, {"a": True}, {"a": UPDATE}),
        ({"a": 0}, {"a": False}, {"a": UPDATE}),
        ({"a": None}, {}, {"a": DELETE}),
        ({"a": "x"}, {"a": ["x"]}, {"a": UPDATE}),
        ({"a": [1, 2]}, {"a": [2]}, {"a[0]": UPDATE, "a[1]": DELETE}),
        ({"a": {"b c": 1}}, {"a": {"b c": 2}}, {'a["b c"]': UPDATE}),
        ({"a": Secret(1)}, {"a": 1}, {"a": UPDATE}),
        ({"a": 1}, {"a": Secret(1)}, {"a": UPDATE}),
        ({"a": Secret({"b": Secret(1)})}, {"a": Secret({"b": Secret(1)})}, {}),
        ({"a": Secret({"b": 1, "c": 1})}, {"a": Secret({"b": 2, "c": 2})}, {"a": UPDATE}),
        ({"a": Secret({"b": 1})}, {"a": Secret({"b": UNKNOWN})}, {"a": UPDATE}),
        ({"a": 1}, {"a": UNKNOWN}, {"a": UPDATE}),
        ({"a": UNKNOWN}, {"a": UNKNOWN}, {"a": UPDATE}),
        ({}, {"a": UNKNOWN}, {"a": ADD}),
        ({"a": Asset("text", "x", "h")}, {"a": Asset(None, None, "h")}, {}),
        ({"a": Asset("text", "x", "h")}, {"a": Asset("text", "x", "i")}, {"a": UPDATE}),
        ({"a": Asset("path", "x", "h")}, {"a": Archive("path", "x", "h")}, {"a": UPDATE}),
        ({"__a": 1, "version": 1}, {"__b": 2, "version": 2}, {}),
        ({"a": {"__b": 1, "version": 1}}, {"a": {"__b": 2, "version": 2}}, {"a.__b": UPDATE, "a.version": UPDATE}),
    ],
)  # fmt: skip
def test_rules(old: Properties, new: Properties, found: dict[str, Kind]) -> None:
    assert changes(old, new) == found


@given(st.lists(st.integers(0, 9) | strategies.keys, min_size=1, max_size=4))
def test_paths_read_back_as_the_engine_reads_them(location: list[Any]) -> None:
    location = [location[0] if isinstance(location[0], str) else "top", *location[1:]]
    assert _parsed(property_path(tuple(location))) == location


def _parsed(path: str) -> list[Any]:
    """The engine's reading of a property path (resource.ParsePropertyPath)."""
    found: list[Any] = []
    while path:
        if path[0] == ".":
            path = path[1:]
            continue
        if path.startswith('["'):
            text, position = "", 2
            while path[position] != '"':
                if path[position] == "\\":
                    position += 1
                text += path[position]
                position += 1
            found.append(text)
            path = path[position + 2 :]
        elif path[0] == "[":
            index, _, path = path[1:].partition("]")
            found.append(int(index))
        else:
            end = min((path.index(mark) for mark in ".[" if mark in path), default=len(path))
            found.append(path[:end])
            path = path[end:]
    return found
