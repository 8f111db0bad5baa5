"""Resources and functions of the official SDK wheels, found by inspecting their classes.

A type is one of ``str``, ``int``, ``float``, ``bool``, ``object`` (anything), a :class:`Many`, a :class:`Mapping`
or a class with properties, as a dict from wire name to type.
"""

from __future__ import annotations

import collections.abc
import functools
import importlib
import inspect
import pkgutil
import sys
import typing
from dataclasses import dataclass
from types import ModuleType, UnionType
from typing import Any

import pulumi

Type = Any


@dataclass(frozen=True)
class Many:
    """A list."""

    of: Type


@dataclass(frozen=True)
class Mapping:
    """An object with free keys."""

    of: Type


def resource_class(token: str) -> type[pulumi.Resource]:
    """The SDK's class of a resource type; LookupError when the wheel has none."""
    for module in _modules(token.split(":", 1)[0]):
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, pulumi.CustomResource) and found.__module__ == module.__name__:
                stated = getattr(found, "pulumi_type", None)
                if stated == token or (stated is None and f"'{token}'" in inspect.getsource(found)):
                    return found
    raise LookupError(f"no class for {token} in the SDK")


@functools.cache
def inputs(token: str) -> dict[str, Type]:
    """Properties that the SDK lets a program give, by wire name."""
    resource = resource_class(token)
    return _properties(getattr(sys.modules[resource.__module__], f"{resource.__name__}Args"))


@functools.cache
def outputs(token: str) -> dict[str, Type]:
    """Properties that the SDK reads of a resource, by wire name."""
    return {"id": str} | _properties(resource_class(token))


def mismatches(value: Any, wanted: Type, path: str = "") -> list[str]:
    """Where a value (as it is on the wire) is not what the SDK reads; empty = all is well. Null always is."""
    if value is None or wanted is object or type(value).__name__ in ("Unknown", "Asset", "Archive"):
        return []
    if type(value).__name__ == "Secret":
        return mismatches(value.value, wanted, path)
    if isinstance(wanted, Many):
        if not isinstance(value, list):
            return [f"{path}: {type(value).__name__}, not a list"]
        return [line for index, item in enumerate(value) for line in mismatches(item, wanted.of, f"{path}[{index}]")]
    if not isinstance(wanted, dict | Mapping):
        fine = type(value) is wanted or (wanted is float and type(value) is int)
        return [] if fine else [f"{path}: {type(value).__name__}, not {wanted.__name__}"]
    if not isinstance(value, dict):
        return [f"{path}: {type(value).__name__}, not an object"]
    found = []
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        if isinstance(wanted, Mapping):
            found += mismatches(item, wanted.of, here)
        elif key not in wanted:
            found += [] if key.startswith("__") else [f"{here}: unknown to the SDK"]
        else:
            found += mismatches(item, wanted[key], here)
    return found


@functools.cache
def _modules(package: str) -> tuple[ModuleType, ...]:
    root = importlib.import_module(f"pulumi_{package}")
    # config: only aliases of the package's settings, and not importable by itself.
    names = [m.name for m in pkgutil.walk_packages(root.__path__, f"{root.__name__}.") if ".config" not in m.name]
    return (root, *(_loaded(name) for name in names))


def _loaded(name: str) -> ModuleType:
    """The module, executed. A package that the SDK imports lazily stays without its classes, for the whole process,
    when one of its modules is imported before it was executed."""
    module = importlib.import_module(name)
    getattr(module, "__all__", None)  # any attribute executes it
    return module


def _properties(described: Any) -> dict[str, Type]:
    found = {}
    for name, member in inspect.getmembers(described, lambda member: isinstance(member, property)):
        wire = getattr(member.fget, "_pulumi_name", None)
        if wire is None and described.__module__.split(".")[0].startswith("pulumi_") and not name.startswith("_"):
            wire = name
        if wire is not None and member.fget.__module__.startswith("pulumi_"):
            names = vars(sys.modules[member.fget.__module__]) | {"Output": pulumi.Output, "T": Any}
            found[wire] = _type(typing.get_type_hints(member.fget, names)["return"])
    return found


def _type(hint: Any) -> Type:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return _type(_stated(parts))
    if origin is pulumi.Output:
        return _type(parts[0])
    if origin in (collections.abc.Sequence, list):
        return Many(_type(parts[0]))
    if origin in (collections.abc.Mapping, dict):
        return Mapping(_type(parts[1]))
    if hint in (str, int, float, bool):
        return hint
    if isinstance(hint, type) and hint.__module__.startswith("pulumi_"):
        return str if issubclass(hint, str) else _properties(hint)
    return object


def _stated(parts: tuple[Any, ...]) -> Any:
    """The plain alternative of ``Input[T]``, ``Optional[T]`` and ``Union[Args, ArgsDict]``."""
    noise = (pulumi.Output, collections.abc.Awaitable)
    plain = [part for part in parts if part is not type(None) and typing.get_origin(part) not in noise]
    return plain[0] if plain and all(_alike(plain[0], part) for part in plain[1:]) else object


def _alike(first: Any, other: Any) -> bool:
    """Whether an alternative is only another way to write the first: a TypedDict, or an enum's plain value."""
    return first is other or typing.is_typeddict(other) or (first is str) or (other is str)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
