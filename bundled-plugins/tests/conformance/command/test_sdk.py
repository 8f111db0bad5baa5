"""The plugin takes exactly the properties that the official SDK offers, with its types."""

from __future__ import annotations

import types
import typing
from typing import Any, Union

import pytest
from bundled_plugins.command.copy_to_remote import CopyInputs
from bundled_plugins.command.local_command import LocalCommandInputs, RunInputs
from bundled_plugins.command.remote_command import RemoteCommandInputs
from bundled_plugins.runtime.model import Model, shapes

from conformance import sdk
from conformance.command.conftest import COPY, LOCAL, REMOTE


def _ours(model: type[Model]) -> dict[str, sdk.Type]:
    """The model's properties in the words of :mod:`conformance.sdk`."""
    hints = typing.get_type_hints(model)
    fields = {field.alias: name for name, field in model.model_fields.items()}
    return {wire: _type(hints[fields[wire]]) for wire in shapes(model)}


def _type(hint: Any) -> sdk.Type:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        (stated,) = [part for part in parts if part is not type(None)]
        return _type(stated)
    if origin is typing.Literal:
        return str
    if origin is list:
        return sdk.Many(_type(parts[0]))
    if origin is dict:
        return sdk.Mapping(_type(parts[1]))
    if isinstance(hint, type) and issubclass(hint, Model):
        return _ours(hint)
    return hint if hint in (str, int, bool) else object


def _whole(wanted: sdk.Type) -> sdk.Type:
    """The SDK's types with whole numbers, since a port is one."""
    if isinstance(wanted, dict):
        return {name: _whole(item) for name, item in wanted.items()}
    return int if wanted is float else wanted


@pytest.mark.parametrize(
    ("token", "model"), [(LOCAL, LocalCommandInputs), (REMOTE, RemoteCommandInputs), (COPY, CopyInputs)]
)
def test_inputs_are_those_of_the_sdk(token: str, model: type[Model]) -> None:
    assert _ours(model) == _whole(sdk.inputs(token))


def test_arguments_are_those_of_the_sdk() -> None:
    assert set(shapes(RunInputs)) == sdk.arguments("command:local:run")
