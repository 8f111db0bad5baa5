"""A base image that the settings name: fetched from a URL, its checksum verified, no reference in it followed."""

from __future__ import annotations

import functools
import shutil
import struct
import urllib.request
from pathlib import Path
from urllib.error import URLError

from components.config.platform import MachineImage
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.platform import cache

_FILE = "image"
_QCOW2 = b"QFI\xfb"
_DATA_FILE = 1 << 2
"""Incompatible feature of qcow2: the content is in another file."""
_LIMIT_S = 60.0


def ensure(source: str, sha256: str | None, progress: Progress) -> MachineImage:
    """The image as a local file; one by a URL is in the cache. It has no engine.

    Raises :class:`OverlabError` where it does not exist, has another checksum, or is a qcow2 that names another file:
    the hypervisor would give a node that file of this machine as its disk.
    """
    if "://" in source:
        fetch = functools.partial(_fetch, source, sha256)
        file = cache.entry("given-image", {"url": source, "sha256": sha256}, fetch, progress) / _FILE
    else:
        file = Path(source).resolve()
        if not file.is_file():
            raise OverlabError(
                f"overlab:lab platform.image {source} is not a file", "correct the path, or remove the key"
            )
    digest = cache.file_digest(file)
    if sha256 not in (None, digest):
        raise _other_checksum(source, digest)
    _refuse_references(file, source)
    return MachineImage(source=str(file), content_hash=digest[:16])


def _fetch(url: str, sha256: str | None, directory: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_LIMIT_S) as answer, (directory / _FILE).open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except (URLError, TimeoutError) as error:
        raise OverlabError(f"{url} cannot be fetched: {error}", "correct overlab:lab platform.image") from error
    digest = cache.file_digest(directory / _FILE)
    if sha256 not in (None, digest):
        raise _other_checksum(url, digest)


def _other_checksum(source: str, digest: str) -> OverlabError:
    return OverlabError(
        f"{source} has the SHA-256 {digest}, not overlab:lab platform.image_sha256",
        "compare it with the one that the image's publisher states, and correct the file or the key",
    )


def _refuse_references(file: Path, source: str) -> None:
    with file.open("rb") as opened:
        header = opened.read(80)
    if header[:4] != _QCOW2:
        return  # raw: used as it is
    version, backing = struct.unpack_from(">IQ", header.ljust(80, b"\0"), 4)
    features = struct.unpack_from(">Q", header.ljust(80, b"\0"), 72)[0] if version >= 3 else 0
    kind = "backing" if backing else "data" if features & _DATA_FILE else None
    if kind is not None:
        raise OverlabError(
            f"the image {source} names a {kind} file, which the hypervisor would open on this machine",
            f"use a complete image: qemu-img convert -O qcow2 {source} complete.qcow2",
        )
