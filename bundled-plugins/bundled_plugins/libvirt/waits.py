"""Bounded waits inside one operation: cancellable, and a wait that fails reports what it saw last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.resource import Operation

STATE_LIMIT_S = 60.0
"""Limit of the official provider for a network, pool or volume to reach a state."""


def wait_until(op: Operation, what: str, done: Callable[[], str], limit_s: float = STATE_LIMIT_S) -> None:
    """Wait until ``done()`` returns ""; any other answer describes what was seen instead.

    Polls from 0.05 s, doubling to 2 s. Raises :class:`ProviderError` with elapsed, limit and what was seen last, or
    :class:`~bundled_plugins.runtime.errors.Cancelled`.
    """
    begun, delay = time.monotonic(), 0.05
    while seen := done():
        elapsed = time.monotonic() - begun
        if elapsed >= limit_s:
            raise ProviderError(f"waited {elapsed:.0f} of {limit_s:.0f} s for {what}; seen last: {seen}")
        op.pause(min(delay, max(0.01, limit_s - elapsed)))
        delay = min(delay * 2, 2.0)


@contextmanager
def locked(op: Operation, lock: threading.Lock, what: str, limit_s: float = 20 * 60.0) -> Iterator[None]:
    """Hold the lock; waiting for it is bounded and cancellable."""

    def taken() -> str:
        return "" if lock.acquire(timeout=0.1) else "another operation of this run holds it"

    wait_until(op, what, taken, limit_s)
    try:
        yield
    finally:
        lock.release()
