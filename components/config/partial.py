"""Specs that can be read in part: what is wrong in one field says nothing about the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

PARTIAL: Final = "partly"
"""Validation context in which nothing is refused: a field that cannot be read is left out."""


class Unparsed(Exception):
    """A field was asked for that could not be read. That is a problem of its own, which is noted elsewhere."""


if_parsed = suppress(Unparsed)
"""``with if_readable:`` passes over a judgement as soon as it rests on a field that could not be read."""


class Spec(BaseModel):
    """Frozen, strict, and closed: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def parse_partial(cls, value: object) -> Self:
        """What can be read of ``value``; to ask for another field raises :class:`Unreadable`. Refuses nothing."""
        return cls.model_validate(value, context=PARTIAL)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            if info.context != PARTIAL:
                raise
            return cls._of(cls._readable(value, error) if isinstance(value, Mapping) else {})

    @classmethod
    def _readable(cls, raw_value: Mapping[Any, Any], error: ValidationError) -> dict[str, Any]:
        locations = [item["loc"] for item in error.errors(include_url=False, include_input=False)]
        found: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            bad = [location[1:] for location in locations if location[:1] == (name,)]
            if name in raw_value:
                with suppress(ValidationError, Unparsed):
                    value = _without(raw_value[name], bad)
                    found[name] = _adapter(cls, name).validate_python(value, context=PARTIAL)
            elif not field.is_required():
                found[name] = field.get_default(call_default_factory=True)
        return found

    @classmethod
    def _of(cls, found: dict[str, Any]) -> Self:
        partial = cast(Self, cls.model_construct(**found))
        for name in cls.model_fields.keys() - found.keys():
            partial.__dict__.pop(name, None)
        return partial

    if not TYPE_CHECKING:  # or the type checker would take every name for an attribute

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise Unparsed(name)
            return super().__getattr__(name)


@cache
def _adapter(spec: type[Spec], name: str) -> TypeAdapter[Any]:
    field = spec.model_fields[name]
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    return TypeAdapter(kind, config=None if nested else ConfigDict(strict=True))


def _without(value: Any, bad: Sequence[tuple[int | str, ...]]) -> Any:
    """``value`` without the entries that are wrong. Raises Unreadable where that would tell something untrue."""
    if not bad:
        return value
    names = {location[0] if location else None for location in bad}
    if not all(isinstance(name, str) for name in names):
        # All of it is wrong; or it is a list, where to take an entry out would move the others.
        raise Unparsed
    kept: Any = None
    if isinstance(value, Mapping):
        kept = {key: item for key, item in value.items() if key not in names}
    elif isinstance(value, list):
        kept = [item for item in value if item not in names]
    if not kept:
        # Nothing left is not the same as nothing written.
        raise Unparsed
    return kept
