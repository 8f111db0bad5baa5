"""Durations in Go's notation (``1m30s``), which Docker's tools read and write."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration; raises ValueError."""
    if text == "0":
        return 0
    rest, total = text.removeprefix("+"), Decimal(0)
    while rest:
        part = _PART.match(rest)
        if part is None:
            break
        total += Decimal(part[1]) * _UNITS[part[2]]
        rest = rest[part.end() :]
    if rest or not text:
        raise ValueError(f'"{text}" is not a duration such as 30s, 1m30s or 500ms')
    return int(total)


def format_duration(nanoseconds: int) -> str:
    """A duration as Go prints it: ``0s``, ``1.5s``, ``1m0s``, ``1h0m0s``, ``20ms``."""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < _UNITS["s"]:
        unit = next(unit for unit in ("ms", "µs", "ns") if nanoseconds >= _UNITS[unit])
        return f"{_decimal(nanoseconds, _UNITS[unit])}{unit}"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, _UNITS['s'])}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = str(fraction).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
