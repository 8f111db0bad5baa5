"""The source of a volume: a file on this machine, what it is, and whether it may be used."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bundled_plugins.runtime.errors import ProviderError

_QCOW2_MAGIC = b"QFI\xfb"


@dataclass(frozen=True)
class Image:
    """A local image file."""

    path: Path
    size: int
    """Bytes of the file (not of the disk in it)."""
    is_qcow2: bool


def local_image(source: str) -> Image:
    """The image that ``source`` (a path or a ``file://`` URL) names.

    Raises :class:`ProviderError` for other schemes and for files that cannot be read.
    """
    path = _path(source)
    try:
        with path.open("rb") as file:
            head = file.read(8)
            size = file.seek(0, 2)
    except OSError as error:
        raise ProviderError(f"error while determining image type for {source}: {error.strerror}: {path}") from error
    return Image(path.resolve(), size, _is_qcow2(head))


def _path(source: str) -> Path:
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        raise ProviderError(
            f"the volume source {source} is not supported by the bundled libvirt plugin, which reads local files only; "
            "download the image and give its path, or use the official plugin"
        )
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme and "://" in source:
        raise ProviderError(f"don't know how to read from '{source}': use a local path or file://")
    return Path(source)


def _is_qcow2(head: bytes) -> bool:
    return len(head) == 8 and head[:4] == _QCOW2_MAGIC and struct.unpack(">I", head[4:])[0] >= 2
