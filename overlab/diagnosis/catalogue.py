"""The faults that overlab recognizes, from ``catalogue.toml``, and the cookbook's sections about them."""

from __future__ import annotations

import shlex
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

COOKBOOK = "docs/cookbook.md"
NOT_RUN = "not run"
"""Kind of a check that was not run, in :data:`MATCHES`."""
COMMANDS = ("start", "command")
"""Facts that are commands, quoted where they are composed."""
Severity = Literal["down", "wrong", "note"]


@dataclass(frozen=True)
class Entry:
    """Templates over the facts of a case, and what finds it; ``catalogue.toml`` explains the fields."""

    message: str
    remedy: str
    impact: str = ""
    severity: Severity = "wrong"
    comparison: str = ""
    section: str = ""


class Diagnosis(BaseModel):
    """An entry in the names of a case."""

    model_config = ConfigDict(frozen=True)

    id: str
    message: str
    impact: str
    remedy: str

    @property
    def link(self) -> str:
        """The section of the cookbook; empty where there is none."""
        return link(self.id)


def diagnose(id_: str, **facts: str) -> Diagnosis:
    """The entry with this id, filled in. A remedy may be pasted into a shell: in it a fact is one word."""
    entry = ENTRIES[id_]
    words = {name: value if name in COMMANDS else shlex.quote(value) for name, value in facts.items()}
    return Diagnosis(
        id=id_,
        message=entry.message.format_map(facts),
        impact=entry.impact.format_map(facts),
        remedy=entry.remedy.format_map(words),
    )


def link(id_: str) -> str:
    """The cookbook's section about an entry; empty where there is none."""
    section = ENTRIES[id_].section or id_
    return f"{COOKBOOK}#{section}" if any(section in group for group in SECTIONS.values()) else ""


def read_toml(name: str) -> dict[str, Any]:
    return tomllib.loads((files("overlab.diagnosis") / name).read_text("utf-8"))


def _entry(fields: dict[str, str], shorthands: dict[str, str]) -> Entry:
    return Entry(**{name: Template(text).substitute(shorthands) for name, text in fields.items()})  # type: ignore[arg-type]  # severity is one of its literals


_DATA = read_toml("catalogue.toml")
ENTRIES: dict[str, Entry] = {id_: _entry(fields, _DATA["shorthands"]) for id_, fields in _DATA["entries"].items()}
MATCHES: list[tuple[str, list[str], str]] = [(id_, kinds, pattern) for id_, kinds, pattern in _DATA["matches"]]
"""Id, kinds of check, pattern of the output; the first match wins."""
SECTIONS: dict[str, dict[str, str]] = read_toml("sections.toml")
"""Group -> section of the cookbook -> the error texts, in Markdown."""
