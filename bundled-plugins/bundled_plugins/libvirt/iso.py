"""A cloud-init "NoCloud" disk as bytes: written by mkisofs, and read back from plain ISO 9660."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bundled_plugins.runtime.errors import ProviderError

FILES: Final = {"userData": "user-data", "metaData": "meta-data", "networkConfig": "network-config"}
"""File in the disk by property."""

_PLAIN_NAMES: Final = {"USER_DAT": "userData", "META_DAT": "metaData", "NETWORK_": "networkConfig"}
"""What mkisofs makes of the file names in ISO 9660."""

_SECTOR: Final = 2048
_MKISOFS_LIMIT_S: Final = 60


class NotAnIso(Exception):
    """The bytes are no ISO 9660 file system."""


def made(texts: Mapping[str, str]) -> bytes:
    """The ISO with the three files (empty where ``texts`` has none), labelled ``cidata``.

    Raises :class:`ProviderError` when ``mkisofs`` is missing or fails. The texts are written to a directory that only
    this user can read and that is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="overlab-cloudinit-") as directory:
        for key, file in FILES.items():
            Path(directory, file).write_text(texts.get(key) or "", encoding="utf-8", newline="")
        command = ["mkisofs", "-output", "disk.iso", "-volid", "cidata", "-joliet", "-rock", *FILES.values()]
        what = "error while starting the creation of CloudInit's ISO image"
        try:
            done = subprocess.run(
                command, cwd=directory, capture_output=True, text=True, timeout=_MKISOFS_LIMIT_S, check=False
            )
        except FileNotFoundError as error:
            raise ProviderError(f"{what}: the program mkisofs is not on PATH; install genisoimage") from error
        except subprocess.TimeoutExpired as error:
            raise ProviderError(f"{what}: mkisofs took more than {_MKISOFS_LIMIT_S} s") from error
        if done.returncode != 0:
            raise ProviderError(f"{what}: mkisofs ended with {done.returncode}: {done.stderr.strip()[-1000:]}")
        return Path(directory, "disk.iso").read_bytes()


def texts_of(image: bytes) -> dict[str, str]:
    """The texts in the disk by property. Raises :class:`NotAnIso`."""
    try:
        return {
            _PLAIN_NAMES[name]: content.decode("utf-8", "replace")
            for name, content in _root_files(image)
            if name in _PLAIN_NAMES
        }
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NotAnIso(f"damaged ISO 9660 file system: {error}") from error


def _root_files(image: bytes) -> Iterator[tuple[str, bytes]]:
    descriptor = image[16 * _SECTOR : 17 * _SECTOR]
    if descriptor[:6] != b"\x01CD001":
        raise NotAnIso("no ISO 9660 volume descriptor")
    root = descriptor[156:190]
    directory = _extent(image, root)
    position = 0
    while position < len(directory):
        length = directory[position]
        if length == 0:
            # Records do not cross sectors; the rest of this one is padding.
            position = (position // _SECTOR + 1) * _SECTOR
            continue
        record = directory[position : position + length]
        position += length
        if not record[25] & 2:
            name = record[33 : 33 + record[32]].decode("ascii")
            yield name.split(";")[0].split(".")[0], _extent(image, record)


def _extent(image: bytes, record: bytes) -> bytes:
    (start,) = struct.unpack_from("<I", record, 2)
    (size,) = struct.unpack_from("<I", record, 10)
    content = image[start * _SECTOR : start * _SECTOR + size]
    if len(content) != size:
        raise NotAnIso("damaged ISO 9660 file system: a file goes beyond its end")
    return content
