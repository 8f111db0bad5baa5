"""Files written atomically, or where the user asked for them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from overlab.core.errors import OverlabError


def write_output(file: Path, content: str | bytes) -> None:
    """Write a file that the user named. Raises :class:`OverlabError` where that fails."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise OverlabError(f"{file} cannot be written: {error}", "name another file") from error


def bound_log(path: Path, limit: int = 8 << 20) -> None:
    """Keep only the last eighth of a log that is larger than its limit.

    Its writers have it open for appending, and go on at its new end.
    """
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        if os.fstat(file.fileno()).st_size > limit:
            file.seek(-(limit // 8), os.SEEK_END)
            last = file.read()
            file.seek(0)
            file.truncate()
            file.write(last)


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file atomically; it never exists half-written or with a wider mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)
