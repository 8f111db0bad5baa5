"""What a resource raises for a failed operation."""

from __future__ import annotations

from dataclasses import dataclass

from bundled_plugins.runtime.values import Properties


class ProviderError(Exception):
    """The operation failed and nothing of it is kept; the text is shown to the user as it is."""


class Cancelled(ProviderError):
    """The operation was given up: the engine called Cancel, or its time limit passed."""


class PartialFailure(Exception):
    """The object exists (or was changed) and yet the operation failed.

    The engine keeps ``id`` and ``outputs`` in the state, shows ``reasons`` and ends with an error;
    the next run updates the object.
    """

    def __init__(self, id: str, outputs: Properties, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.id = id
        self.outputs = outputs
        self.reasons = reasons


@dataclass(frozen=True)
class CheckFailure:
    """A refused input. ``property`` is a property path or empty for the resource as a whole."""

    property: str
    reason: str
