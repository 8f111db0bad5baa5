"""Progress of long steps on standard error: name, elapsed time, what is being waited for, and the final duration.

On a terminal the running steps are a live table; elsewhere they are plain lines. One :class:`Progress` may be used by
several threads at once: each thread has its own stack of steps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from overlab.core.errors import component
from overlab.core.terminal import SafeConsole, styled

_SHOW_AFTER_S = 1.0  # shorter steps leave no line
_REPEAT_PLAIN_S = 20.0  # interval at which a running step is printed again where there is no terminal


@dataclass(frozen=True)
class Timing:
    """A finished step: its name, nesting depth (0 is outermost) and duration."""

    name: str
    depth: int
    seconds: float
    failed: bool = False


@dataclass
class _Step:
    name: str
    depth: int
    started: float = field(default_factory=time.monotonic)
    waiting_for: str = ""
    shown_at: float | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started


class Progress:
    """Shows steps while they run and keeps how long each took (``timings``).

    ``quiet`` shows nothing but still keeps the timings.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.timings: list[Timing] = []
        self._console = console or SafeConsole(stderr=True)
        self._quiet = quiet
        self._lock = threading.RLock()
        self._steps: list[_Step] = []
        self._local = threading.local()
        self._live: Live | None = None
        self._ticker: threading.Thread | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what runs inside; a failing step is marked and its exception passes on.

        It is the component of the errors in it.
        """
        stack = self._stack()
        step = _Step(name, depth=len(stack))
        stack.append(step)
        self._begin(step)
        failed = True
        try:
            with component(name):
                yield
            failed = False
        finally:
            stack.pop()
            self._end(step, failed=failed)

    def waiting_for(self, text: str) -> None:
        """Show what this thread's innermost step waits for (a log's last line, another process, a probe)."""
        stack = self._stack()
        if stack:
            stack[-1].waiting_for = text

    def note(self, text: str) -> None:
        """One line that stays."""
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def seconds(self, name: str) -> float:
        """Sum of the finished steps of that name."""
        with self._lock:
            return sum(timing.seconds for timing in self.timings if timing.name == name)

    def table(self, title: str = "time") -> Table:
        """The finished steps, in order of their end, for printing."""
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column("step")
        table.add_column("seconds", justify="right")
        with self._lock:
            for timing in self.timings:
                mark = " (failed)" if timing.failed else ""
                table.add_row(styled("{}{}{}", "  " * timing.depth, timing.name, mark), f"{timing.seconds:.1f}")
        return table

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to a child process that draws on it itself."""
        with self._lock:
            self._stop_live()
            quiet, self._quiet = self._quiet, True
        try:
            yield
        finally:
            with self._lock:
                self._quiet = quiet

    # -- drawing -------------------------------------------------------------------------------

    def _stack(self) -> list[_Step]:
        stack: list[_Step] | None = getattr(self._local, "stack", None)
        if stack is None:
            stack = self._local.stack = []
        return stack

    def _begin(self, step: _Step) -> None:
        with self._lock:
            self._steps.append(step)
            if self._ticker is None and not self._quiet:
                self._ticker = threading.Thread(target=self._tick, name="overlab-progress", daemon=True)
                self._ticker.start()

    def _end(self, step: _Step, *, failed: bool) -> None:
        with self._lock:
            self._steps.remove(step)
            self.timings.append(Timing(step.name, step.depth, step.elapsed, failed))
            if self._quiet:
                return
            if not self._steps:
                self._stop_live()
            if step.elapsed >= _SHOW_AFTER_S:
                mark, style = ("failed after", "red") if failed else ("done in", "green")
                line = styled(f"{{}}{{}}: [{style}]{mark} {step.elapsed:.1f} s[/]", "  " * step.depth, step.name)
                self._console.print(line, highlight=False)

    def _tick(self) -> None:
        while True:
            time.sleep(0.25)
            with self._lock:
                if not self._steps:
                    self._stop_live()
                    self._ticker = None
                    return
                if self._quiet:
                    continue
                if self._console.is_terminal:
                    self._draw_live()
                else:
                    self._draw_plain()

    def _draw_live(self) -> None:
        if not any(step.elapsed >= _SHOW_AFTER_S for step in self._steps):
            return
        if self._live is None:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(self._running(), refresh=True)

    def _running(self) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", style="dim")
        for step in self._steps:
            name, waiting = styled("{}{}", "  " * step.depth, step.name), styled("{}", step.waiting_for)
            table.add_row(name, f"{step.elapsed:.0f} s", waiting)
        return table

    def _draw_plain(self) -> None:
        for step in self._steps:
            due = _SHOW_AFTER_S if step.shown_at is None else step.shown_at + _REPEAT_PLAIN_S
            if step.elapsed < due:
                continue
            step.shown_at = step.elapsed
            waiting = f": {step.waiting_for}" if step.waiting_for else ""
            self.note(f"{'  ' * step.depth}{step.name} ... {step.elapsed:.0f} s{waiting}")

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
