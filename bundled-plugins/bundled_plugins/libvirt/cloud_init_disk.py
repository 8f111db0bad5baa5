"""``libvirt:index/cloudInitDisk:CloudInitDisk``: first-boot data for one machine. ID = ``<volume key>;<uuid4>``."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from pathlib import Path
from typing import Annotated, Any

import libvirt

from bundled_plugins.libvirt import iso
from bundled_plugins.libvirt.base import LibvirtResource
from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import STORAGE_VOL_EXIST, message
from bundled_plugins.libvirt.storage import (
    await_volume,
    current_volume,
    delete_volume,
    download,
    pool_named,
    refresh,
    upload,
)
from bundled_plugins.libvirt.xmltree import add, element, to_xml
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.model_resource import NAME_LIMIT
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties

DEFAULT_POOL = "default"

LIMIT_BYTES = 256 * 1024 * 1024
"""No cloud-init disk is larger; a volume that is, is not read."""


class CloudInitDiskInputs(Model):
    name: Annotated[str | None, Prop(replace=True, autoname=NAME_LIMIT)] = None
    pool: Annotated[str | None, Prop(replace=True, default=DEFAULT_POOL)] = None
    user_data: Annotated[str | None, Prop(replace=True)] = None
    meta_data: Annotated[str | None, Prop(replace=True)] = None
    network_config: Annotated[str | None, Prop(replace=True)] = None


class CloudInitDisk(LibvirtResource):
    """An ISO volume with ``user-data``, ``meta-data`` and ``network-config``, labelled ``cidata``.

    An existing volume of that name is an error, unless it is this very disk, left by an interrupted run.
    """

    token = "libvirt:index/cloudInitDisk:CloudInitDisk"
    model = CloudInitDiskInputs

    def create_object(self, op: Operation, host: Hypervisor, inputs: Properties) -> str:
        image = iso.made(inputs)
        with host.pool_locked(op, inputs["pool"]):
            pool = pool_named(host, inputs["pool"])
            refresh(op, pool)
            volume = _created(op, host, pool, inputs, len(image))
            try:
                _write(op, host, volume, image)
            except BaseException:
                with contextlib.suppress(libvirt.libvirtError):
                    volume.delete(0)
                raise
            refresh(op, pool)
        key = str(volume.key())
        await_volume(op, host, key)
        return f"{key};{uuid.uuid4()}"

    def read_object(self, op: Operation, host: Hypervisor, id: str, known: Properties) -> tuple[str, Properties] | None:
        volume = current_volume(op, host, volume_key(id), known.get("pool"))
        if volume is None:
            return None
        try:
            texts = iso.texts_of(download(op, host, volume, LIMIT_BYTES))
        except iso.NotAnIso as error:
            raise ProviderError(f"the cloud-init disk {volume_key(id)} cannot be read: {error}") from error
        facts = {"name": volume.name(), "pool": volume.storagePoolLookupByVolume().name()}
        return id, facts | dict.fromkeys(iso.FILES, "") | texts

    def delete_object(self, op: Operation, host: Hypervisor, id: str, outputs: Properties) -> None:
        delete_volume(op, host, volume_key(id), outputs.get("pool") or DEFAULT_POOL)


def volume_key(id: str) -> str:
    """The key of the volume that an ID of this resource names; raises :class:`ProviderError` for other ids."""
    key, separator, _unique = id.partition(";")
    if not separator:
        raise ProviderError(f"{id} is not a valid key: the id of a CloudInitDisk is '<volume key>;<uuid>'")
    return key


def _created(op: Operation, host: Hypervisor, pool: Any, inputs: Properties, size: int) -> Any:
    name = inputs["name"]
    root = element("volume")
    add(root, "name", name)
    add(root, "capacity", size, unit="B")
    target = add(root, "target")
    add(target, "format", type="raw")
    add(add(target, "permissions"), "mode", "600")
    what = f"error creating libvirt volume for cloudinit device {name}"
    try:
        return pool.createXML(to_xml(root), 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != STORAGE_VOL_EXIST:
            raise ProviderError(f"{what}: {message(error)}") from error
        existing = pool.storageVolLookupByName(name)
        if not _left_by_interrupted_run(op, host, existing, inputs):
            raise ProviderError(f"{what}: {message(error)}; remove it, or choose another name") from error
        return existing


def _left_by_interrupted_run(op: Operation, host: Hypervisor, volume: Any, inputs: Properties) -> bool:
    """Whether the volume holds exactly these texts, or nothing yet: then writing it again changes nothing."""
    if volume.info()[1] > LIMIT_BYTES:
        return False
    content = download(op, host, volume, LIMIT_BYTES)
    if not any(content):
        return True
    try:
        found = iso.texts_of(content)
    except iso.NotAnIso:
        return False
    return all((inputs.get(key) or "") == found.get(key) for key in iso.FILES)


def _write(op: Operation, host: Hypervisor, volume: Any, image: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="overlab-cloudinit-") as directory:
        path = Path(directory, "disk.iso")
        path.write_bytes(image)
        upload(op, host, volume, path, len(image))
