"""Storage pools and volumes as the other modules use them: lookups that heal, transfers that can be stopped."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any, BinaryIO

import libvirt

from plugins.libvirt.connection import Hypervisor
from plugins.libvirt.errors import NO_STORAGE_VOL, gone, message
from plugins.libvirt.waits import until
from plugins.libvirt.xmltree import attribute, parse
from plugins.runtime.errors import Cancelled, ProviderError
from plugins.runtime.resource import Operation

CHUNK_BYTES = 4 * 1024 * 1024


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
    """Let libvirt look at the pool's files again; an inactive pool is started first.

    A transfer by another process makes libvirt refuse; that is waited for.
    """
    activate(pool)

    def refreshed() -> str:
        try:
            pool.refresh(0)
        except libvirt.libvirtError as error:
            return message(error)
        return ""

    until(op, f"the refresh of storage pool '{pool.name()}'", refreshed, limit_s)


def volume_with_key(host: Hypervisor, key: str, pool_name: str | None) -> Any | None:
    """The volume, or None when it is gone. Its pool is started if that is why libvirt does not see it."""
    try:
        return host.connection.storageVolLookupByKey(key)
    except libvirt.libvirtError as error:
        if error.get_error_code() != NO_STORAGE_VOL:
            raise
    if not pool_name:
        return None
    try:
        pool = host.connection.storagePoolLookupByName(pool_name)
    except libvirt.libvirtError as error:
        if gone(error):
            return None
        raise
    if not activate(pool):
        return None
    try:
        return host.connection.storageVolLookupByKey(key)
    except libvirt.libvirtError as error:
        if error.get_error_code() == NO_STORAGE_VOL:
            return None
        raise


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
            if gone(error):
                return
            raise ProviderError(f"can't delete volume {key}: {message(error)}") from error
    until(op, f"the end of volume {key}", lambda: "" if not _has(host, key) else "it is still there")


def await_volume(op: Operation, host: Hypervisor, key: str) -> None:
    """Wait until the volume can be looked up."""
    until(op, f"volume {key}", lambda: "" if _has(host, key) else "it is not there")


def _has(host: Hypervisor, key: str) -> bool:
    try:
        host.connection.storageVolLookupByKey(key)
    except libvirt.libvirtError as error:
        if error.get_error_code() == NO_STORAGE_VOL:
            return False
        raise
    return True


def upload(op: Operation, host: Hypervisor, volume: Any, source: Path, size: int) -> None:
    """Write ``size`` bytes of the file into the volume, holes as holes; a Cancel stops it between two chunks."""
    stream = host.connection.newStream(0)
    try:
        volume.upload(stream, 0, size, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
        with source.open("rb") as file:
            _send(op, stream, file, size)
        stream.finish()
    except BaseException as error:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        if isinstance(error, libvirt.libvirtError):
            raise ProviderError(f"error while uploading {source} to {volume.name()}: {message(error)}") from error
        if isinstance(error, OSError):
            raise ProviderError(f"error while reading {source}: {error.strerror}") from error
        raise


def _send(op: Operation, stream: Any, file: BinaryIO, size: int) -> None:
    position = 0
    while position < size:
        _stop_if_cancelled(op)
        hole = min(_hole(file, position), size - position)
        if hole:
            stream.sendHole(hole)
            position += hole
            continue
        file.seek(position)
        chunk = file.read(min(CHUNK_BYTES, size - position))
        if not chunk:
            raise ProviderError(f"{file.name} shrank while it was read: {position} of {size} bytes were there")
        view = memoryview(chunk)
        while view:
            sent = stream.send(bytes(view))
            view = view[sent:]
        position += len(chunk)


def _hole(file: BinaryIO, position: int) -> int:
    """Length of the hole at the position; 0 when data begins there."""
    try:
        return os.lseek(file.fileno(), position, os.SEEK_DATA) - position
    except OSError as error:
        if error.errno == errno.ENXIO:
            return os.fstat(file.fileno()).st_size - position
        return 0


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
            _stop_if_cancelled(op)
            parts.append(chunk)
        stream.finish()
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    return b"".join(parts)


def _stop_if_cancelled(op: Operation) -> None:
    if op.cancelled.is_set():
        raise Cancelled("cancelled")
