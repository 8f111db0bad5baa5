"""Removal of files and directory trees: strictly below a stated directory, within its mount, no link followed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from overlab.core.errors import OverlabError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 100
"""Levels that are descended into; what is deeper is moved up first. Each level holds a descriptor open."""


def remove(path: Path, within: Path) -> None:
    """Remove a file, a link itself, or a directory with everything in it, where it exists.

    Raises :class:`OverlabError`, before anything is removed, where ``path`` is not below ``within``, where a directory
    between them is a link, or where something is mounted at or below ``path``. Races are safe as well: every step is
    relative to an open directory, and one that is on another mount is not entered. ``within`` itself may be reached
    through links, but root refuses one of another user's.
    """
    if not path.is_absolute() or not path.is_relative_to(within) or path == within or ".." in path.parts:
        raise OverlabError(f"{path} is not removed: it is not below {within}")
    *between, name = path.relative_to(within).parts
    try:
        with contextlib.ExitStack() as opened:
            parent = opened.enter_context(_open(within, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            _refuse_foreign(parent, within)
            mount = _mount_id(parent)
            if mounted := mounts(Path(os.path.realpath(within), *between, name)):
                raise OverlabError(f"{path} is not removed: {mounted[0]} is mounted", f"umount {mounted[0]}")
            for part in between:
                parent = opened.enter_context(_open(part, _DIRECTORY, parent))
            _remove_at(parent, name, mount)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OverlabError(f"{path} cannot be removed: {error}", "resolve that, and repeat the command") from error


def _remove_at(parent: int, name: str, mount: int) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return
    with _open(name, _DIRECTORY, parent) as top:
        _refuse_other_mount(top, mount)
        while any(Path(f"/proc/self/fd/{top}").iterdir()):
            _empty(top, top, mount, 0)
    os.rmdir(name, dir_fd=parent)


def _empty(directory: int, top: int, mount: int, depth: int) -> None:
    """Remove the entries of a directory; a directory that is too deep is moved to ``top`` instead."""
    with os.scandir(directory) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_directory in entries:
        with contextlib.suppress(FileNotFoundError):
            if not is_directory:
                os.unlink(name, dir_fd=directory)
            elif depth == _DEEPEST:
                os.rename(name, f".removing-{secrets.token_hex(8)}", src_dir_fd=directory, dst_dir_fd=top)
            else:
                with _open(name, _DIRECTORY, directory) as inner:
                    _refuse_other_mount(inner, mount)
                    _empty(inner, top, mount, depth + 1)
                os.rmdir(name, dir_fd=directory)


@contextlib.contextmanager
def _open(path: str | Path, flags: int, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_foreign(directory: int, path: Path) -> None:
    owner = os.fstat(directory).st_uid
    if os.geteuid() == 0 and owner != 0:
        raise OverlabError(
            f"nothing below {path} is removed: root runs this command, and the directory belongs to user {owner}",
            "run the command as that user",
        )


def _refuse_other_mount(directory: int, mount: int) -> None:
    if _mount_id(directory) != mount:
        place = Path(f"/proc/self/fd/{directory}").readlink()
        raise OverlabError(f"{place} is not removed: it is a mount point", f"umount {place}")


def _mount_id(descriptor: int) -> int:
    """Of the mount that an open file is on; unlike the device number it differs for bind mounts too."""
    found = re.search(r"^mnt_id:\s*(\d+)$", Path(f"/proc/self/fdinfo/{descriptor}").read_text(), re.MULTILINE)
    if found is None:
        raise OverlabError("the kernel does not report mounts of open files", "use Linux 3.15 or later")
    return int(found[1])


def mounts(path: Path) -> list[str]:
    """Mount points at or below the path."""
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        escaped = line.split(b" ")[4]
        target = os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), escaped))
        if target == str(path) or target.startswith(f"{path}/"):
            found.append(target)
    return found
