"""Pulumi's event log of an operation: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def read(log: Path) -> list[dict[str, Any]]:
    """The events of a log in order; empty where there is no readable log."""
    try:
        lines = log.read_text().splitlines()
    except OSError:
        return []
    return list(_parsed(lines))


def errors(events: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """URN, empty for the operation as a whole, and message of each error, in order and without duplicates."""
    found: dict[tuple[str, str], None] = {}
    for event in events:
        detail = event.get("diagnosticEvent")
        if isinstance(detail, dict) and detail.get("severity") == "error":
            found[(detail.get("urn") or "", str(detail.get("message", "")).strip())] = None
    return list(found)


def running(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """``component/name`` of each resource whose step has begun and not ended."""
    begun: dict[str, None] = {}
    for event in events:
        if urn := _urn(event, "resourcePreEvent"):
            begun[urn] = None
        for kind in ("resOutputsEvent", "resOpFailedEvent"):
            if urn := _urn(event, kind):
                begun.pop(urn, None)
    return [name_of(urn) for urn in begun]


def failed(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """URN of each resource with a step that failed."""
    return list(dict.fromkeys(urn for event in events if (urn := _urn(event, "resOpFailedEvent"))))


def failed_creations(events: Iterable[Mapping[str, Any]]) -> set[str]:
    """Types of the resources whose creation failed."""
    found = [event["resOpFailedEvent"]["metadata"] for event in events if _urn(event, "resOpFailedEvent")]
    return {one["type"] for one in found if str(one.get("op", "")).startswith("create") and "type" in one}


def has_changed(events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an operation changed anything, by its summary; True where it has none."""
    counts = [event["summaryEvent"].get("resourceChanges") or {} for event in events if "summaryEvent" in event]
    return not counts or any(number for op, number in counts[-1].items() if op != "same")


def name_of(urn: str) -> str:
    """``Machine/docker01-domain`` for the resource of that name whose parent is of the type ``...:Machine``."""
    types, name = urn.split("::")[2:4]
    parent = types.split("$")[-2:][0]
    return f"{parent.rsplit(':', 1)[-1]}/{name}"


def _urn(event: Mapping[str, Any], kind: str) -> str | None:
    metadata = (event.get(kind) or {}).get("metadata") or {}
    urn = metadata.get("urn")
    return urn if isinstance(urn, str) else None


def _parsed(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # the last line of a killed update
        if isinstance(event, dict):
            yield event
