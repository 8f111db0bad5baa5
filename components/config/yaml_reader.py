"""YAML as Pulumi reads it, with a note for everything that is not read alike everywhere.

Pulumi's reader (Go, mostly YAML 1.2) and Python's (YAML 1.1) take ``yes``, ``0777`` or ``22:22`` for different things.
Here values come out as Pulumi hands them to the program, and what is ambiguous is a trap: noted, with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

Path = tuple[object, ...]
MAXIMUM_DEPTH: Final = 32
MAXIMUM_VALUES: Final = 200_000
"""Of a whole file, an alias counting as all that it stands for."""

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_UNQUOTED = (None, "")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SWITCH = re.compile(r"yes|no|on|off|y|n", re.IGNORECASE)
_BASED = re.compile(r"[-+]?0([xX][0-9a-fA-F_]+|[oO][0-7_]+|[bB][01_]+|[0-9_]+)")
_GROUPED = re.compile(r"[-+.0-9][0-9_]*_[0-9_.]*([eE][-+]?[0-9_]+)?")
_SIGNED = re.compile(r"\+[0-9][0-9.eE+-]*")
_TIME = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_LARGEST_INTEGER = 2**63


@dataclass(frozen=True)
class AmbiguousScalar:
    """Something in a file that is refused or ambiguous."""

    path: Path
    """Keys and indices."""
    text: str
    """As it is written."""
    rule: str
    remedy: str


class Unparsable(Exception):
    """The file cannot be read at all."""

    def __init__(self, place: str, rule: str, remedy: str) -> None:
        super().__init__(rule)
        self.place = place
        self.rule = rule
        self.remedy = remedy


def read(text: str) -> tuple[Any, list[AmbiguousScalar]]:
    """The one document in ``text`` (None where it is empty) and its traps. Raises :class:`Unparsable`."""
    reader = _Reader(text)
    try:
        return reader.document(), reader.traps
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = _place(mark) if mark else "somewhere"
        what = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
        remedy = "indent with spaces" if "'\\t'" in what else "correct the file there"
        raise Unparsable(place, f"valid YAML ({what})", remedy) from None


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


class _Reader:
    def __init__(self, text: str) -> None:
        self.traps: list[AmbiguousScalar] = []
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def document(self) -> Any:
        next(self._events)  # the stream begins
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), ())
        next(self._events)  # the document ends
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            place = _place(after.start_mark)
            raise Unparsable(place, "one YAML document (Pulumi reads the first alone)", "remove what follows ---")
        return value

    def _value(self, event: Any, path: Path) -> Any:
        self._counted(1, event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._count
        if event.tag is not None:
            self._trap(path, event.tag, "no YAML tags", "write the plain value")
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, path)
        elif len(path) >= MAXIMUM_DEPTH:
            place = _place(event.start_mark)
            raise Unparsable(place, f"at most {MAXIMUM_DEPTH} levels", "write it less deeply nested")
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self._value(item, (*path, index)) for index, item in enumerate(self._until_end())]
        else:
            value = self._mapping(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._count - before + 1)
        return value

    def _until_end(self) -> Iterator[Any]:
        for event in self._events:
            if isinstance(event, yaml.CollectionEndEvent):
                return
            yield event

    def _counted(self, values: int, event: Any) -> None:
        self._count += values
        if self._count > MAXIMUM_VALUES:
            place = _place(event.start_mark)
            raise Unparsable(place, f"at most {MAXIMUM_VALUES} values, aliases written out", "use fewer aliases")

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            place = _place(event.start_mark)
            raise Unparsable(place, f"an alias of something before it (*{event.anchor} is none)", "write the value out")
        value, size = self._anchors[event.anchor]
        self._counted(size, event)
        return value

    def _mapping(self, path: Path) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for event in self._until_end():
            if not isinstance(event, yaml.ScalarEvent):
                self._trap(path, "", "keys are plain text", "write a simple key")
                self._value(event, path)
                self._value(next(self._events), path)
                continue
            if event.value == "<<" and event.style in _UNQUOTED:
                self._trap((*path, "<<"), "<<", "no merge keys", "write the keys out")
            key = self._scalar(event, (*path, event.value))
            here = (*path, key)
            value = self._value(next(self._events), here)
            if key in found:
                self._trap(here, event.value, f"each key once ({_place(event.start_mark)} repeats it)", "remove one")
            found[key] = value
        return found

    def _scalar(self, event: Any, path: Path) -> Any:
        text: str = event.value
        if event.style not in _UNQUOTED:
            return text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INTEGER.fullmatch(text):
            return int(text) if len(text) < 20 and abs(int(text)) < _LARGEST_INTEGER else float(text)
        for form, rule, remedy in _AMBIGUOUS:
            if form.fullmatch(text):
                self._trap(path, text, rule, remedy)
                return text
        if _NO_NUMBER.fullmatch(text):
            return float(text.replace(".", ""))
        return float(text) if _FLOAT.fullmatch(text) else text

    def _trap(self, path: Path, text: str, rule: str, remedy: str) -> None:
        self.traps.append(AmbiguousScalar(path, text, rule, remedy))


_ALIKE = "a value that every YAML reader takes for the same"
_DECIMAL = "write digits alone, without a leading 0 or +, or put it in quotes"
_AMBIGUOUS = (
    (_SWITCH, _ALIKE, "write true or false, or put it in quotes"),
    (_BASED, _ALIKE, _DECIMAL),
    (_GROUPED, _ALIKE, _DECIMAL),
    (_SIGNED, _ALIKE, _DECIMAL),
    (_TIME, _ALIKE, "put it in quotes"),
)
