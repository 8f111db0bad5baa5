"""Inputs as Pydantic models: what a resource accepts, with what each property's change means.

A model's field is a Pulumi property (snake_case here, camelCase on the wire). Its :class:`Prop` says what the
official provider does when it changes; :mod:`bundled_plugins.runtime.bridge` turns that into check and diff answers.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, Union

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic.alias_generators import to_camel

from bundled_plugins.runtime.errors import CheckFailure
from bundled_plugins.runtime.values import Properties, Secret, Unknown, unwrap, walk


@dataclass(frozen=True)
class Prop:
    """What a property is beyond its type."""

    replace: bool = False
    """A change replaces the resource."""
    computed: bool = False
    """The provider fills it when the program does not: absent in the program then means "keep"."""
    default: Any = None
    """Filled into the inputs by check (and listed in ``__defaults``)."""
    autoname: int = 0
    """Greater than 0: generated from the resource's name when absent, of at most that many characters."""
    unordered: bool = False
    """A set: order does not matter, elements are compared in full."""
    same: Callable[[Any, Any], bool] | None = None
    """(old, new) -> True suppresses a difference that is none."""
    write_only: bool = False
    """The provider never reads it back (documentation for the resource's ``read``)."""


_PLAIN = Prop()


class Model(BaseModel):
    """Base of every input model: strict types, unknown properties refused, unknown *values* accepted anywhere."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,  # it may be a secret
    )

    unsupported: ClassVar[tuple[str, ...]] = ()
    """Properties (camelCase) of the official provider that this one refuses by name."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _accept_unknown(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if isinstance(value, Unknown):
            return value
        if _scalar(cls.model_fields[info.field_name or ""].annotation):
            return handler(value)
        if isinstance(value, list) and any(isinstance(item, Unknown) for item in value):
            return _known_items(value, handler)
        if isinstance(value, dict) and _unfold(cls.model_fields[info.field_name or ""].annotation)[0] is None:
            known = {key: item for key, item in value.items() if not isinstance(item, Unknown)}
            return handler(known) if known or not value else value
        return handler(value)

    @classmethod
    def parse(cls, properties: Properties) -> Self:
        """The model of checked inputs: secrets unwrapped, nulls and ``__*`` keys dropped. Raises ValidationError.

        In a preview a field may hold ``UNKNOWN``; of a list or map that holds unknowns among others, only the others
        are kept (validators see no unknown item, but must expect an unknown list).
        """
        return cls.model_validate(_presentable(properties), by_alias=True, by_name=False)

    @classmethod
    def failures(cls, properties: Properties, token: str) -> list[CheckFailure]:
        """Why the properties are refused; empty when they are fine."""
        try:
            cls.parse(properties)
        except ValidationError as error:
            return [_failure(cls, item, properties, token) for item in error.errors(include_url=False)]
        return []


def _known_items(items: list[Any], handler: ValidatorFunctionWrapHandler) -> Any:
    """The known items, validated; errors name their places in the whole list. The list itself if it has none."""
    places = [index for index, item in enumerate(items) if not isinstance(item, Unknown)]
    if not places:
        return items
    try:
        return handler([items[index] for index in places])
    except ValidationError as error:
        found = [item for item in error.errors(include_url=False) if item["type"] != "too_short"]
        if not found:
            return items
        raise ValidationError.from_exception_data(error.title, [_moved(item, places) for item in found]) from None


def _moved(error: Any, places: list[int]) -> Any:
    location = list(error["loc"])
    index = next((position for position, part in enumerate(location) if isinstance(part, int)), None)
    if index is not None:  # behind the name of a union's member, if there is one
        location[index] = places[location[index]]
    return {"type": error["type"], "loc": tuple(location), "input": error["input"], "ctx": error.get("ctx", {})}


def _presentable(properties: Properties) -> Properties:
    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: v for k, v in node.items() if v is not None and k != "__defaults"}
        return node

    visible = {key: value for key, value in properties.items() if not key.startswith("__")}
    return typing.cast(Properties, walk(unwrap(visible), clean))


def _failure(model: type[Model], error: Any, properties: Properties, token: str) -> CheckFailure:
    location, secret = _located(error["loc"], error["type"], properties)
    path = property_path(location)
    if error["type"] == "extra_forbidden":
        if location[-1] in _model_at(model, location[:-1]).unsupported:
            reason = (
                f"'{path}' is not supported by the bundled plugin for {token}; remove it, or use the official plugin"
            )
        else:
            reason = f"'{path}' is no property of {token}; check its spelling"
    elif error["type"] == "missing":
        reason = f"Missing required property '{path}'"
    elif error["type"] == "value_error":
        reason = str(error["ctx"]["error"])
        if secret and (text := str(error["input"])):
            reason = reason.replace(text, "[secret]")
    else:
        reason = f"{error['msg']} (got {_shown(error['input'], secret=secret)})"
    return CheckFailure(path, reason)


def _model_at(model: type[Model], location: tuple[int | str, ...]) -> type[Model]:
    for part in location:
        if isinstance(part, str):
            model = shapes(model)[part].model or Model
    return model


def _shown(value: Any, *, secret: bool) -> str:
    """The value if it is short and no text: texts may be long, and are too often a password in the wrong place."""
    text = repr(value) if isinstance(value, bool | int | float) and not secret else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def _located(location: tuple[int | str, ...], kind: str, data: Any) -> tuple[tuple[int | str, ...], bool]:
    """The location without what is not in the data (pydantic also names the member of a union that it tried), and
    whether it lies in a secret."""
    found: list[int | str] = []
    secret = False
    for position, part in enumerate(location):
        while isinstance(data, Secret):
            secret, data = True, data.value
        if isinstance(part, int):
            inside = isinstance(data, list) and part < len(data)
        else:
            inside = isinstance(data, dict) and part in data
        if inside or (kind == "missing" and position == len(location) - 1):
            found.append(part)
        if inside:
            data = data[part]
    return tuple(found), secret or isinstance(data, Secret)


def property_path(location: tuple[int | str, ...]) -> str:
    """``("ports", 0, "internal")`` as the engine writes it: ``ports[0].internal``."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.replace("_", "").isalnum():
            path += f".{part}" if path else part
        else:
            escaped = part.replace("\\", "\\\\").replace('"', '\\"')
            path += f'["{escaped}"]'
    return path


@dataclass(frozen=True)
class Shape:
    """One property of a model, seen from the wire."""

    name: str
    """camelCase."""
    prop: Prop
    model: type[Model] | None
    """The nested model, for an object or a list of objects."""
    many: bool
    """A list."""
    mapping: bool
    required: bool


@functools.cache
def shapes(model: type[Model]) -> dict[str, Shape]:
    """The properties of a model by wire name."""
    found: dict[str, Shape] = {}
    for field in model.model_fields.values():
        prop = next((item for item in field.metadata if isinstance(item, Prop)), _PLAIN)
        nested, many, mapping = _unfold(field.annotation)
        name = field.alias or ""
        found[name] = Shape(name, prop, nested, many, mapping, field.is_required())
    return found


def _scalar(annotation: Any) -> bool:
    """Whether no list or object will do, whatever is unknown in it."""
    arguments = [item for item in typing.get_args(annotation) if item is not type(None)]
    if typing.get_origin(annotation) is typing.Annotated:
        return _scalar(arguments[0])
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return all(_scalar(item) for item in arguments)
    return annotation in (str, int, float, bool)


def _unfold(annotation: Any) -> tuple[type[Model] | None, bool, bool]:
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        inner = [item for item in typing.get_args(annotation) if item is not type(None)]
        return _unfold(inner[0]) if len(inner) == 1 else (None, False, False)
    if origin is typing.Annotated:
        return _unfold(typing.get_args(annotation)[0])
    if origin is list:
        nested, _, _ = _unfold(typing.get_args(annotation)[0])
        return nested, True, False
    if origin is dict:
        return None, False, True
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation, False, False
    return None, False, False
