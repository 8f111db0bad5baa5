"""Processes that outlive the command that started them, distinguished from others with a reused pid."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from overlab.core.errors import WaitError
from overlab.core.files import write_private
from overlab.core.wait import NotYet, until


class ProcessRecord(BaseModel):
    """A process by pid, start time and boot; equal records are the same process."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: int
    """Clock ticks after boot, as in ``/proc/PID/stat``."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessRecord | None:
        """Record of a running process; None when there is none (a zombie counts as none)."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            return None
        if fields[0] in "ZX":
            return None
        return cls(pid=pid, started=int(fields[19]), boot=_boot())

    @classmethod
    def load(cls, path: Path) -> ProcessRecord | None:
        """Record saved by :meth:`save`; None when there is none or it is incomplete."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValueError):
            return None

    def save(self, path: Path) -> None:
        """Write atomically, 0600."""
        write_private(path, self.model_dump_json().encode())

    def alive(self) -> bool:
        return ProcessRecord.of(self.pid) == self

    def name(self) -> str:
        """The kernel's short name of the program; empty when it is gone."""
        try:
            return Path(f"/proc/{self.pid}/comm").read_text().strip()
        except OSError:
            return ""

    def pid_namespace(self) -> str | None:
        """Identity of its PID namespace; None when it is gone."""
        try:
            return str(Path(f"/proc/{self.pid}/ns/pid").readlink())
        except OSError:
            return None

    def started_at(self) -> float:
        """Start time in seconds since the epoch, exact to about a tick."""
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime_s + self.started / os.sysconf("SC_CLK_TCK")

    def signal(self, number: int) -> None:
        """Send a signal, if it is still that process."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def spawn(cmd: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> ProcessRecord:
    """Start a daemon: own session, no standard input, output appended to ``log``. Returns at once."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in cmd]
    pid = os.posix_spawnp(
        words[0],
        words,
        dict(os.environ if env is None else env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return ProcessRecord.of(pid) or ProcessRecord(pid=pid, started=-1, boot=_boot())


def end(processes: Iterable[ProcessRecord], grace_s: float = 10) -> None:
    """TERM, then KILL for those still running after ``grace_s``. Returns when all are gone."""
    ended = list(processes)

    def gone() -> None:
        _reap(ended)
        if left := [str(process.pid) for process in ended if process.alive()]:
            raise NotYet(", ".join(left))

    for process in ended:
        process.signal(signal.SIGTERM)
    try:
        until("processes to end", gone, grace_s, interval_s=0.02)
    except WaitError:
        for process in ended:
            process.signal(signal.SIGKILL)
        until("killed processes to end", gone, 15, interval_s=0.02)
    _reap(ended)


def end_child(process: subprocess.Popen[bytes], grace_s: float = 5) -> None:
    """TERM, then KILL after ``grace_s``, for a child process; closes its streams."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def descendants(pid: int) -> list[ProcessRecord]:
    """The process and every process below it, whatever their process groups."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    found, left = [], [pid]
    while left:
        one = left.pop()
        left += parents.get(one, [])
        record = ProcessRecord.of(one)
        if record is not None:
            found.append(record)
    return found


def command_line(pid: int) -> str:
    """The command line of a process for messages; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _reap(processes: Iterable[ProcessRecord]) -> None:
    """Collect those that are children of this process, else they stay as zombies."""
    for process in processes:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
