"""How a running operation is stopped: by the engine's Cancel, or the time limit of its customTimeouts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from bundled_plugins.runtime.errors import Cancelled
from bundled_plugins.runtime.resource import Operation

CANCELLED = "context canceled"
DEADLINE = "context deadline exceeded"


class Stop:
    """The stop signal of one operation.

    As a context manager it turns whatever error the stop provokes in the operation into ``Cancelled``.
    """

    def __init__(self, limit_s: float = 0.0) -> None:
        """``limit_s`` seconds after now the operation is over its time; 0 = no limit."""
        self._ends = time.monotonic() + limit_s if limit_s > 0 else None
        self._lock = threading.Lock()
        self._fired = threading.Event()
        self._reason = CANCELLED
        self._closers: dict[object, Callable[[], None]] = {}
        self._timer: threading.Timer | None = None
        if limit_s > 0:
            self._timer = threading.Timer(limit_s, self.fire, (f"{DEADLINE} ({limit_s:g} s of customTimeouts)",))
            self._timer.daemon = True
            self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if isinstance(error, Exception) and not isinstance(error, Cancelled) and self.fired:
            raise Cancelled(f"{self._reason}: {error}") from error

    @property
    def fired(self) -> bool:
        return self._fired.is_set()

    def remaining(self, default_s: float) -> float:
        """Seconds left for a wait that is limited to ``default_s`` anyway."""
        return default_s if self._ends is None else max(0.0, min(default_s, self._ends - time.monotonic()))

    def fire(self, reason: str) -> None:
        """End the operation, once: later reasons do not count. Closers must not block."""
        with self._lock:
            if self._fired.is_set():
                return
            self._reason = reason
            self._fired.set()
            closers = list(self._closers.values())
        for close in closers:
            with contextlib.suppress(Exception):  # one that fails must not keep the others from running
                close()

    def check(self) -> None:
        """Raise ``Cancelled`` if the operation is to end."""
        if self.fired:
            raise Cancelled(self._reason)

    def sleep(self, seconds: float) -> None:
        """Wait, or raise ``Cancelled`` at once when the operation is to end."""
        if self._fired.wait(seconds):
            raise Cancelled(self._reason)

    @contextlib.contextmanager
    def closing(self, close: Callable[[], None]) -> Iterator[None]:
        """While inside, ``close`` is called (from another thread) when the operation is to end."""
        token = object()
        with self._lock:
            self.check()
            self._closers[token] = close
        try:
            yield
        finally:
            with self._lock:
                self._closers.pop(token, None)


class Stops:
    """All running operations of the plugin process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Stop] = set()

    @contextlib.contextmanager
    def watch(self, op: Operation) -> Iterator[Stop]:
        """The stop of one operation, for as long as it runs."""
        with Stop(op.timeout_s) as stop:
            with self._lock:
                self._running.add(stop)
            try:
                if op.cancelled.is_set():
                    stop.fire(CANCELLED)
                yield stop
            finally:
                with self._lock:
                    self._running.discard(stop)

    def fire(self) -> None:
        """End all of them."""
        with self._lock:
            running = list(self._running)
        for stop in running:
            stop.fire(CANCELLED)
