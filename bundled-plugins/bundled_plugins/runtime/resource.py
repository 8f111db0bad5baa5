"""The base of every resource that a bundled provider serves."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bundled_plugins.runtime.errors import Cancelled, CheckFailure
from bundled_plugins.runtime.values import Properties


class Kind(enum.Enum):
    """Kind of one property's change, as the engine's detailed diff knows them."""

    ADD = "ADD"
    ADD_REPLACE = "ADD_REPLACE"
    DELETE = "DELETE"
    DELETE_REPLACE = "DELETE_REPLACE"
    UPDATE = "UPDATE"
    UPDATE_REPLACE = "UPDATE_REPLACE"

    @property
    def replaces(self) -> bool:
        return self.value.endswith("_REPLACE")

    def replacing(self) -> Kind:
        """The same change, as a reason to replace."""
        return self if self.replaces else Kind(f"{self.value}_REPLACE")


@dataclass
class Difference:
    """Answer of ``diff``: changed property paths by kind; empty = no change."""

    paths: dict[str, Kind] = field(default_factory=dict)
    delete_before_replace: bool = False

    @property
    def replaces(self) -> list[str]:
        return [path for path, kind in self.paths.items() if kind.replaces]


@dataclass(frozen=True)
class Checked:
    """Answer of ``check``: the inputs with defaults, or failures."""

    inputs: Properties
    failures: list[CheckFailure] = field(default_factory=list)


@dataclass(frozen=True)
class ReadResult:
    """What ``read`` found: outputs and, for refresh and import, the inputs that they amount to."""

    id: str
    outputs: Properties
    inputs: Properties


LogFunction = Callable[[str, str, bool], None]
"""(severity "debug"|"info"|"warning"|"error", message, ephemeral) -> None."""


@dataclass
class Operation:
    """One running call: who it is for, whether it is a preview, its time limit, and how it is stopped."""

    urn: str
    name: str
    preview: bool
    provider: Any
    """What the provider's ``configure`` returned."""
    log: LogFunction
    cancelled: threading.Event
    timeout_s: float = 0.0
    """From customTimeouts; 0 = none given."""
    started: float = field(default_factory=time.monotonic)

    def remaining(self, default_s: float) -> float:
        """Seconds left of the stated time limit, or of ``default_s`` where none was stated; never negative."""
        return max(0.0, (self.timeout_s or default_s) - (time.monotonic() - self.started))

    def pause(self, seconds: float) -> None:
        """Wait, but raise :class:`Cancelled` as soon as the engine cancels."""
        if self.cancelled.wait(seconds):
            raise Cancelled("cancelled")

    def check_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled("cancelled")


class Resource:
    """One resource type. Instances are stateless and shared by concurrent calls.

    Values may hold :class:`~bundled_plugins.runtime.values.Secret` anywhere and, in ``check``, ``diff`` and previews,
    ``UNKNOWN``. Outputs returned must contain the inputs; what was secret in the inputs must come back secret.
    """

    token: ClassVar[str]

    def check(self, op: Operation, olds: Properties, news: Properties, autoname: Callable[[int], str]) -> Checked:
        """Validate and fill defaults. ``autoname(max)`` gives the stable generated name (``urn name-7 hex``)."""
        raise NotImplementedError

    def diff(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Difference:
        """Compare the state (``olds`` = old outputs) with new inputs."""
        raise NotImplementedError

    def preview_create(self, op: Operation, inputs: Properties) -> Properties:
        """Outputs as far as a preview can know them; leave out or set UNKNOWN what it cannot."""
        raise NotImplementedError

    def create(self, op: Operation, inputs: Properties) -> tuple[str, Properties]:
        """Make the object; (id, outputs)."""
        raise NotImplementedError

    def read(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> ReadResult | None:
        """The live object, or None when it is gone. ``outputs`` and ``inputs`` are empty on import."""
        raise NotImplementedError

    def preview_update(
        self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties
    ) -> Properties:
        """Outputs of an update as far as a preview can know them."""
        raise NotImplementedError

    def update(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Properties:
        """Change the object in place; the new outputs."""
        raise NotImplementedError

    def delete(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> None:
        """Remove the object; already gone = success."""
        raise NotImplementedError


class Plugin:
    """What one provider plugin serves: its name, version, resources and configuration."""

    name: ClassVar[str]
    version: ClassVar[str]
    resources: ClassVar[tuple[type[Resource], ...]] = ()

    def check_config(self, olds: Properties, news: Properties) -> Checked:
        """Validate the provider's own inputs (those that are not strings arrive as JSON text)."""
        raise NotImplementedError

    def configure(self, args: Properties, variables: Mapping[str, str]) -> Any:
        """Make the client that operations find in ``Operation.provider``. Raise ProviderError if it cannot be."""
        raise NotImplementedError

    def cancel(self, client: Any) -> None:
        """Called once when the engine cancels, after every operation's ``cancelled`` event was set."""
