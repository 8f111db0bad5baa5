"""A child process that is stopped with all it started, and that does not outlive this process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import IO

from bundled_plugins.language_host.interpreter import Interpreter

RUNNER = Path(__file__).with_name("runner.py")

#: From SIGINT to SIGKILL.
STOP_GRACE_S = 5.0


class Child:
    """``runner.py`` in the program's interpreter, leader of a new process group.

    The child reads the end of a pipe that this process holds open: when this process dies, however it dies, the
    child's process group kills itself.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        mode: Sequence[str],
        *,
        directory: str,
        environment: Mapping[str, str],
        piped: bool,
    ) -> None:
        """Start. ``mode`` is what follows the lifeline in the runner's arguments; ``piped`` keeps stdout and stderr
        for the caller to read, else they are this process's own."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._stopping = False
        their_end, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [str(interpreter.executable), str(RUNNER), str(their_end), *mode],
                cwd=directory,
                env=interpreter.environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else None,
                stderr=subprocess.PIPE if piped else None,
                pass_fds=(their_end,),
                process_group=0,
            )
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(their_end)
        threading.Thread(target=self._reap, name=f"reap-{self._process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdout(self) -> BufferedReader:
        """Only with ``piped``."""
        return _opened(self._process.stdout)

    @property
    def stderr(self) -> BufferedReader:
        """Only with ``piped``."""
        return _opened(self._process.stderr)

    @property
    def was_stopped(self) -> bool:
        """Whether ``stop`` ended it, or is about to."""
        return self._stopping

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def wait(self) -> int:
        """The exit code, negative for a signal, once the child has ended. Callers bound this by ``stop``."""
        self._ended.wait()
        return self._process.returncode

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """SIGINT to the group, SIGKILL to what of it is left when the leader has ended or ``grace_s`` is over.

        Returns when the leader has ended. Nothing happens to a group whose leader has ended before.
        """
        with self._lock:
            self._stopping = not self._ended.is_set()
            self._signal_group(signal.SIGINT)
        if not self._ended.wait(grace_s):
            with self._lock:
                self._signal_group(signal.SIGKILL)
            self._ended.wait()

    def begin_stop(self, grace_s: float = STOP_GRACE_S) -> threading.Thread:
        """``stop`` in a separate thread, for callers that must not block."""
        thread = threading.Thread(target=self.stop, args=(grace_s,), name=f"stop-{self.pid}", daemon=True)
        thread.start()
        return thread

    def _reap(self) -> None:
        # The leader is waited for without being reaped first: until it is, its id cannot name another group.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            if self._stopping:
                self._signal_group(signal.SIGKILL)
            self._process.wait()
            self._ended.set()
        os.close(self._lifeline)

    def _signal_group(self, number: signal.Signals) -> None:
        if self._ended.is_set():
            return
        with contextlib.suppress(ProcessLookupError):  # only the unreaped leader is left
            os.killpg(self._process.pid, number)


class Children:
    """The children that run now, to be stopped together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Child] = set()

    def add(self, child: Child) -> None:
        with self._lock:
            self._running.add(child)

    def discard(self, child: Child) -> None:
        with self._lock:
            self._running.discard(child)

    def begin_stop(self, grace_s: float = STOP_GRACE_S) -> list[threading.Thread]:
        """Stop each child in a separate thread; returns these threads at once."""
        with self._lock:
            return [child.begin_stop(grace_s) for child in self._running]


def describe_exit(code: int) -> str:
    """``exited with ...`` for an error text; the code as ``Child.wait`` gives it."""
    if code >= 0:
        return f"exited with non-zero exit code: {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"was ended by signal {-code} ({name})"


def _opened(stream: IO[bytes] | None) -> BufferedReader:
    if not isinstance(stream, BufferedReader):
        raise TypeError("the child was started without pipes")
    return stream
