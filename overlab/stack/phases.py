"""Durations of an update from Pulumi's event log, by component and by resource."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from overlab.core.terminal import styled
from overlab.stack import event_log

_SLOWEST = 8
_UNCHANGED = ("same", "read", "refresh")


@dataclass(frozen=True)
class Span:
    """A resource, or all of a kind of component: from first step to last, in seconds from the update's start."""

    name: str
    begin: int
    end: int

    @property
    def seconds(self) -> int:
        return self.end - self.begin


def read(log: Path) -> list[Span]:
    """The resources that an update changed, each by ``component/name``. Empty where there is no readable log."""
    return spans(event_log.read(log))


def spans(events: Iterable[dict[str, Any]]) -> list[Span]:
    """:func:`read` on the log's events, whose times have a resolution of 1 s. Only custom resources are counted."""
    start: int | None = None
    begun: dict[str, int] = {}
    found = []
    for event in events:
        now = int(event.get("timestamp", 0))
        start = now if start is None else start
        if metadata := _metadata(event, "resourcePreEvent"):
            begun.setdefault(metadata["urn"], now)
        for kind in ("resOutputsEvent", "resOpFailedEvent"):
            metadata = _metadata(event, kind)
            if metadata and metadata["urn"] in begun and metadata.get("op") not in _UNCHANGED and _is_custom(metadata):
                found.append(Span(event_log.name_of(metadata["urn"]), begun.pop(metadata["urn"]) - start, now - start))
    return found


def by_component(resources: Iterable[Span]) -> list[Span]:
    """One span for all resources of a kind of component, in order of their begin."""
    merged: dict[str, Span] = {}
    for one in resources:
        component = one.name.split("/", 1)[0]
        known = merged.get(component, one)
        merged[component] = Span(component, min(known.begin, one.begin), max(known.end, one.end))
    return sorted(merged.values(), key=lambda span: (span.begin, span.end))


def table(resources: list[Span]) -> Table:
    """Components in order, then the slowest resources."""
    shown = Table(title="changes, in seconds", title_justify="left", box=None)
    for column in ("", "from", "to", "took"):
        shown.add_column(column, justify="left" if not column else "right")
    for span in by_component(resources):
        shown.add_row(styled("{}", span.name), str(span.begin), str(span.end), str(span.seconds))
    shown.add_section()
    for span in sorted(resources, key=lambda span: -span.seconds)[:_SLOWEST]:
        shown.add_row(styled("  {}", span.name), str(span.begin), str(span.end), str(span.seconds))
    return shown


def _metadata(event: dict[str, Any], kind: str) -> dict[str, Any] | None:
    detail = event.get(kind)
    metadata = detail.get("metadata") if isinstance(detail, dict) else None
    return metadata if isinstance(metadata, dict) and isinstance(metadata.get("urn"), str) else None


def _is_custom(metadata: dict[str, Any]) -> bool:
    state = metadata.get("new") or metadata.get("old") or {}
    return state.get("custom") is True
