"""Texts that go to a machine: scripts, files, first-boot data; and the JSON documents in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi
import yaml

from .rule import Resource
from .types import COMMAND, COPY, SEED

CARRIERS = (COMMAND, COPY, SEED)
"""Types that carry a text to a machine."""
_DECODER = json.JSONDecoder()
_QUOTE_IN_SHELL = "'\"'\"'"


def of(resource: Resource) -> Iterator[str]:
    """The known payloads of a resource; unknown ones are deferred."""
    if resource.type == COMMAND:
        for key in ("create", "update", "stdin"):
            with resource.deferring_unknowns():
                text = resource.props.get(key)
                if isinstance(text, str):
                    yield text.replace(_QUOTE_IN_SHELL, "'")
    elif resource.type == COPY:
        with resource.deferring_unknowns():
            source = resource.props.get("source")
            if isinstance(source, pulumi.StringAsset):
                yield source.text
    elif resource.type == SEED:
        with resource.deferring_unknowns():
            yield from _strings(_parsed(resource.props.get("userData")))


def _parsed(text: Any) -> Any:
    """The value of a YAML or JSON text; None where it is neither."""
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text.removeprefix("#cloud-config"))
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def documents(text: str) -> Iterator[Mapping[str, Any]]:
    """The outermost JSON objects in a text, in their order."""
    position = text.find("{")
    while position >= 0:
        try:
            found, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            if isinstance(found, dict):
                yield found
        position = text.find("{", end)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _strings(item)
