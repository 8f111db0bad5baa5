"""A program on this terminal that handles an interrupt itself, within limits."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from overlab.core.process import descendants

GRACE_S = 60.0
"""An interrupted program may end what it has begun for so long; then it is interrupted again."""
KILL_AFTER_S = 10.0
"""After the second interrupt."""

_POLL_S = 0.1
_NAMES = 6


@dataclass(frozen=True)
class Ended:
    """How the program ended."""

    code: int
    interrupted: bool


@dataclass
class _Interrupts:
    """What arrived so far. A terminal sends SIGINT to the program, too; SIGTERM is passed on as SIGINT."""

    times: list[float] = field(default_factory=list)
    child: subprocess.Popen[bytes] | None = None

    def on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.times.append(time.monotonic())

    def on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.times.append(time.monotonic())
        if self.child is not None:
            self.child.send_signal(signal.SIGINT)


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    running: Callable[[], list[str]],
    say: Callable[[str], None],
) -> Ended:
    """Run it to its end.

    From the first interrupt on it has ``GRACE_S``, then gets another interrupt; ``KILL_AFTER_S`` after a second one,
    whoever sent it, it is killed with all processes below it. ``say`` gets what is waited for, by ``running``.
    """
    with _handled() as interrupts:
        process = interrupts.child = subprocess.Popen(list(command), cwd=cwd, env=env)
        said = 0
        while True:
            try:
                return Ended(process.wait(_POLL_S), bool(interrupts.times))
            except subprocess.TimeoutExpired:
                pass
            times = interrupts.times
            if len(times) == 1 and time.monotonic() - times[0] > GRACE_S:
                interrupts.on_terminate(signal.SIGINT, None)
            if len(times) > 1 and time.monotonic() - times[1] > KILL_AFTER_S:
                say(f"killed: it did not end within {KILL_AFTER_S:g} s of the second interrupt; {_resume(running())}")
                _kill(process)
                return Ended(process.wait(), interrupted=True)
            if min(len(times), 2) > said:
                said = min(len(times), 2)
                limit, then = (GRACE_S, "then interrupted again") if said == 1 else (KILL_AFTER_S, "then killed")
                say(f"interrupted: {_waiting(running())} (at most {limit:g} s, {then})")


def _waiting(names: list[str]) -> str:
    return f"waiting for {_list(names)}" if names else "waiting for its end"


def _resume(names: list[str]) -> str:
    left = f"in progress: {_list(names)}; " if names else ""
    return f"{left}overlab up goes on from here, overlab down removes what there is"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With the plugins, which have process groups of their own; the program's own group is this process's."""
    for one in descendants(process.pid):
        one.signal(signal.SIGKILL)


@contextlib.contextmanager
def _handled() -> Iterator[_Interrupts]:
    found = _Interrupts()
    # handlers, not SIG_IGN: an ignored signal would stay ignored in the child
    previous = {
        signal.SIGINT: signal.signal(signal.SIGINT, found.on_interrupt),
        signal.SIGTERM: signal.signal(signal.SIGTERM, found.on_terminate),
    }
    try:
        yield found
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
