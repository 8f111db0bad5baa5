"""``libvirt:index/volume:Volume``: a disk image in a pool. ID = the volume's key (for dir pools its path)."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import libvirt
from pydantic import model_validator

from bundled_plugins.libvirt.base import LibvirtResource
from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import STORAGE_VOL_EXIST, error_context, message
from bundled_plugins.libvirt.image import Image, local_image
from bundled_plugins.libvirt.storage import (
    await_volume,
    current_volume,
    delete_volume,
    pool_named,
    refresh,
    upload,
    volume_format,
    volume_with_key,
)
from bundled_plugins.libvirt.xmltree import add, element, parse, text_of, to_xml
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.model_resource import NAME_LIMIT
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties

DEFAULT_POOL = "default"
_KIB = 1024


def _same_size(old: Any, new: Any) -> bool:
    """qcow2 rounds up to whole KiB."""
    return isinstance(old, int) and isinstance(new, int) and -(-new // _KIB) * _KIB == old


class VolumeInputs(Model):
    unsupported = ("xml",)

    name: Annotated[str | None, Prop(replace=True, autoname=NAME_LIMIT)] = None
    pool: Annotated[str | None, Prop(replace=True, default=DEFAULT_POOL)] = None
    source: Annotated[str | None, Prop(replace=True, write_only=True)] = None
    size: Annotated[int | None, Prop(replace=True, computed=True, same=_same_size)] = None
    format: Annotated[str | None, Prop(replace=True, computed=True)] = None
    base_volume_id: Annotated[str | None, Prop(replace=True, write_only=True)] = None
    base_volume_name: Annotated[str | None, Prop(replace=True, write_only=True)] = None
    base_volume_pool: Annotated[str | None, Prop(replace=True, write_only=True)] = None

    @model_validator(mode="after")
    def _one_origin(self) -> VolumeInputs:
        if isinstance(self.source, str):
            for name, value in (
                ("size", self.size),
                ("baseVolumeId", self.base_volume_id),
                ("baseVolumeName", self.base_volume_name),
            ):
                if isinstance(value, str | int):
                    raise ValueError(f"'{name}' can't be specified when also 'source' is given")
        if isinstance(self.base_volume_id, str) and isinstance(self.base_volume_name, str):
            raise ValueError("'baseVolumeName' can't be specified when also 'baseVolumeId' is given")
        return self


class Volume(LibvirtResource):
    """A volume: empty, a copy of an image file, or an overlay over a base volume.

    An existing volume of that name is adopted, and overwritten if there is a ``source``.
    """

    token = "libvirt:index/volume:Volume"
    model = VolumeInputs

    def create_object(self, op: Operation, host: Hypervisor, inputs: Properties) -> str:
        image = _image(inputs)
        with host.pool_locked(op, inputs["pool"]):
            pool = pool_named(host, inputs["pool"])
            refresh(op, pool)
            xml = _definition(inputs, image, _base(host, inputs))
            volume, adopted = _created(pool, inputs["name"], xml)
            if image is not None:
                self._fill(op, host, volume, image, adopted)
                refresh(op, pool)
        key = str(volume.key())
        await_volume(op, host, key)
        return key

    def _fill(self, op: Operation, host: Hypervisor, volume: Any, image: Image, adopted: bool) -> None:
        blank = not adopted and volume_format(volume) == "raw"
        try:
            upload(op, host, volume, image.path, image.size, blank=blank)
        except BaseException:
            if not adopted:
                with contextlib.suppress(libvirt.libvirtError):
                    volume.delete(0)
            raise

    def read_object(self, op: Operation, host: Hypervisor, id: str, known: Properties) -> tuple[str, Properties] | None:
        volume = current_volume(op, host, id, known.get("pool"))
        if volume is None:
            return None
        return id, {
            "name": volume.name(),
            "pool": volume.storagePoolLookupByVolume().name(),
            "size": volume.info()[1],
            "format": volume_format(volume),
        }

    def delete_object(self, op: Operation, host: Hypervisor, id: str, outputs: Properties) -> None:
        delete_volume(op, host, id, outputs.get("pool") or DEFAULT_POOL)


def _created(pool: Any, name: str, xml: str) -> tuple[Any, bool]:
    """The volume, and whether it existed before."""
    try:
        return pool.createXML(xml, 0), False
    except libvirt.libvirtError as error:
        if error.get_error_code() != STORAGE_VOL_EXIST:
            raise ProviderError(f"error creating libvirt volume: {message(error)}") from error
    with error_context(f"error looking up the existing libvirt volume '{name}'"):
        return pool.storageVolLookupByName(name), True


def _base(host: Hypervisor, inputs: Properties) -> Any | None:
    if inputs.get("baseVolumeId"):
        key = inputs["baseVolumeId"]
        volume = volume_with_key(host, key, inputs.get("baseVolumePool") or inputs["pool"])
        if volume is None:
            raise ProviderError(f"can't retrieve volume ID '{key}': Storage volume not found: no such volume")
        return volume
    if inputs.get("baseVolumeName"):
        pool = pool_named(host, inputs.get("baseVolumePool") or inputs["pool"])
        with error_context(f"can't retrieve base volume with name '{inputs['baseVolumeName']}'"):
            return pool.storageVolLookupByName(inputs["baseVolumeName"])
    return None


def _image(inputs: Properties) -> Image | None:
    if not inputs.get("source"):
        return None
    image = local_image(inputs["source"])
    if image.is_qcow2 and inputs.get("format") not in (None, "", "qcow2"):
        raise ProviderError(
            f"the image {image.path} is qcow2, but the volume's format is '{inputs['format']}'; leave 'format' out"
        )
    return image


def _definition(inputs: Properties, image: Image | None, base: Any | None) -> str:
    root = element("volume")
    add(root, "name", inputs["name"])
    add(root, "capacity", _capacity(inputs, image, base), unit="bytes")
    target = add(root, "target")
    if image is not None:
        # Made blank, so that it can be filled sparsely; libvirt then finds out what the image really is.
        add(root, "allocation", 0, unit="bytes")
        add(target, "format", type="raw")
    else:
        add(target, "format", type=inputs.get("format") or "qcow2")
    add(add(target, "permissions"), "mode", "600")
    if base is not None:
        described = parse(base.XMLDesc(0))
        backing = add(root, "backingStore")
        add(backing, "path", text_of(described, "target/path"))
        add(backing, "format", type=volume_format(base))
    return to_xml(root)


def _capacity(inputs: Properties, image: Image | None, base: Any | None) -> int:
    size = inputs.get("size")
    if image is not None:
        return image.size
    if base is None:
        return int(size or 1)
    base_capacity = int(base.info()[1])
    if size and size < base_capacity:
        raise ProviderError(
            "when 'size' is specified, it shouldn't be smaller than the backing store specified with 'base_volume_id' "
            f"or 'base_volume_name/base_volume_pool': {size} is less than the {base_capacity} bytes of {base.key()}"
        )
    return int(size or base_capacity)
