"""``libvirt:index/pool:Pool``: a directory (or LVM group) that holds volumes. ID = the pool's UUID."""

from __future__ import annotations

import contextlib
import posixpath
from typing import Annotated, Any

import libvirt
from pydantic import field_validator, model_validator

from bundled_plugins.libvirt.base import NAME_LIMIT, LibvirtResource
from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import gone, message, told
from bundled_plugins.libvirt.ownership import made_here, new_uuid
from bundled_plugins.libvirt.waits import until
from bundled_plugins.libvirt.xmltree import add, attribute, element, parse, text_of, written
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties


def _same_path(old: Any, new: Any) -> bool:
    """libvirt strips a trailing slash."""
    return posixpath.normpath(str(old)) == posixpath.normpath(str(new))


class PoolXml(Model):
    xslt: Annotated[str | None, Prop(replace=True, write_only=True)] = None


class PoolTarget(Model):
    path: Annotated[str | None, Prop(replace=True, computed=True, same=_same_path)] = None


class PoolSourceDevice(Model):
    path: Annotated[str | None, Prop(replace=True)] = None


class PoolSource(Model):
    name: Annotated[str | None, Prop(replace=True)] = None
    devices: Annotated[list[PoolSourceDevice] | None, Prop(replace=True)] = None


class PoolInputs(Model):
    name: Annotated[str | None, Prop(replace=True, autoname=NAME_LIMIT)] = None
    type: Annotated[str, Prop(replace=True)]
    target: Annotated[PoolTarget | None, Prop(computed=True)] = None
    path: Annotated[str | None, Prop(replace=True, same=_same_path)] = None
    source: Annotated[PoolSource | None, Prop(replace=True)] = None
    capacity: Annotated[int | None, Prop(replace=True, computed=True)] = None
    allocation: Annotated[int | None, Prop(replace=True, computed=True)] = None
    available: Annotated[int | None, Prop(replace=True, computed=True)] = None
    xml: Annotated[PoolXml | None, Prop(replace=True)] = None

    @field_validator("type", mode="after")
    @classmethod
    def _supported(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in ("dir", "logical"):
            raise ValueError(f'only storage pools of type "dir" and "logical" are supported, not \'{value}\'')
        return value

    @model_validator(mode="after")
    def _one_path(self) -> PoolInputs:
        if self.path is not None and isinstance(self.target, PoolTarget) and self.target.path is not None:
            raise ValueError("'path' conflicts with 'target.path'; keep 'target.path'")
        return self


class Pool(LibvirtResource):
    """A storage pool. Deleting a ``dir`` pool removes its directory, which must be empty by then."""

    token = "libvirt:index/pool:Pool"
    model = PoolInputs

    def make(self, op: Operation, host: Hypervisor, inputs: Properties) -> str:
        name = inputs["name"]
        with host.pool_locked(op, name):
            self._refuse_existing(op, host, name)
            xml = _definition(inputs, new_uuid(op))
            with told("error creating libvirt storage pool"):
                pool = host.connection.storagePoolDefineXML(xml, 0)
            try:
                self._start(pool, _builds(inputs["type"], bool((inputs.get("source") or {}).get("devices"))))
            except ProviderError:
                _forget(pool)
                raise
            until(op, f"storage pool '{name}' to run", lambda: "" if pool.isActive() else "it is not active")
            return str(pool.UUIDString())

    def _refuse_existing(self, op: Operation, host: Hypervisor, name: str) -> None:
        try:
            pool = host.connection.storagePoolLookupByName(name)
        except libvirt.libvirtError as error:
            if gone(error):
                return
            raise
        if not made_here(op, pool.UUIDString()):
            raise ProviderError(f"storage pool '{name}' already exists")
        op.log("info", f"the storage pool '{name}' that an interrupted run left is made anew", False)
        _forget(pool)

    def _start(self, pool: Any, build: bool) -> None:
        if build:
            with told("error building libvirt storage pool"):
                pool.build(0)
        with told("error setting up libvirt storage pool"):
            pool.setAutostart(1)
        with told("error starting libvirt storage pool"):
            pool.create(0)
        with told("error refreshing libvirt storage pool"):
            pool.refresh(0)

    def observe(self, op: Operation, host: Hypervisor, id: str, known: Properties) -> Properties | None:
        pool = _lookup(host, id)
        if pool is None:
            return None
        root = parse(pool.XMLDesc(0))
        _state, capacity, allocation, available = pool.info()
        path = text_of(root, "target/path")
        live: Properties = {
            "name": pool.name(),
            "type": root.get("type", ""),
            "capacity": capacity,
            "allocation": allocation,
            "available": available,
        }
        if known.get("path"):
            live["path"] = path
        live["target"] = {"path": path}
        source = _source(root)
        if source or known.get("source"):
            live["source"] = source
        return live

    def remove(self, op: Operation, host: Hypervisor, id: str, outputs: Properties) -> None:
        pool = _lookup(host, id)
        if pool is None:
            return
        name = pool.name()
        with host.pool_locked(op, name):
            root = parse(pool.XMLDesc(0))
            try:
                if pool.isActive():
                    with told("error deleting storage pool"):
                        pool.destroy()
                if _builds(root.get("type", ""), root.find("source/device") is not None):
                    _delete_target(pool, text_of(root, "target/path"))
                with told("error deleting storage pool"):
                    pool.undefine()
            except ProviderError as error:
                if _lookup(host, id) is not None:
                    # What holds the directory can only be seen and removed through an active pool.
                    with contextlib.suppress(libvirt.libvirtError):
                        pool.create(0)
                    raise error
        until(op, f"the end of storage pool '{name}'", lambda: "" if _lookup(host, id) is None else "it is still there")


def _lookup(host: Hypervisor, id: str) -> Any | None:
    try:
        return host.connection.storagePoolLookupByUUIDString(id)
    except libvirt.libvirtError as error:
        if gone(error):
            return None
        raise ProviderError(f"can't look up the storage pool '{id}': {message(error)}") from error


def _delete_target(pool: Any, path: str) -> None:
    try:
        pool.delete(0)
    except libvirt.libvirtError as error:
        if "No such file or directory" in message(error):
            return
        remedy = "; remove what lies there, or keep the pool" if "not empty" in message(error) else ""
        raise ProviderError(f"error deleting storage pool: {message(error)} (target {path}){remedy}") from error


def _forget(pool: Any) -> None:
    """Leave no half-made pool behind."""
    for step in (pool.destroy, pool.undefine):
        with contextlib.suppress(libvirt.libvirtError):
            step()


def _builds(kind: str, has_devices: bool) -> bool:
    """Whether libvirt makes and removes the target: always for dir, for logical only with devices of its own."""
    return kind == "dir" or has_devices


def _definition(inputs: Properties, uuid: str) -> str:
    root = element("pool", type=inputs["type"])
    add(root, "name", inputs["name"])
    add(root, "uuid", uuid)
    source = inputs.get("source") or {}
    if source:
        made = add(root, "source")
        for device in source.get("devices") or []:
            add(made, "device", path=device.get("path"))
        if source.get("name"):
            add(made, "name", source["name"])
    path = (inputs.get("target") or {}).get("path") or inputs.get("path")
    if not path and inputs["type"] == "dir":
        raise ProviderError('"target.path" attribute is required for storage pools of type "dir"')
    if path:
        add(add(root, "target"), "path", path)
    return written(root, (inputs.get("xml") or {}).get("xslt"))


def _source(root: Any) -> Properties:
    found: Properties = {}
    name = text_of(root, "source/name")
    if name:
        found["name"] = name
    devices = [{"path": device.get("path", "")} for device in root.findall("source/device")]
    if devices:
        found["devices"] = devices
    elif not attribute(root, "source/device", "path") and not found:
        return {}
    return found
