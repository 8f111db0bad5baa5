"""Labels: a mapping in the daemon's API, a set of pairs in the provider's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.values import Properties


class Label(Model):
    """One label."""

    label: str
    value: str


def as_mapping(labels: Sequence[Label] | None) -> dict[str, str]:
    """As the daemon takes them."""
    return {label.label: label.value for label in labels or []}


def as_list(labels: Mapping[str, str] | None) -> list[Properties]:
    """As the provider returns them, sorted."""
    return [{"label": label, "value": value} for label, value in sorted((labels or {}).items())]
