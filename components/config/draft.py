"""Raw settings taken apart: what could be read of every section, and a problem for everything that could not."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from components.config.partial import Spec, Unparsed
from components.config.problems import Problem, format_value, join_path
from components.config.spec import (
    CheckSpec,
    EngineSpec,
    LabSpec,
    MachineSpec,
    NetworkSpec,
    NodeSpec,
    PlatformSpec,
    StoreSpec,
    UnderlaySpec,
    WorkloadSpec,
)

ROOT = "lab"
_LONGEST_KEY = 40
_REMEDIES = {
    "int_type": "write a whole number without quotes",
    "bool_type": "write true or false without quotes",
    "string_type": "write text; put it in quotes",
    "tuple_type": "write a list",
    "model_type": "write a mapping of keys to values",
    "dict_type": "write a mapping of keys to values",
    "cidr": "write the network's own address and prefix length",
    "address": "write four numbers 0 to 255 with dots, in quotes",
    "form": "write it in that form",
    "once": "remove the repetition",
    "too_short": "add at least one",
}


@dataclass
class Draft:
    """What could be read of a lab. To ask for the rest raises :class:`~components.config.partial.Unreadable`."""

    stack: str
    raw: Mapping[Any, Any] = field(default_factory=dict)
    name: Any = None
    underlay: UnderlaySpec = field(default_factory=UnderlaySpec)
    machine: MachineSpec = field(default_factory=MachineSpec)
    engine: EngineSpec = field(default_factory=EngineSpec)
    store: StoreSpec = field(default_factory=StoreSpec)
    platform: PlatformSpec = field(default_factory=PlatformSpec)
    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    networks: dict[str, NetworkSpec] = field(default_factory=dict)
    workloads: dict[str, WorkloadSpec] = field(default_factory=dict)
    checks: dict[str, CheckSpec] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    """Collections of which not even the names could be read."""
    problems: list[Problem] = field(default_factory=list)

    def names(self, collection: str) -> Collection[str]:
        """Every name in ``nodes``, ``networks``, ``workloads`` or ``checks``."""
        if collection in self.unreadable:
            raise Unparsed(collection)
        found: dict[str, Spec] = getattr(self, collection)
        return found.keys()

    def raw_value(self, *path: str) -> Any:
        """What a person wrote at a path."""
        value: Any = self.raw
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def add_problem(self, path: str, value: Any, rule: str, remedy: str) -> None:
        """Note a problem at ``lab.<path>``."""
        self.problems.append(Problem(f"{ROOT}.{path}" if path else ROOT, format_value(value), rule, remedy))


_SINGLE: dict[str, type[Spec]] = {
    "underlay": UnderlaySpec,
    "machine": MachineSpec,
    "engine": EngineSpec,
    "store": StoreSpec,
    "platform": PlatformSpec,
}
_NAMED: dict[str, type[Spec]] = {
    "nodes": NodeSpec,
    "networks": NetworkSpec,
    "workloads": WorkloadSpec,
    "checks": CheckSpec,
}


def read(raw: object, stack: str) -> Draft:
    """Take ``raw`` (the value of ``overlab:lab``) apart. Never raises; problems are in the draft."""
    draft = Draft(stack)
    if isinstance(raw, Mapping):
        draft.raw = raw
    else:
        draft.add_problem("", raw, "the lab is a mapping", "set the configuration key overlab:lab in the stack file")
        draft.unreadable |= _NAMED.keys()
    _known_keys(draft, draft.raw, set(LabSpec.model_fields))
    name = draft.raw.get("name")
    draft.name = stack if name is None else name
    for key, single in _SINGLE.items():
        setattr(draft, key, _parse(draft, single, draft.raw.get(key), key))
    for key, named in _NAMED.items():
        _read_named(draft, key, named, draft.raw.get(key))
    return draft


def _read_named(draft: Draft, key: str, spec: type[Spec], raw: object) -> None:
    if raw is None:
        return
    if not isinstance(raw, Mapping):
        draft.add_problem(key, raw, "a mapping of names to settings", f"write one name a line under {key}:")
        draft.unreadable.add(key)
        return
    for name, value in raw.items():
        path = join_path(key, name)
        if isinstance(name, str):
            getattr(draft, key)[name] = _parse(draft, spec, value, path)
        else:
            draft.add_problem(path, name, "a name is text", "put the name in quotes")


def _parse(draft: Draft, spec: type[Spec], value: object, path: str) -> Spec:
    raw_value = {} if value is None else value
    try:
        return spec.model_validate(raw_value)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            _refuse(draft, spec, path, item)
        return spec.parse_partial(raw_value)


def _refuse(draft: Draft, spec: type[Spec], path: str, error: ErrorDetails) -> None:
    # pydantic's mark for "the key, not the value"
    where = ".".join([path, *(join_path(part) for part in error["loc"] if part != "[key]")])
    kind, context = error["type"], error.get("ctx", {})
    rule, remedy = error["msg"], _REMEDIES.get(kind, "change the value accordingly")
    if kind == "extra_forbidden":
        rule, remedy = "unknown key", _suggestion(str(error["loc"][-1]), _keys_at(spec, error["loc"]))
    elif kind == "missing":
        rule, remedy = "required", f"add the key {error['loc'][-1]}"
    elif kind == "literal_error":
        rule, remedy = f"one of {context['expected']}", "choose one of these"
    elif kind == "greater_than_equal":
        rule, remedy = f"at least {context['ge']}", f"write {context['ge']} or more"
    elif kind == "less_than_equal":
        rule, remedy = f"at most {context['le']}", f"write {context['le']} or less"
    elif kind == "string_pattern_mismatch":
        rule, remedy = f"text of the form {context['pattern']}", "change the value to that form"
    value = None if kind == "missing" else error["input"]
    draft.add_problem(where, value, rule, remedy)


def _keys_at(spec: type[Spec], location: tuple[int | str, ...]) -> set[str]:
    current: Any = spec
    for part in location[:-1]:
        if isinstance(part, str) and part in current.model_fields:
            nested = [t for t in _types(current.model_fields[part].annotation) if issubclass(t, Spec)]
            current = nested[0] if nested else current
    return set(current.model_fields)


def _types(annotation: Any) -> list[type]:
    arguments = getattr(annotation, "__args__", ())
    if isinstance(annotation, type) and not arguments:
        return [annotation]
    return [found for argument in arguments for found in _types(argument)]


def _known_keys(draft: Draft, raw: Mapping[Any, Any], known: set[str]) -> None:
    for key, value in raw.items():
        if key not in known:
            draft.add_problem(join_path(key), value, "unknown key", _suggestion(str(key), known))


def _suggestion(key: str, known: set[str]) -> str:
    close = difflib.get_close_matches(key[:_LONGEST_KEY], known, n=1)
    format_choices = f"known keys: {', '.join(sorted(known))}"
    return f"did you mean {close[0]}? {format_choices}" if close else f"remove it; {format_choices}"
