"""Run external tools: output to a log, a time limit, the process group ended with the caller."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from overlab.core.errors import ToolError
from overlab.core.progress import Progress

_LOG_TAIL_LINES = 15
_LOG_TAIL_BYTES = 16_384

_running: set[subprocess.Popen[bytes]] = set()
_running_lock = threading.Lock()


def run(
    cmd: Sequence[str | Path],
    *,
    log: Path,
    progress: Progress | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> None:
    """Run an external tool with its output appended to ``log``; its last line is shown while it runs.

    The tool gets its own process group, so that it and its children end together: on the time limit, on
    an exception in this thread, and by :func:`stop_running`. ``env`` replaces the environment.
    Raises :class:`ToolError` with the command, exit code and the last lines of its output.
    """
    words = [str(word) for word in cmd]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {shlex.join(words)}\n".encode())
        out.flush()
        start = out.tell()
        process = _start(words, out.fileno(), cwd, env)
        try:
            code = _follow(process, log, start, progress, limit_s)
        finally:
            _end_group(process)
            with _running_lock:
                _running.discard(process)
    if code != 0:
        reason = f"did not end within {limit_s:g} s" if code is None else f"ended with exit code {code}"
        last_lines = tail(log, start).splitlines()
        raise ToolError(f"`{shlex.join(words)}` {reason}", f"read the full log: {log}", evidence=last_lines)


def output(
    cmd: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    limit_s: float = 60,
) -> str:
    """Standard output of a short tool. Raises :class:`ToolError` as :func:`run` does."""
    words = [str(word) for word in cmd]
    try:
        done = subprocess.run(
            words, cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except FileNotFoundError as error:
        raise ToolError(f"`{words[0]}` is not installed", "run: overlab doctor") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"`{shlex.join(words)}` did not end within {limit_s:g} s") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ToolError(f"`{shlex.join(words)}` ended with exit code {done.returncode}", evidence=lines)
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


def _start(words: list[str], out: int, cwd: Path | None, env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    if shutil.which(words[0], path=None if env is None else env.get("PATH")) is None:
        raise ToolError(f"`{words[0]}` is not installed", "run: overlab doctor")
    # killed with this process: else it would still run beside the next command's tools
    bound = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
    process = subprocess.Popen(
        [*bound, *words],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    with _running_lock:
        _running.add(process)
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
