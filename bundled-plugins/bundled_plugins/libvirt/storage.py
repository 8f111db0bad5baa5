"""Storage pools and volumes: lookups that start an inactive pool, transfers that can be stopped."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
from pathlib import Path
from typing import Any, BinaryIO

import libvirt

from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import find, message, not_found
from bundled_plugins.libvirt.waits import wait_until
from bundled_plugins.libvirt.xmltree import attribute, parse
from bundled_plugins.runtime.errors import Cancelled, ProviderError
from bundled_plugins.runtime.resource import Operation

CHUNK_BYTES = 262_120
"""What one message of libvirt's stream protocol carries; larger buffers are only cut up again."""


def pool_named(host: Hypervisor, name: str) -> Any:
    """The pool; raises :class:`ProviderError` when there is none."""
    try:
        return host.connection.storagePoolLookupByName(name)
    except libvirt.libvirtError as error:
        raise ProviderError(f"can't find storage pool '{name}': {message(error)}") from error


def activate(pool: Any) -> bool:
    """Start the pool if it is inactive; whether that was needed."""
    if pool.isActive():
        return False
    try:
        pool.create(0)
    except libvirt.libvirtError as error:
        if pool.isActive():
            return False
        raise ProviderError(
            f"the storage pool '{pool.name()}' is not active and cannot be started: {message(error)}"
        ) from error
    return True


def refresh(op: Operation, pool: Any, limit_s: float = 60.0) -> None:
    """Refresh the pool's list of volumes; an inactive pool is started first.

    A transfer by another process makes libvirt refuse; that is waited for.
    """
    activate(pool)

    def refreshed() -> str:
        try:
            pool.refresh(0)
        except libvirt.libvirtError as error:
            return message(error)
        return ""

    wait_until(op, f"the refresh of storage pool '{pool.name()}'", refreshed, limit_s)


def volume_with_key(host: Hypervisor, key: str, pool_name: str | None) -> Any | None:
    """The volume, or None when it is gone. Its pool is started if that is why libvirt does not see it."""
    what = "error retrieving the volume"
    volume = find(host.connection.storageVolLookupByKey, key, what)
    if volume is not None:
        return volume
    if pool_name:
        pool = find(host.connection.storagePoolLookupByName, pool_name, "error retrieving the storage pool")
    else:
        directory = posixpath.dirname(key)
        pool = find(host.connection.storagePoolLookupByTargetPath, directory, "error retrieving the storage pool of")
    if pool is None or not activate(pool):
        return None
    return find(host.connection.storageVolLookupByKey, key, what)


def current_volume(op: Operation, host: Hypervisor, key: str, pool_name: str | None) -> Any | None:
    """The volume as its file is now, None when it is gone.

    libvirt learns of a file's new content, size and absence only by a refresh of the pool.
    """
    volume = volume_with_key(host, key, pool_name)
    if volume is None:
        return None
    pool = volume.storagePoolLookupByVolume()
    with host.pool_locked(op, pool.name()), contextlib.suppress(libvirt.libvirtError):
        pool.refresh(0)
    return volume_with_key(host, key, pool_name)


def volume_format(volume: Any) -> str:
    return attribute(parse(volume.XMLDesc(0)), "target/format", "type")


def delete_volume(op: Operation, host: Hypervisor, key: str, pool_name: str) -> None:
    """Delete the volume; gone already = success."""
    volume = volume_with_key(host, key, pool_name)
    if volume is None:
        return
    pool = volume.storagePoolLookupByVolume()
    with host.pool_locked(op, pool.name()):
        refresh(op, pool)
        try:
            volume.delete(0)
        except libvirt.libvirtError as error:
            if not_found(error):
                return
            raise ProviderError(f"can't delete volume {key}: {message(error)}") from error
    wait_until(op, f"the end of volume {key}", lambda: "" if not _has(host, key) else "it still exists")


def await_volume(op: Operation, host: Hypervisor, key: str) -> None:
    """Wait until the volume can be looked up."""
    wait_until(op, f"volume {key}", lambda: "" if _has(host, key) else "it does not exist yet")


def _has(host: Hypervisor, key: str) -> bool:
    return find(host.connection.storageVolLookupByKey, key, "error retrieving the volume") is not None


def upload(op: Operation, host: Hypervisor, volume: Any, source: Path, size: int, *, blank: bool = False) -> None:
    """Write ``size`` bytes of the file into the volume; a Cancel stops it between two chunks.

    ``blank``: the volume holds nothing but zeros: then holes stay holes. libvirt skips a hole without
    clearing it, so over older content the zeros have to be sent.
    """
    stream = host.connection.newStream(0)
    try:
        volume.upload(stream, 0, size, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM if blank else 0)
        with source.open("rb") as file:
            _send(op, stream, file, size, holes=blank)
        stream.finish()
    except BaseException as error:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        if isinstance(error, libvirt.libvirtError):
            raise ProviderError(f"error while uploading {source} to {volume.name()}: {message(error)}") from error
        if isinstance(error, OSError):
            raise ProviderError(f"error while reading {source}: {error.strerror}") from error
        raise


def _send(op: Operation, stream: Any, file: BinaryIO, size: int, *, holes: bool) -> None:
    position = 0
    while position < size:
        data, end = _next_section(file.fileno(), position, size) if holes else (0, size)
        if data > position:
            stream.sendHole(data - position)
        position = data
        while position < end:
            stop_if_cancelled(op)
            chunk = os.pread(file.fileno(), min(CHUNK_BYTES, end - position), position)
            if not chunk:
                raise ProviderError(f"{file.name} shrank while it was read: {position} of {size} bytes were there")
            position += stream.send(chunk)


def _next_section(descriptor: int, position: int, size: int) -> tuple[int, int]:
    """Begin and end of the next data at or after the position; (size, size) when only a hole follows."""
    try:
        data = min(os.lseek(descriptor, position, os.SEEK_DATA), size)
        return data, min(os.lseek(descriptor, data, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO and os.fstat(descriptor).st_size >= size:
            return size, size
        return position, size


def download(op: Operation, host: Hypervisor, volume: Any, limit: int) -> bytes:
    """The volume's content; refuses more than ``limit`` bytes."""
    size = volume.info()[1]
    if size > limit:
        raise ProviderError(f"volume {volume.key()} holds {size} bytes; at most {limit} were expected")
    stream = host.connection.newStream(0)
    parts: list[bytes] = []
    try:
        volume.download(stream, 0, 0, 0)
        while chunk := stream.recv(CHUNK_BYTES):
            stop_if_cancelled(op)
            parts.append(chunk)
        stream.finish()
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    return b"".join(parts)


def stop_if_cancelled(op: Operation) -> None:
    """Raise :class:`Cancelled` when the engine has called Cancel."""
    if op.cancelled.is_set():
        raise Cancelled("cancelled")
