"""Entries of the cache in one file: to build without a package source, on this machine later or on another.

The file is an uncompressed tar of entries, ``KIND/KEY/manifest.json`` before its ``KIND/KEY/content/...``. Each
manifest has the SHA-256 of every file of its entry, and nothing is taken over that does not match it.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from overlab.core.errors import OverlabError
from overlab.core.paths import cache_root
from overlab.core.progress import Progress
from overlab.platform import cache

SOURCES = ("rootfs", "images", "pulumi-cli", "tools")
"""The kinds that need a package source; every other kind is built from these."""

_ENTRY = re.compile(r"[a-z][a-z-]*/[0-9a-f]{32}")


def write(file: Path, progress: Progress, kinds: Sequence[str] = SOURCES) -> list[cache.EntryState]:
    """Write the entries of these kinds to a file, completely or not at all; returns them.

    Raises :class:`OverlabError` for a damaged entry, and where there are none.
    """
    entries = [one for one in cache.inspect_entries(full=True) if one.directory.parent.name in kinds]
    if not entries:
        raise OverlabError(f"{cache_root()} has none of {', '.join(kinds)}", "overlab up, which builds them")
    for one in entries:
        if one.problem is not None:
            raise OverlabError(f"{one.directory} is damaged: {one.problem}", "overlab up, which builds it again")
    partial = file.with_name(f".{file.name}.partial")
    try:
        with progress.step(f"writing {file}"), tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
            for one in entries:
                for path in (one.directory / cache.MANIFEST, one.directory / cache.CONTENT):
                    tar.add(path, str(path.relative_to(cache_root())))
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)
    return entries


def read(file: Path, progress: Progress, digest: str = "") -> list[Path]:
    """Take over the entries of such a file that the cache does not have; returns their directories.

    ``digest`` is the SHA-256 that the file must have, if one is known.

    Raises :class:`OverlabError` where the file is not one of :func:`write`, or an entry does not match its checksums;
    then nothing of that entry is in the cache.
    """
    if digest and (found := cache.file_digest(file)) != digest:
        raise OverlabError(f"{file} has SHA-256 {found}, not {digest}", "copy the file again")
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=root) as scratch:
        with progress.step(f"reading {file}"):
            names = _extract(file, Path(scratch))
        return [root / name for name in names if cache.adopt(root / name, Path(scratch) / name, progress)]


def _extract(file: Path, target: Path) -> list[str]:
    try:
        with tarfile.open(file, "r:") as tar:
            names = _entries(file, (member.name for member in tar))
            tar.extractall(target, filter="data")
            return names
    except (OSError, tarfile.TarError) as error:
        raise OverlabError(f"{file} cannot be read: {error}", "overlab cache export FILE writes such a file") from error


def _entries(file: Path, members: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for member in members:
        name = "/".join(member.split("/")[:2])
        if not _ENTRY.fullmatch(name):
            raise OverlabError(f"{file} is no file of overlab's cache: it has {member!r}", "overlab cache export FILE")
        found[name] = None
    return list(found)
