"""The problems of a lab's settings: each with path, value, rule and remedy, all reported at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

_PLAIN_PART = re.compile(r"[A-Za-z0-9_.:@/()-]{1,80}")
_LONGEST_VALUE = 80
_LONGEST_TEXT = 600


@dataclass(frozen=True)
class Problem:
    """One refused setting. Each text is printable, on one line and of bounded length, whatever the file has."""

    path: str
    """Its place in the stack's configuration, such as ``lab.nodes.docker01.address``."""
    value: str
    """What is written there, as JSON, shortened."""
    rule: str
    remedy: str

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _escape(_shorten(getattr(self, field.name), _LONGEST_TEXT)))

    def __str__(self) -> str:
        return f"{self.path} = {self.value}\n    rule:   {self.rule}\n    remedy: {self.remedy}"


class SettingsError(Exception):
    """The settings are invalid; nothing may be created."""

    def __init__(self, stack: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.path))
        count = len(self.problems)
        lines = [f"Pulumi.{_escape(stack)}.yaml: {count} problem{'s' if count != 1 else ''}; nothing was created."]
        lines += [f"  {problem}" for problem in self.problems]
        super().__init__("\n".join(lines))


def join_path(*parts: object) -> str:
    """A path from its parts; a part that is not a plain name is quoted."""
    return ".".join(text if _PLAIN_PART.fullmatch(text := str(part)) else _escape(format_value(text)) for part in parts)


def format_value(value: Any) -> str:
    """A value as JSON on one line, shortened to 80 characters. Accepts any value of any size."""
    return _shorten(_text(value, 0), _LONGEST_VALUE)


def _text(value: Any, depth: int) -> str:
    # Bounded in depth and length: YAML aliases make structures that are endless when expanded.
    if isinstance(value, dict):
        if depth > 3:
            return "{...}"
        return "{" + _join_some((f"{_text(key, 9)}: {_text(item, depth + 1)}" for key, item in value.items())) + "}"
    if isinstance(value, list | tuple):
        if depth > 3:
            return "[...]"
        return "[" + _join_some(_text(item, depth + 1) for item in value) + "]"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"(a number of {value.bit_length()} bits)"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value)[: 2 * _LONGEST_VALUE], ensure_ascii=False)


def _join_some(items: Iterable[str]) -> str:
    found: list[str] = []
    for item in items:
        found.append(item)
        if sum(map(len, found)) > _LONGEST_VALUE:
            break
    return ", ".join(found)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _escape(text: str) -> str:
    """With control, direction and unencodable characters escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
