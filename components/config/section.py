"""The base of every section of a stack file, and of the rules between the fields of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError


def refusal(rule: str, remedy: str) -> PydanticCustomError:
    """The error of a validator: the rule that a value breaks, and what to write instead."""
    return PydanticCustomError("refused", "{rule}", {"rule": rule, "remedy": remedy})


@dataclass(frozen=True)
class Violation:
    """Fields that are valid each for itself, and not together."""

    path: tuple[str | int, ...]
    """The field at which to report it; empty for the section itself."""
    value: Any
    rule: str
    remedy: str


class Spec(BaseModel):
    """Frozen, strict, and closed: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)

    def values_of(self, section: type[Spec]) -> dict[str, Any]:
        """The fields that this section has from a base section."""
        return {name: getattr(self, name) for name in section.model_fields}

    def violations(self) -> Iterator[Violation]:
        """Rules between the fields of this section."""
        return iter(())

    @model_validator(mode="after")
    def _check_fields_together(self) -> Self:
        details = [
            InitErrorDetails(type=refusal(one.rule, one.remedy), loc=one.path, input=one.value)
            for one in self.violations()
        ]
        if details:
            raise ValidationError.from_exception_data(type(self).__name__, details)
        return self
