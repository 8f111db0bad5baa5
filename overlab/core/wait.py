"""Bounded waits: nothing in the platform waits without a limit, and a failed wait names its last observation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from overlab.core.errors import WaitError
from overlab.core.progress import Progress

T = TypeVar("T")


class NotYet(Exception):
    """Raised by a probe whose condition does not hold yet; its text is what was observed instead."""


def until(
    what: str,
    probe: Callable[[], T],
    limit_s: float,
    progress: Progress | None = None,
    *,
    interval_s: float = 0.1,
) -> T:
    """The probe's value, as soon as it does not raise :class:`NotYet`.

    Any other exception of the probe passes on at once. After ``limit_s`` a :class:`WaitError` names what was
    waited for.
    """
    begun = time.monotonic()

    def show(state: RetryCallState) -> None:
        if progress is not None:
            progress.waiting_for(f"{what} ({time.monotonic() - begun:.0f}/{limit_s:g} s; {_seen(state)})")

    attempts = Retrying(
        stop=stop_after_delay(limit_s),
        wait=wait_fixed(interval_s),
        retry=retry_if_exception_type(NotYet),
        before_sleep=show,
    )
    try:
        return attempts(probe)
    except RetryError as error:
        seen = error.last_attempt.exception()
        raise WaitError(
            f"waited {time.monotonic() - begun:.1f} of {limit_s:g} s for {what}; seen last: {seen}"
        ) from seen


@contextmanager
def locked(lock_file: Path, waiting_for: Callable[[], str], progress: Progress) -> Iterator[None]:
    """Hold a lock between processes; while another holds it, ``progress`` shows what is waited for."""
    lock = FileLock(lock_file)
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            progress.waiting_for(waiting_for())
    try:
        yield
    finally:
        lock.release()


def _seen(state: RetryCallState) -> str:
    return str(state.outcome.exception()) if state.outcome is not None else "nothing"
