"""Every property of an official SDK is accepted by the bundled plugin, with its type, or listed as unsupported."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import types
import typing
from typing import Any

import pytest
from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.resource import Plugin, Resource

from conformance import sdk
from conformance.harness import PYTHONPATH

pytestmark = pytest.mark.bundled_only("internals")

PLUGINS = ("docker", "libvirt", "command")


def plugin(name: str) -> type[Plugin]:
    module = importlib.import_module(f"bundled_plugins.{name}.provider")
    (found,) = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Plugin) and item.__module__ == module.__name__
    ]
    return found


RESOURCES = [kind for name in PLUGINS for kind in plugin(name).resources]


@pytest.mark.parametrize("name", PLUGINS)
def test_plugin_has_the_version_of_its_sdk(name: str) -> None:
    found = plugin(name)
    assert found.name == name
    assert found.version == importlib.metadata.version(f"pulumi_{name}")
    assert found.resources


@pytest.mark.parametrize("kind", RESOURCES, ids=lambda kind: kind.token)
def test_every_input_of_the_sdk_is_accepted_or_refused_by_name(kind: type[Resource]) -> None:
    assert differences(kind.model, sdk.inputs(kind.token)) == []  # type: ignore[attr-defined]  # each plugin's base has it


@pytest.mark.parametrize("kind", RESOURCES, ids=lambda kind: kind.token)
def test_outputs_are_the_sdks(kind: type[Resource]) -> None:
    stated = getattr(kind, "outputs", ())
    names = set(stated) if isinstance(stated, tuple) else set()
    assert names <= set(sdk.outputs(kind.token))
    assert not names & set(sdk.inputs(kind.token))


def test_reading_an_sdk_leaves_it_usable() -> None:
    """In a separate process: here another test may have loaded the SDK's lazy packages already."""
    code = """
from conformance import sdk
from conformance.harness import PYTHONPATH
sdk.inputs("command:remote:Command")
import pulumi_command
print(pulumi_command.remote.Command.__name__, pulumi_command.local.Command.__name__)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": PYTHONPATH}, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["Command", "Command"]


def differences(model: type[Model], official: dict[str, sdk.Type], path: str = "") -> list[str]:
    """Where the model and the SDK disagree: names that one of them does not know, and types."""
    known = {field.alias for field in model.model_fields.values()} | set(model.unsupported)
    found = [f"{path}{name}: neither accepted nor listed as unsupported" for name in sorted(official.keys() - known)]
    found += [f"{path}{name}: unsupported, but not in the SDK" for name in model.unsupported if name not in official]
    for field in model.model_fields.values():
        here = f"{path}{field.alias}"
        if field.alias not in official:
            found.append(f"{here}: not in the SDK")
        else:
            found += _compare(field.annotation, official[field.alias], here)
    return found


def _compare(annotation: Any, official: sdk.Type, path: str) -> list[str]:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = [part for part in parts if part is not type(None)]
        return [line for part in inner for line in _compare(part, official, path)]
    if origin is typing.Annotated:
        return _compare(parts[0], official, path)
    if official is object or annotation is Any:
        return []
    if origin is typing.Literal:
        return [] if all(type(part) is official for part in parts) else [f"{path}: {parts}, SDK: {official}"]
    if origin is list:
        return (
            _compare(parts[0], official.of, f"{path}[]") if isinstance(official, sdk.Many) else [_other(path, official)]
        )
    if origin is dict:
        fits = isinstance(official, sdk.Mapping)
        return _compare(parts[1], official.of, f"{path}{{}}") if fits else [_other(path, official)]
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return differences(annotation, official, f"{path}.") if isinstance(official, dict) else [_other(path, official)]
    # Whole numbers arrive as integers, whatever the SDK calls them.
    return (
        []
        if annotation is official or (annotation, official) == (int, float)
        else [f"{path}: {annotation}, SDK: {official}"]
    )


def _other(path: str, official: sdk.Type) -> str:
    return f"{path}: another type in the SDK: {official}"
