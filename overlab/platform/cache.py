"""Per-user cache of what was built or downloaded, keyed by the content of the inputs.

Layout, below :func:`overlab.core.paths.cache_root`::

    KIND/KEY/content/...      the builder's output
    KIND/KEY/manifest.json    every file with size, mtime and SHA-256, written when the build was complete
    KIND/.KEY.lock, .KEY.owner   one builder at a time, and its process
    KIND/.tmp-KEY-XXXX/       a build in progress

An entry is visible only when complete: it is built in a temporary directory, flushed to disk and renamed. An entry
that no longer matches its manifest is removed and rebuilt.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shlex
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from overlab.core import removal
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.paths import cache_entry, cache_root
from overlab.core.progress import Progress
from overlab.core.wait import locked

MANIFEST = "manifest.json"
CONTENT = "content"


@dataclass(frozen=True)
class EntryState:
    """One cache entry as found by :func:`inspect_entries`."""

    directory: Path
    """``KIND/KEY`` below the cache's root."""
    size: int
    problem: str | None


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def log_file(kind: str) -> Path:
    """Where the builder of that kind logs; outside the entry, so that it outlives a failed build."""
    return cache_root() / "log" / f"{kind}.log"


def find(kind: str, key_parts: Mapping[str, object]) -> Path | None:
    """Content of an existing entry that passes the fast check. Takes no lock and builds nothing."""
    _require_own_root()
    entry_dir = cache_entry(kind, key_parts)
    return entry_dir / CONTENT if entry_dir.is_dir() and _problem(entry_dir) is None else None


def entry(
    kind: str,
    key_parts: Mapping[str, object],
    build: Callable[[Path], None],
    progress: Progress,
    *,
    space_mib: int = 0,
) -> Path:
    """Directory with the entry's content, built by ``build(empty directory)`` if it does not exist or is damaged.

    ``key_parts`` are all inputs that decide the content. Only one process builds an entry; others wait and show
    it. Fails at once when the file system has less than ``space_mib``. The caller must not
    write into the result.
    """
    _require_own_root()
    entry_dir = cache_entry(kind, key_parts)
    kind_dir, key = entry_dir.parent, entry_dir.name
    if entry_dir.is_dir() and _problem(entry_dir, read=False) is None:
        return entry_dir / CONTENT
    kind_dir.mkdir(parents=True, exist_ok=True)
    with _only_builder(kind_dir, key, progress):
        if entry_dir.exists() or entry_dir.is_symlink():
            progress.waiting_for(f"verifying {entry_dir}")
            problem = _problem(entry_dir, repair_times=True)
            if problem is None:
                return entry_dir / CONTENT
            progress.note(f"cache entry {entry_dir} is damaged ({problem}); rebuilding it")
            _remove(entry_dir)
        _build(kind_dir, key, entry_dir, build, space_mib)
    return entry_dir / CONTENT


def adopt(entry_dir: Path, found: Path, progress: Progress) -> bool:
    """Move an entry that was made elsewhere, ``found``, into the cache; False where the cache has it already.

    ``found`` is on the cache's file system. Raises :class:`OverlabError` where it does not match its own checksums.
    """
    entry_dir.parent.mkdir(parents=True, exist_ok=True)
    with _only_builder(entry_dir.parent, entry_dir.name, progress):
        if entry_dir.is_dir() and _problem(entry_dir) is None:
            return False
        problem = _problem(found, full=True, repair_times=True)
        if problem is not None:
            raise OverlabError(f"{entry_dir.parent.name}/{entry_dir.name} of that file is damaged: {problem}")
        if entry_dir.exists():
            _remove(entry_dir)
        found.rename(entry_dir)
        _sync(entry_dir.parent)
        return True


def inspect_entries(*, full: bool = False) -> list[EntryState]:
    """Every entry with its size and problem; ``full`` reads every byte."""
    root = cache_root()
    states = []
    for manifest in sorted(root.glob(f"*/*/{MANIFEST}")):
        entry_dir = manifest.parent
        if entry_dir.name.startswith("."):
            continue
        size = sum(path.lstat().st_size for path in _walk(entry_dir))
        states.append(EntryState(entry_dir, size, _problem(entry_dir, full=full)))
    return states


def _require_own_root() -> None:
    """Raise :class:`OverlabError` where others may write the cache's root: programs run from it."""
    root = cache_root()
    with contextlib.suppress(FileNotFoundError):
        info = root.stat()
        user = os.geteuid()
        if info.st_uid not in (0, user) or info.st_mode & stat.S_IWOTH:
            raise OverlabError(
                f"the cache {root} may be written by others (owner {info.st_uid}, mode {stat.S_IMODE(info.st_mode):o}),"
                f" and user {user} would run programs from it",
                f"point OVERLAB_CACHE at a directory of your own; or, if you trust its content:"
                f" chown -R {user} {shlex.quote(str(root))} && chmod o-w {shlex.quote(str(root))}",
            )


# -- building --------------------------------------------------------------------------------------


def _build(kind_dir: Path, key: str, entry_dir: Path, build: Callable[[Path], None], space_mib: int) -> None:
    _require_space(kind_dir, space_mib)
    temporary = Path(tempfile.mkdtemp(prefix=f".tmp-{key}-", dir=kind_dir))
    try:
        content = temporary / CONTENT
        content.mkdir()
        build(content)
        _write_manifest(temporary)
        temporary.chmod(0o755)
        temporary.rename(entry_dir)
        _sync(kind_dir)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _no_space(kind_dir, space_mib) from error
        raise
    finally:
        if temporary.exists():
            _remove(temporary)


def _require_space(kind_dir: Path, space_mib: int) -> None:
    if shutil.disk_usage(kind_dir).free < space_mib << 20:
        raise _no_space(kind_dir, space_mib)


def _no_space(kind_dir: Path, space_mib: int) -> OverlabError:
    free = shutil.disk_usage(kind_dir).free >> 20
    needed = f", {space_mib} MiB are needed" if space_mib else ""
    return OverlabError(
        f"no space left to build {kind_dir.name}: {free} MiB free in {kind_dir}{needed}",
        "free some space, or point OVERLAB_CACHE at a directory on another file system",
    )


def _write_manifest(temporary: Path) -> None:
    """Record and flush everything: even after a power failure an entry is complete or does not match its manifest."""
    content = temporary / CONTENT
    files = {}
    for path in _walk(content):
        files[str(path.relative_to(content))] = _describe(path)
        if path.is_file() and not path.is_symlink():
            _sync(path)
    for directory, _, _ in os.walk(content):
        _sync(Path(directory))
    _save_manifest(temporary, files)
    _sync(temporary)


def _save_manifest(entry_dir: Path, files: Mapping[str, object]) -> None:
    text = json.dumps({"files": files}, sort_keys=True)
    write_private(entry_dir / MANIFEST, text.encode(), mode=0o644)


def _describe(path: Path) -> dict[str, object]:
    info = path.lstat()
    if stat.S_ISLNK(info.st_mode):
        return {"link": str(path.readlink())}
    if not stat.S_ISREG(info.st_mode):
        return {"special": stat.S_IFMT(info.st_mode)}
    return {"size": info.st_size, "mtime_ns": info.st_mtime_ns, "sha256": file_digest(path)}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- checking --------------------------------------------------------------------------------------


def _problem(entry_dir: Path, *, read: bool = True, full: bool = False, repair_times: bool = False) -> str | None:
    """An entry's problem, or None.

    Files whose size and time match are trusted unless ``full``; others are read, or a problem unless ``read``.
    ``repair_times`` (the lock is held) records the new times of files whose content is unchanged, so that the next
    check is fast again.
    """
    content = entry_dir / CONTENT
    try:
        recorded = json.loads((entry_dir / MANIFEST).read_text())["files"]
        found = {str(path.relative_to(content)): path for path in _walk(content)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"unreadable: {error}"
    if missing := sorted(recorded.keys() - found.keys()):
        return f"{missing[0]} is missing"
    if extra := sorted(found.keys() - recorded.keys()):
        return f"{extra[0]} was added"
    touched = False
    for name, path in found.items():
        want = recorded[name]
        info = path.lstat()
        same_times = (info.st_size, info.st_mtime_ns) == (want.get("size"), want.get("mtime_ns"))
        if same_times and stat.S_ISREG(info.st_mode) and not full:
            continue
        if not read and not stat.S_ISLNK(info.st_mode):
            return f"{name} was touched"
        have = _describe(path)
        if {**have, "mtime_ns": None} != {**want, "mtime_ns": None}:
            return f"{name} was changed"
        if have != want:
            touched = True
            recorded[name] = have
    if touched and repair_times:
        _save_manifest(entry_dir, recorded)
    return None


def _walk(root: Path) -> Iterator[Path]:
    """Everything below that is not a directory. A missing root is an error, not empty."""
    for entry_ in os.scandir(root):
        if entry_.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry_.path))
        else:
            yield Path(entry_.path)


# -- one builder at a time -------------------------------------------------------------------------


@contextlib.contextmanager
def _only_builder(kind_dir: Path, key: str, progress: Progress) -> Iterator[None]:
    owner = kind_dir / f".{key}.owner"

    def builder() -> str:
        return f"{kind_dir.name} is being built by {owner.read_text() if owner.exists() else 'another process'}"

    with locked(kind_dir / f".{key}.lock", builder, progress):
        owner.write_text(f"process {os.getpid()} ({' '.join(sys.argv)[:80]}) since {time.strftime('%H:%M:%S')}")
        try:
            _remove_abandoned(kind_dir, key)
            yield
        finally:
            owner.unlink(missing_ok=True)


def _remove_abandoned(kind_dir: Path, own_key: str) -> None:
    """Remove builds whose builder has ended: temporary directories whose key's lock is free."""
    for temporary in kind_dir.glob(".tmp-*"):
        key = temporary.name.split("-")[1]
        if key == own_key:
            _remove(temporary)
            continue
        lock = FileLock(kind_dir / f".{key}.lock", timeout=0)
        with contextlib.suppress(Timeout), lock:
            _remove(temporary)


def _remove(path: Path) -> None:
    removal.remove(path, cache_root())
