"""A local process in a new session, run to its end with both streams captured."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from bundled_plugins.command.output import Capture, Stream
from bundled_plugins.command.stopping import Stop
from bundled_plugins.runtime.errors import ProviderError

_CHUNK: Final = 64 * 1024
_POLL_S: Final = 0.5


@dataclass(frozen=True)
class Invocation:
    """What to start."""

    argv: Sequence[str]
    directory: str | None
    environment: Mapping[str, str]
    stdin: str | None


def run(invocation: Invocation, capture: Capture, stop: Stop) -> int:
    """The exit status; negative = ended by that signal. Ends when both streams are closed, not before.

    A stop kills the process group. Raises ProviderError when the process cannot be started.
    """
    process = _start(invocation)
    with process:
        try:
            with stop.closing(lambda: _kill_group(process)):
                _pump(process, invocation.stdin, capture, stop)
                status = process.wait()
        except BaseException:
            _kill_group(process)
            raise
    stop.check()
    return status


def _start(invocation: Invocation) -> subprocess.Popen[bytes]:
    directory = invocation.directory or None
    if directory is not None and not Path(directory).is_dir():
        reason = errno.ENOTDIR if Path(directory).exists() else errno.ENOENT
        raise ProviderError(f"chdir {directory}: {os.strerror(reason).lower()}")
    program = invocation.argv[0]
    if "/" not in program and shutil.which(program) is None:
        raise ProviderError(f'exec: "{program}": executable file not found in $PATH')
    try:
        return subprocess.Popen(
            invocation.argv,
            cwd=directory,
            env=invocation.environment,
            stdin=subprocess.PIPE if invocation.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        text = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
        raise ProviderError(f"fork/exec {program}: {text}") from error


def _pump(process: subprocess.Popen[bytes], stdin: str | None, capture: Capture, stop: Stop) -> None:
    """Feed stdin and collect both streams until both are closed."""
    waiting = memoryview(stdin.encode()) if stdin else memoryview(b"")
    with selectors.DefaultSelector() as selector:
        streams: dict[Stream, IO[bytes] | None] = {"stdout": process.stdout, "stderr": process.stderr}
        for name, stream in streams.items():
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, None)
        open_streams = len(streams)
        while open_streams and not stop.fired:
            for key, _ in selector.select(_POLL_S):
                if key.data is None:
                    waiting = _write(key, waiting, selector)
                elif data := os.read(key.fd, _CHUNK):
                    capture.feed(key.data, data)
                else:
                    selector.unregister(key.fileobj)
                    open_streams -= 1


def _write(key: selectors.SelectorKey, waiting: memoryview, selector: selectors.BaseSelector) -> memoryview:
    """What is left to write; the pipe is closed after the last byte, or when its reader has closed it."""
    try:
        waiting = waiting[os.write(key.fd, waiting[:_CHUNK]) :]
    except BlockingIOError:
        return waiting
    except BrokenPipeError:
        waiting = waiting[:0]
    if not waiting:
        selector.unregister(key.fileobj)
        key.fileobj.close()  # type: ignore[union-attr]  # registered as a file object
    return waiting


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def describe_exit(status: int) -> str:
    """A failed process's exit as Go prints it: ``exit status 3``, ``signal: killed``."""
    if status >= 0:
        return f"exit status {status}"
    return f"signal: {(signal.strsignal(-status) or str(-status)).lower()}"
