"""Raw settings, section by section: those that are valid, and a problem for everything that is not."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from components.config import unknown_keys
from components.config.problems import Problem, format_value, join_path
from components.config.section import Spec
from components.config.spec import (
    CheckSpec,
    EngineSpec,
    LabSpec,
    MachinesSpec,
    NetworkSpec,
    NodeSpec,
    PlatformSpec,
    StoreSpec,
    UnderlaySpec,
    WorkloadSpec,
)

ROOT = "lab"
_COLLECTIONS = ("nodes", "networks", "workloads", "checks")
_AS_WRITTEN: Final = object()
_ANSWERS = {
    "int_type": ("an integer", "write an integer without quotes"),
    "bool_type": ("a boolean", "write true or false without quotes"),
    "string_type": ("text", "write text; put it in quotes"),
    "tuple_type": ("a list", "write a list"),
    "model_type": ("a mapping", "write a mapping of keys to values"),
    "dict_type": ("a mapping", "write a mapping of keys to values"),
    "missing": ("required", "add this key"),
    "literal_error": ("one of {expected}", "choose one of these"),
    "greater_than_equal": ("at least {ge}", "write {ge} or more"),
    "less_than_equal": ("at most {le}", "write {le} or less"),
    "refused": ("{rule}", "{remedy}"),
}
_STRICT = ConfigDict(strict=True)
_ADAPTERS = {
    name: TypeAdapter[Any](cast(Any, info.annotation), config=_STRICT) for name, info in LabSpec.model_fields.items()
}


@dataclass
class Draft:
    """The valid parts of a lab: a section with a problem is None, an entry of a collection with one is left out.

    Rules between sections skip these: their own problems are reported already.
    """

    stack: str
    raw: Mapping[Any, Any] = field(default_factory=dict)
    secret: bool = False
    """Whether values may be secret: then no problem shows one."""
    name: str | None = None
    underlay: UnderlaySpec | None = None
    machine: MachinesSpec | None = None
    engine: EngineSpec | None = None
    store: StoreSpec | None = None
    platform: PlatformSpec | None = None
    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    networks: dict[str, NetworkSpec] = field(default_factory=dict)
    workloads: dict[str, WorkloadSpec] = field(default_factory=dict)
    checks: dict[str, CheckSpec] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def names(self, *path: str) -> Collection[str] | None:
        """Every name in a collection, also of entries with problems. None where it is no collection."""
        names: Any = self.raw
        for part in path:
            names = {} if names is None else names.get(part) if isinstance(names, Mapping) else names
        return names or () if isinstance(names, Mapping | None) else None

    def add_problem(self, path: tuple[str | int, ...], rule: str, remedy: str, value: object = _AS_WRITTEN) -> None:
        """Add a problem at ``lab.<path>``. ``value`` is shown instead of what is written there."""
        path, written = self._written(path)
        shown = format_value(written if value is _AS_WRITTEN else value)
        text = "(not shown: the configuration has secrets)" if self.secret else shown
        self.problems.append(Problem(join_path(ROOT, *path), text, rule, remedy))

    def _written(self, path: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], Any]:
        """The part of a path that exists in the file, and what is written there: a short form has nothing below it."""
        value: Any = self.raw
        for index, part in enumerate(path):
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, list):
                if isinstance(part, str):
                    return path, part if part in value else _entry(value, part)
                value = value[part] if part < len(value) else None
            elif value is not None:
                return path[:index], value
        return path, value


def _entry(pairs: list[Any], name: str) -> str | None:
    """The entry of a list of ``NAME=VALUE`` or ``NAME:VALUE`` that has the name."""
    return next((one for one in pairs if isinstance(one, str) and re.split("[=:]", one, maxsplit=1)[0] == name), None)


def read(raw: object, stack: str, *, secret: bool = False) -> Draft:
    """Read ``raw``, the value of ``overlab:lab``. Never raises; problems are in the draft."""
    draft = Draft(stack, secret=secret)
    if isinstance(raw, Mapping):
        draft.raw = raw
    else:
        remedy = "set the configuration key overlab:lab in the stack file"
        draft.add_problem((), "the lab is a mapping", remedy, raw)
    for key in draft.raw:
        if key not in LabSpec.model_fields:
            draft.add_problem((key,), *unknown_keys.answer(LabSpec, str(key)))
    draft.name = _parse(draft, "name", draft.raw["name"] if draft.raw.get("name") is not None else stack)
    for key in LabSpec.model_fields.keys() - {"name", *_COLLECTIONS}:
        setattr(draft, key, _parse(draft, key, {} if draft.raw.get(key) is None else draft.raw[key]))
    for key in _COLLECTIONS:
        entries = draft.raw.get(key)
        if not isinstance(entries, Mapping | None):
            draft.add_problem((key,), "a mapping of names to settings", f"write one name a line under {key}:")
            continue
        for name, entry in (entries or {}).items():
            found = _parse(draft, key, {name: {} if entry is None else entry}, name)
            getattr(draft, key).update(found or {})
    return draft


def _parse(draft: Draft, key: str, value: object, *entry: str) -> Any:
    """The valid value of a section, or of one entry of a collection; None where there is a problem, which is added."""
    try:
        return _ADAPTERS[key].validate_python(value)
    except ValidationError as error:
        items = error.errors(include_url=False)
        if entry and all(item["type"] == "extra_forbidden" for item in items):
            # Only without these keys the rules between the others are checked.
            items += _errors_without(items, key, value)
        for item in items:
            inner = item["loc"][len(entry) :]
            path = (key, *entry, *(part for part in inner if part != "[key]"))
            _add(draft, path, item, is_name=inner[-1:] == ("[key]",))
    return None


def _errors_without(items: list[ErrorDetails], key: str, value: Any) -> list[ErrorDetails]:
    """What else is wrong with an entry, beside its unknown keys; nothing where one of them stands for a known one."""
    rest = {name: dict(found) for name, found in value.items()}
    for item in items:
        name, *inner = item["loc"]
        if len(inner) != 1 or not unknown_keys.is_without_equivalent(_section((key, *item["loc"])), str(inner[0])):
            return []
        del rest[name][inner[0]]
    try:
        _ADAPTERS[key].validate_python(rest)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _add(draft: Draft, path: tuple[str | int, ...], error: ErrorDetails, *, is_name: bool) -> None:
    kind, context = error["type"], {name: str(text) for name, text in error.get("ctx", {}).items()}
    texts = _ANSWERS.get(kind, ("{message}", "change the value accordingly"))
    rule, remedy = (text.format(message=error["msg"], **context) for text in texts)
    value = path[-1] if is_name else error["input"] if path == ("name",) else _AS_WRITTEN
    if kind == "extra_forbidden":
        rule, remedy = unknown_keys.answer(_section(path), str(path[-1]))
    elif kind == "literal_error" and isinstance(error["input"], str):
        new = unknown_keys.RENAMED_VALUES.get(error["input"])
        remedy = f"write {new}" if new else unknown_keys.UNAVAILABLE_VALUES.get(error["input"], remedy)
    elif is_name and kind == "string_type":
        rule, remedy = "a name is text", "put the name in quotes"
    draft.add_problem(path, rule, remedy, value)


def _section(path: tuple[str | int, ...]) -> type[Spec]:
    """The section in which the last part of a path is a key."""
    section: type[Spec] = LabSpec
    parts = iter(path[:-1])
    for part in parts:
        annotation = section.model_fields[str(part)].annotation
        inner = [found for found in _types(annotation) if issubclass(found, Spec)]
        if not inner:
            break
        section = inner[0]
        if any(get_origin(found) in (dict, tuple) for found in (annotation, *get_args(annotation))):
            next(parts, None)  # the entry's name or index
    return section


def _types(annotation: Any) -> list[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _types(argument)]
