"""Base of the components: inputs that are validated and registered, a stated type token, children with their parent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import pulumi
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from components.config.problems import Problem, format_value, join_path
from components.config.section import Spec

T = TypeVar("T")
_PUBLIC = "public"
Public = Annotated[T, _PUBLIC]
"""A field of :class:`Args` that the component registers as its input. Secrets stay out, or are secret outputs."""


class ArgsError(pulumi.RunError):
    """The inputs of a component are refused; it was not declared."""

    def __init__(self, args: type[BaseModel], problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) > 1 else ''}"
        lines = [f"{args.__name__}: {count}; nothing was declared.", *(f"  {problem}" for problem in self.problems)]
        super().__init__("\n".join(lines))


class Args(Spec):
    """Frozen inputs of a component: what a person states, and wiring (components, providers, files).

    What a base class states that is a section of a stack file is public; of the own fields those marked :data:`Public`.
    Raises :class:`ArgsError` with every problem.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = [_problem(type(self), item) for item in error.errors(include_url=False)]
            raise ArgsError(type(self), problems) from None

    def inputs(self) -> dict[str, Any]:
        """What the component registers."""
        mro = [base for base in type(self).__mro__ if issubclass(base, Spec)]
        stated = {name for base in mro if not issubclass(base, Args) for name in base.model_fields}
        fields = type(self).model_fields.items()
        public = [name for name, field in fields if name in stated or _PUBLIC in field.metadata]
        return {name: plain(getattr(self, name)) for name in public}


A = TypeVar("A", bound=Args)


class Component(pulumi.ComponentResource, Generic[A]):
    """A component that registers its public inputs; its type token is written in the class and a public name."""

    TOKEN: ClassVar[str]

    def __init__(self, name: str, args: A, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__(self.TOKEN, name, args.inputs(), opts)
        self.name = name
        self.args = args

    def child_options(self, **options: Any) -> pulumi.ResourceOptions:
        """Options of a child resource: this component is its parent, and what is stated.

        What lives inside a node states ``deleted_with=node.instance``, and has the instance's id among its inputs: on
        another instance it is created again (ADR 0004).
        """
        return pulumi.ResourceOptions(parent=self, **options)


def plain(value: Any) -> Any:
    """A value as a resource input: a component is its name, nested inputs are their public ones."""
    if isinstance(value, Component):
        return value.name
    if isinstance(value, Args):
        return value.inputs()
    if isinstance(value, BaseModel):
        return plain(dict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, IPv4Address | IPv4Network | PurePath) else value


def _problem(args: type[Args], error: ErrorDetails) -> Problem:
    rule, remedy = error["msg"], error.get("ctx", {}).get("remedy", "pass a value that the rule allows")
    if error["type"] == "missing":
        rule, remedy = "required", f"pass {error['loc'][-1]}="
    elif error["type"] == "extra_forbidden":
        rule, remedy = "unknown input", f"known inputs: {', '.join(sorted(args.model_fields))}"
    value = "" if error["type"] == "missing" else format_value(plain(error["input"]))
    return Problem(join_path(args.__name__, *error["loc"]), value, rule, remedy)
