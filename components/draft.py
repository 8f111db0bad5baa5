"""Raw settings taken apart: every section that has the right shape, and a problem for every one that has not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from components.problems import Problem, shown
from components.spec import (
    CheckSpec,
    EngineSpec,
    GroundSpec,
    MachineSpec,
    NetworkSpec,
    NodeSpec,
    OverlaySpec,
    Spec,
    StoreSpec,
    WorkloadSpec,
)

ROOT = "lab"
_REMEDIES = {
    "int_type": "write a whole number without quotes",
    "bool_type": "write true or false without quotes",
    "string_type": "write text; put it in quotes",
    "tuple_type": "write a list",
    "model_type": "write a mapping of keys to values",
    "dict_type": "write a mapping of keys to values",
    "cidr": "write the network's own address and prefix length",
    "address": "write four numbers 0 to 255 with dots, in quotes",
    "name": "choose another name",
    "too_short": "add at least one",
}


@dataclass
class Draft:
    """The sections that could be read; a section that could not is None or missing."""

    stack: str
    name: Any = None
    network: NetworkSpec | None = None
    machine: MachineSpec | None = None
    engine: EngineSpec | None = None
    store: StoreSpec | None = None
    ground: GroundSpec | None = None
    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    overlays: dict[str, OverlaySpec] = field(default_factory=dict)
    workloads: dict[str, WorkloadSpec] = field(default_factory=dict)
    checks: dict[str, CheckSpec] = field(default_factory=dict)
    keys: dict[str, set[str]] = field(default_factory=dict)
    """Per collection, every key that was written, readable or not: for "no such node" rules."""
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, path: str, value: Any, rule: str, remedy: str) -> None:
        """Note a problem at ``lab.<path>``."""
        self.problems.append(Problem(f"{ROOT}.{path}" if path else ROOT, shown(value), rule, remedy))


_SINGLE: dict[str, type[Spec]] = {
    "network": NetworkSpec,
    "machine": MachineSpec,
    "engine": EngineSpec,
    "store": StoreSpec,
    "ground": GroundSpec,
}
_NAMED: dict[str, type[Spec]] = {
    "nodes": NodeSpec,
    "overlays": OverlaySpec,
    "workloads": WorkloadSpec,
    "checks": CheckSpec,
}


def read(raw: object, stack: str) -> Draft:
    """Take ``raw`` (the value of ``overlab:lab``) apart. Never raises; problems are in the draft."""
    draft = Draft(stack)
    written: Mapping[Any, Any] = {}
    if isinstance(raw, Mapping):
        written = raw
    else:
        draft.refuse("", raw, "the lab is a mapping", "set the configuration key overlab:lab in the stack file")
    _known_keys(draft, written, {"name", *_SINGLE, *_NAMED})
    draft.name = written.get("name", stack)
    for key, single in _SINGLE.items():
        value = written.get(key)
        setattr(draft, key, _parse(draft, single, {} if value is None else value, key))
    for key, named in _NAMED.items():
        _read_named(draft, key, named, written.get(key))
    return draft


def _read_named(draft: Draft, key: str, spec: type[Spec], raw: object) -> None:
    draft.keys[key] = set()
    if raw is None:
        return
    if not isinstance(raw, Mapping):
        draft.refuse(key, raw, "a mapping of names to settings", f"write one name a line under {key}:")
        return
    for name, value in raw.items():
        path = f"{key}.{name}"
        if not isinstance(name, str):
            draft.refuse(path, name, "a name is text", "put the name in quotes")
            continue
        draft.keys[key].add(name)
        parsed = _parse(draft, spec, {} if value is None else value, path)
        if parsed is not None:
            getattr(draft, key)[name] = parsed


def _parse(draft: Draft, spec: type[Spec], value: object, path: str) -> Spec | None:
    try:
        return spec.model_validate(value)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            _refuse(draft, spec, path, item)
        return None


def _refuse(draft: Draft, spec: type[Spec], path: str, error: ErrorDetails) -> None:
    where = ".".join([path, *(str(part) for part in error["loc"])])
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
    draft.refuse(where, value, rule, remedy)


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
    for key in raw:
        if key not in known:
            draft.refuse(str(key), raw[key], "unknown key", _suggestion(str(key), known))


def _suggestion(key: str, known: set[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    listed = f"known keys: {', '.join(sorted(known))}"
    return f"did you mean {close[0]}? {listed}" if close else f"remove it; {listed}"
