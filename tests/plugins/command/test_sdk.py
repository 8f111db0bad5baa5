"""Every property that the plugin takes exists in the official SDK with that type, and none of the SDK's is missing."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any, Union

import pulumi
import pulumi_command
import pytest

from plugins.command.connection import Connection, Endpoint
from plugins.command.copy_to_remote import CopyInputs
from plugins.command.local_command import LocalCommandInputs
from plugins.command.remote_command import RemoteCommandInputs
from plugins.runtime.model import Model

PAIRS: list[tuple[type[Model], Any]] = [
    (LocalCommandInputs, pulumi_command.local.Command),
    (RemoteCommandInputs, pulumi_command.remote.Command),
    (CopyInputs, pulumi_command.remote.CopyToRemote),
    (Connection, pulumi_command.remote.ConnectionArgs),
    (Endpoint, pulumi_command.remote.ProxyConnectionArgs),
]

#: What the SDK's types look like on the wire.
WIRE = {float: int, pulumi_command.local.Logging: str, pulumi_command.remote.Logging: str}


def _sdk(kind: Any) -> dict[str, Any]:
    function = kind._internal_init if hasattr(kind, "_internal_init") else kind.__init__
    hints = typing.get_type_hints(function, vars(inspect.getmodule(kind)))
    return {name: hint for name, hint in hints.items() if name not in ("opts", "__props__", "return", "resource_name")}


def _plain(hint: Any) -> set[Any]:
    """The members of a type without Optional, Input, Annotated and other wrappings."""
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return {plain for item in typing.get_args(hint) for plain in _plain(item)} - {type(None), pulumi.Output}
    if origin is typing.Annotated:
        return _plain(typing.get_args(hint)[0])
    if origin is typing.Literal:
        return {type(item) for item in typing.get_args(hint)}
    if origin in (typing.Awaitable, pulumi.Output) or getattr(origin, "__name__", "") == "Awaitable":
        return set()
    if origin is not None and origin.__name__ in ("Sequence", "list"):
        return {list}
    if origin is not None and origin.__name__ in ("Mapping", "dict"):
        return {dict}
    return {WIRE.get(hint, hint)}


def _agrees(ours: set[Any], theirs: set[Any]) -> bool:
    if Any in ours:
        return any("Asset" in str(item) or item is Any for item in theirs)
    if any(isinstance(item, type) and issubclass(item, Model) for item in ours):
        return any("ConnectionArgs" in str(item) for item in theirs)
    return ours <= theirs


@pytest.mark.parametrize(("model", "kind"), PAIRS, ids=[model.__name__ for model, _ in PAIRS])
def test_properties_are_those_of_the_sdk(model: type[Model], kind: Any) -> None:
    theirs = _sdk(kind)
    assert set(model.model_fields) == set(theirs)
    for name, field in model.model_fields.items():
        ours = _plain(field.annotation)
        assert _agrees(ours, _plain(theirs[name])), f"{name}: {ours} here, {_plain(theirs[name])} in the SDK"
