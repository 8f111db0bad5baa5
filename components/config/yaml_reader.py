"""YAML values as Pulumi reads them, and every scalar that YAML readers interpret differently.

Pulumi's reader (Go, mostly YAML 1.2) and Python's (YAML 1.1) read ``yes``, ``0777`` or ``22:22`` as different values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

KeyPath = tuple[object, ...]
MAXIMUM_DEPTH: Final = 32
MAXIMUM_VALUES: Final = 200_000
"""In a file, with aliases expanded."""
REPEATED_KEY: Final = "each key once"

_PLAIN = "!plain"
_TEXT = "tag:yaml.org,2002:str"
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LARGEST_INTEGER = 2**63
_DECIMAL = "write digits alone, without a leading 0 or +, or put it in quotes"
_AMBIGUOUS = {
    re.compile(pattern): remedy
    for pattern, remedy in {
        r"(?i:yes|no|on|off|y|n)": "write true or false, or put it in quotes",
        r"[-+]?0([xX][0-9a-fA-F_]+|[oO][0-7_]+|[bB][01_]+|[0-9_]+)": _DECIMAL,
        r"[-+.0-9][0-9_]*_[0-9_.]*([eE][-+]?[0-9_]+)?": _DECIMAL,
        r"\+[0-9][0-9.eE+-]*": _DECIMAL,
        r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?": "put it in quotes",
        r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?": "put it in quotes",
    }.items()
}


class _Loader(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]  # one of two classes
    """Resolves nothing, but marks scalars without quotes and tag."""

    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}  # noqa: RUF012 (PyYAML's name and type)


@dataclass(frozen=True)
class AmbiguousScalar:
    """A value that is ambiguous, or a construct that is refused."""

    path: KeyPath
    """Keys and indices."""
    text: str
    """As it is written."""
    rule: str
    remedy: str


class Unparsable(Exception):
    """The file cannot be read at all."""

    def __init__(self, place: str, rule: str, remedy: str) -> None:
        super().__init__(rule)
        self.place, self.rule, self.remedy = place, rule, remedy


def read(text: str) -> tuple[Any, list[AmbiguousScalar]]:
    """The one document in ``text`` (None where it is empty) and what is ambiguous in it. Raises :class:`Unparsable`."""
    reader = _Reader()
    try:
        _refuse_depth(text)
        root = yaml.compose(text, Loader=_Loader)
        return None if root is None else reader.value(root, ()), reader.found
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
        remedy = "indent with spaces" if "'\\t'" in what else "correct the file there"
        raise Unparsable(_place(mark) if mark else "(unknown)", f"one valid YAML document ({what})", remedy) from None


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _refuse_depth(text: str) -> None:
    # Composing recurses in C, without a limit.
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAXIMUM_DEPTH:
            raise _too_deep(event)


def _too_deep(part: Any) -> Unparsable:
    rule = f"at most {MAXIMUM_DEPTH} levels, and no alias inside its own anchor"
    return Unparsable(_place(part.start_mark), rule, "nest it less deeply")


@dataclass
class _Reader:
    found: list[AmbiguousScalar] = field(default_factory=list)
    count: int = 0

    def value(self, node: Any, path: KeyPath) -> Any:
        self.count += 1
        if self.count > MAXIMUM_VALUES:
            rule = f"at most {MAXIMUM_VALUES} values, with aliases expanded"
            raise Unparsable(_place(node.start_mark), rule, "use fewer aliases")
        if len(path) > MAXIMUM_DEPTH:
            raise _too_deep(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in _COLLECTIONS:
            self._note(path, node.tag, "no YAML tags", "write the plain value")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: Any, path: KeyPath) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for name, item in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self._note(path, "", "keys are plain text", "write a simple key")
                continue
            if name.value == "<<" and name.tag == _PLAIN:
                self._note((*path, "<<"), "<<", "no merge keys", "write the keys out")
            key = self._scalar(name, (*path, name.value))
            if key in result:
                rule = f"{REPEATED_KEY} ({_place(name.start_mark)} repeats it)"
                self._note((*path, key), name.value, rule, "remove one")
            result[key] = self.value(item, (*path, key))
        return result

    def _scalar(self, node: Any, path: KeyPath) -> Any:
        text: str = node.value
        if node.tag == _TEXT:
            return text
        if node.tag != _PLAIN:
            self._note(path, node.tag, "no YAML tags", "write the plain value")
            return text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INTEGER.fullmatch(text):
            return int(text) if len(text) < 20 and abs(int(text)) < _LARGEST_INTEGER else float(text)
        remedy = next((remedy for form, remedy in _AMBIGUOUS.items() if form.fullmatch(text)), None)
        if remedy:
            self._note(path, text, "a value that every YAML reader interprets the same way", remedy)
            return text
        if _NO_NUMBER.fullmatch(text):
            return float(text.replace(".", ""))
        return float(text) if _FLOAT.fullmatch(text) else text

    def _note(self, path: KeyPath, text: str, rule: str, remedy: str) -> None:
        self.found.append(AmbiguousScalar(path, text, rule, remedy))
