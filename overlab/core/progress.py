"""Progress of long steps for people: name, elapsed time, what is being waited for, and the final duration.

On a terminal the running steps are a live table; elsewhere they are plain lines. Everything goes to
standard error, so that standard output stays clean for data. One :class:`Progress` may be used by
several threads at once: each thread has its own stack of steps.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from overlab.core.errors import ToolError

_SHOW_AFTER_S = 1.0  # shorter steps leave no line
_REPEAT_PLAIN_S = 20.0  # a running step says again what it waits for, where there is no terminal
_LOG_TAIL_LINES = 15
_LOG_TAIL_BYTES = 16_384


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
        self._console = console or Console(stderr=True)
        self._quiet = quiet
        self._lock = threading.RLock()
        self._steps: list[_Step] = []
        self._local = threading.local()
        self._live: Live | None = None
        self._ticker: threading.Thread | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what runs inside; a failing step is marked and its exception passes on."""
        stack = self._stack()
        step = _Step(name, depth=len(stack))
        stack.append(step)
        self._begin(step)
        failed = True
        try:
            yield
            failed = False
        finally:
            stack.pop()
            self._end(step, failed=failed)

    def waiting_for(self, text: str) -> None:
        """Say what this thread's innermost step waits for (a log's last line, another process, a probe)."""
        stack = self._stack()
        if stack:
            stack[-1].waiting_for = text

    def note(self, text: str) -> None:
        """One line that stays."""
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False)

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
                table.add_row("  " * timing.depth + escape(timing.name) + mark, f"{timing.seconds:.1f}")
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
                self._console.print(f"{'  ' * step.depth}{escape(step.name)}: [{style}]{mark} {step.elapsed:.1f} s[/]")

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
            table.add_row("  " * step.depth + escape(step.name), f"{step.elapsed:.0f} s", escape(step.waiting_for))
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


# -- external tools --------------------------------------------------------------------------------

_running: set[subprocess.Popen[bytes]] = set()
_running_lock = threading.Lock()


def run(
    cmd: Sequence[str | Path],
    *,
    log: Path,
    progress: Progress | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    limit_s: float | None = None,
) -> None:
    """Run an external tool with its output appended to ``log``; its last line is shown while it runs.

    The tool gets its own process group, so that it and its children end together: on the time limit, on
    an exception in this thread, and by :func:`stop_running`. ``env`` is the whole environment.
    Raises :class:`ToolError` with the command, exit code and the last lines of its output.
    """
    words = [str(word) for word in cmd]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {shlex.join(words)}\n".encode())
        out.flush()
        start = out.tell()
        process = _start(words, out.fileno(), cwd, env, stdin)
        try:
            code = _follow(process, log, start, progress, limit_s)
        finally:
            _end_group(process)
            with _running_lock:
                _running.discard(process)
    if code != 0:
        reason = f"did not end within {limit_s:g} s" if code is None else f"ended with exit code {code}"
        said = _indent(tail(log, start))
        raise ToolError(f"`{shlex.join(words)}` {reason}; its last lines:\n{said}", f"read the whole log: {log}")


def output(cmd: Sequence[str | Path], *, env: Mapping[str, str] | None = None, limit_s: float = 60) -> str:
    """Standard output of a short tool. Raises :class:`ToolError` as :func:`run` does."""
    words = [str(word) for word in cmd]
    try:
        done = subprocess.run(
            words, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except FileNotFoundError as error:
        raise ToolError(f"`{words[0]}` is not installed", "run: overlab doctor") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"`{shlex.join(words)}` did not end within {limit_s:g} s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise ToolError(f"`{shlex.join(words)}` ended with exit code {done.returncode}:\n{_indent(said)}")
    return done.stdout


def stop_running() -> None:
    """End every tool started by :func:`run` in any thread of this process (on an interrupt)."""
    with _running_lock:
        processes = list(_running)
    for process in processes:
        _end_group(process)


def tail(log: Path, start: int = 0, lines: int = _LOG_TAIL_LINES) -> str:
    """The last lines of a log from byte ``start`` on."""
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(start, file.tell() - _LOG_TAIL_BYTES))
        text = file.read().decode(errors="replace").replace("\r", "\n")
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def _start(
    words: list[str], out: int, cwd: Path | None, env: Mapping[str, str] | None, stdin: bytes | None
) -> subprocess.Popen[bytes]:
    if shutil.which(words[0], path=None if env is None else env.get("PATH")) is None:
        raise ToolError(f"`{words[0]}` is not installed", "run: overlab doctor")
    # a tool whose overlab was killed ends too, or it would work on beside the next one
    bound = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
    process = subprocess.Popen(
        [*bound, *words],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=out,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    with _running_lock:
        _running.add(process)
    if stdin is not None and process.stdin is not None:
        try:
            process.stdin.write(stdin)
        except BrokenPipeError:
            pass  # the exit code tells
        finally:
            process.stdin.close()
    return process


def _follow(
    process: subprocess.Popen[bytes], log: Path, start: int, progress: Progress | None, limit_s: float | None
) -> int | None:
    """Exit code, or None when the limit was reached."""
    begun = time.monotonic()
    while True:
        try:
            return process.wait(timeout=0.25)
        except subprocess.TimeoutExpired:
            if progress is not None:
                progress.waiting_for(tail(log, start, lines=1))
            if limit_s is not None and time.monotonic() - begun > limit_s:
                return None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """TERM, then KILL, to the group of a tool that still runs; a group whose leader has ended is left alone."""
    if process.poll() is not None:
        return
    for sign, grace in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            continue
        return


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
