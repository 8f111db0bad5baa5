"""One command at a time changes a lab; a second one is refused, and names the first."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import time
from collections.abc import Iterator

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths


@contextlib.contextmanager
def only_one(paths: LabPaths, command: str) -> Iterator[None]:
    """Hold the lab for ``overlab COMMAND`` until the block ends, or this process, however it does.

    Raises :class:`OverlabError` with command, process and user where another one holds it.
    """
    paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (paths.state / "operation.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read() or "another command"
            raise OverlabError(f"lab {paths.lab} is being changed by {holder}", "wait for its end") from error
        lock.truncate(0)
        lock.write(f"`overlab {command}` of {_user()} (process {os.getpid()}, since {time.strftime('%H:%M:%S')})")
        lock.flush()
        yield


def _user() -> str:
    """The person, also behind sudo."""
    with contextlib.suppress(KeyError):
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    return f"user {os.getuid()}"
