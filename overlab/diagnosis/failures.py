"""Why a step of an operation failed, from ``failures.toml``: cause, evidence, remedy. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from overlab.core.errors import OverlabError
from overlab.diagnosis.catalogue import read_toml

EVIDENCE_LINES = 4
SHOWN = 4
"""Failures on one screen."""
_WIDTH = 240
_NO_REMEDY = "overlab doctor lists what this machine lacks; repeat the command after that"
_WRAPPERS = re.compile(r"^(\* )?(creating|updating|deleting) urn:\S+: |^\d+ errors? occurred:$|^\* ")
_NOISE = re.compile(r"^(\d+ errors? occurred:|exit status \d+.*|Process exited with status \d+.*|)$")


@dataclass(frozen=True)
class Failure:
    """A step that failed; ``message`` is all that was reported."""

    component: str
    """Type of the component, such as ``Workload``; empty for the operation as a whole."""
    name: str
    id: str
    """Of the entry of ``failures.toml`` that matched; empty for what failed outside of Pulumi."""
    cause: str
    evidence: tuple[str, ...]
    remedy: str
    message: str
    consequence: bool = False
    """Whether another failure of the operation is its likely cause."""

    @property
    def step(self) -> str:
        return f"{self.component} {self.name}".strip()


def diagnose(component: str, name: str, message: str, facts: Mapping[str, str]) -> Failure:
    """The first entry that matches. ``facts`` are ``stack``, ``lab``, ``node``, ``workload`` and ``images``."""
    lines = list(_lines(message))
    text = "\n".join(lines)
    for entry in _ENTRIES:
        found = _matches(entry, component, text)
        if found:
            values = _Facts({**facts, "name": name, **{k: v for k, v in found.groupdict().items() if v}})
            cause, remedy = (entry[key].format_map(values) for key in ("cause", "remedy"))
            evidence = _evidence(lines, found.group(0), entry.get("evidence", ""))
            consequence = entry.get("consequence", False)
            return Failure(component, name, entry["id"], cause, evidence, remedy, message, consequence)
    raise AssertionError("the last entry matches everything")


def needs_other_settings(component: str, message: str) -> bool:
    """Whether only a change of the settings can mend what failed."""
    text = "\n".join(_lines(message))
    return bool(next(one for one in _ENTRIES if _matches(one, component, text)).get("by_settings", False))


def of_error(error: OverlabError) -> Failure:
    """Of what failed before or after Pulumi ran."""
    evidence = tuple(map(_shortened, error.evidence[-EVIDENCE_LINES:]))
    return Failure("", error.component, "", error.cause, evidence, error.remedy or _NO_REMEDY, str(error))


def as_text(operation: str, failures: Iterable[Failure], log: str = "") -> str:
    """What fits on a screen; the rest is in ``log``."""
    known = sorted(failures, key=lambda one: one.consequence)
    parts = [f"{operation} failed at {len(known)} step{'' if len(known) == 1 else 's'}"]
    for one in known[:SHOWN]:
        rows = [("cause", [one.cause]), ("evidence", list(one.evidence)), ("remedy", one.remedy.splitlines())]
        parts.append(one.step or "the operation")
        for label, texts in rows:
            parts += [f"  {label if not index else '':<9} {text}" for index, text in enumerate(texts)]
    if len(known) > SHOWN:
        parts.append(f"and {len(known) - SHOWN} more: {', '.join(one.step for one in known[SHOWN:])}")
    return "\n".join([*parts, *([f"all messages, whole: {log}"] if log else [])])


def _matches(entry: Mapping[str, Any], component: str, text: str) -> re.Match[str] | None:
    if component not in entry.get("components", [component]):
        return None
    return re.search(entry["pattern"], text, re.IGNORECASE)


class _Facts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key.upper()


def _lines(message: str) -> Iterable[str]:
    """Without what providers and the engine wrap around an error."""
    for line in message.splitlines():
        bare = line.strip()
        while (shorter := _WRAPPERS.sub("", bare)) != bare:
            bare = shorter
        if not _NOISE.match(bare):
            yield bare


def _evidence(lines: list[str], matched: str, pattern: str) -> tuple[str, ...]:
    """The lines with the pattern; without one the line that gave the cause away, and what came before and after it."""
    if pattern:
        lines = [line for line in lines if re.search(pattern, line)] or lines
    first = matched.splitlines()[0] if matched else ""
    at = next((index for index, line in enumerate(lines) if first and first in line), len(lines) - 1)
    begin = max(0, min(at, len(lines) - EVIDENCE_LINES))
    return tuple(map(_shortened, lines[begin : begin + EVIDENCE_LINES]))


def _shortened(line: str) -> str:
    half = _WIDTH // 2
    return line if len(line) <= _WIDTH else f"{line[:half]} ... {line[-half:]}"


_ENTRIES: list[dict[str, Any]] = read_toml("failures.toml")["failures"]
