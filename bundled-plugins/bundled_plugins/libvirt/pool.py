"""``libvirt:index/pool:Pool``: a directory that holds volumes. ID = the pool's UUID."""

from __future__ import annotations

import contextlib
import posixpath
from typing import Annotated, Any

import libvirt
from pydantic import field_validator, model_validator

from bundled_plugins.libvirt.base import LibvirtResource
from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import error_context, find, message
from bundled_plugins.libvirt.ownership import created_by_this_stack, new_uuid
from bundled_plugins.libvirt.waits import wait_until
from bundled_plugins.libvirt.xmltree import add, element, parse, text_of, to_xml
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.model_resource import NAME_LIMIT
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties


def _same_path(old: Any, new: Any) -> bool:
    """libvirt strips a trailing slash."""
    return posixpath.normpath(str(old)) == posixpath.normpath(str(new))


class PoolTarget(Model):
    path: Annotated[str | None, Prop(replace=True, computed=True, same=_same_path)] = None


class PoolInputs(Model):
    unsupported = ("source", "xml")

    name: Annotated[str | None, Prop(replace=True, autoname=NAME_LIMIT)] = None
    type: Annotated[str, Prop(replace=True)]
    target: Annotated[PoolTarget | None, Prop(computed=True)] = None
    path: Annotated[str | None, Prop(replace=True, same=_same_path)] = None
    capacity: Annotated[int | None, Prop(replace=True, computed=True)] = None
    allocation: Annotated[int | None, Prop(replace=True, computed=True)] = None
    available: Annotated[int | None, Prop(replace=True, computed=True)] = None

    @field_validator("type", mode="after")
    @classmethod
    def _supported(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "dir":
            raise ValueError(
                f"storage pools of type '{value}' are not supported by the bundled plugin; "
                "use 'dir', or the official plugin"
            )
        return value

    @model_validator(mode="after")
    def _one_path(self) -> PoolInputs:
        if self.path is not None and isinstance(self.target, PoolTarget) and self.target.path is not None:
            raise ValueError("'path' conflicts with 'target.path'; keep 'target.path'")
        return self


class Pool(LibvirtResource):
    """A directory as storage pool. Deleting it removes the directory, which must be empty by then."""

    token = "libvirt:index/pool:Pool"
    model = PoolInputs

    def create_object(self, op: Operation, host: Hypervisor, inputs: Properties) -> str:
        name = inputs["name"]
        with host.pool_locked(op, name):
            self._refuse_existing(op, host, name)
            xml = _definition(inputs, new_uuid(op))
            with error_context("error creating libvirt storage pool"):
                pool = host.connection.storagePoolDefineXML(xml, 0)
            try:
                self._start(pool)
            except ProviderError:
                _discard(pool)
                raise
            wait_until(op, f"storage pool '{name}' to run", lambda: "" if pool.isActive() else "it is not active")
            return str(pool.UUIDString())

    def _refuse_existing(self, op: Operation, host: Hypervisor, name: str) -> None:
        pool = find(host.connection.storagePoolLookupByName, name, "can't look up the storage pool")
        if pool is None:
            return
        if not created_by_this_stack(op, pool.UUIDString()):
            raise ProviderError(f"storage pool '{name}' already exists")
        op.log("info", f"the storage pool '{name}' left by an interrupted run is recreated", False)
        _discard(pool)

    def _start(self, pool: Any) -> None:
        with error_context("error building libvirt storage pool"):
            pool.build(0)
        with error_context("error setting up libvirt storage pool"):
            pool.setAutostart(1)
        with error_context("error starting libvirt storage pool"):
            pool.create(0)
        with error_context("error refreshing libvirt storage pool"):
            pool.refresh(0)

    def read_object(self, op: Operation, host: Hypervisor, id: str, known: Properties) -> tuple[str, Properties] | None:
        pool = _lookup(host, id)
        if pool is None:
            return None
        root = parse(pool.XMLDesc(0))
        _state, capacity, allocation, available = pool.info()
        path = text_of(root, "target/path")
        return id, {
            "name": pool.name(),
            "type": root.get("type", ""),
            "capacity": capacity,
            "allocation": allocation,
            "available": available,
            "target": {"path": path},
        } | ({"path": path} if known.get("path") else {})

    def delete_object(self, op: Operation, host: Hypervisor, id: str, outputs: Properties) -> None:
        pool = _lookup(host, id)
        if pool is None:
            return
        name = pool.name()
        with host.pool_locked(op, name):
            root = parse(pool.XMLDesc(0))
            try:
                if pool.isActive():
                    with error_context("error deleting storage pool"):
                        pool.destroy()
                _delete_target(pool, text_of(root, "target/path"))
                with error_context("error deleting storage pool"):
                    pool.undefine()
            except ProviderError as error:
                if _lookup(host, id) is not None:
                    # What holds the directory can only be seen and removed through an active pool.
                    with contextlib.suppress(libvirt.libvirtError):
                        pool.create(0)
                    raise error
        wait_until(
            op, f"the end of storage pool '{name}'", lambda: "" if _lookup(host, id) is None else "it still exists"
        )


def _lookup(host: Hypervisor, id: str) -> Any | None:
    return find(host.connection.storagePoolLookupByUUIDString, id, "can't look up the storage pool")


def _delete_target(pool: Any, path: str) -> None:
    try:
        pool.delete(0)
    except libvirt.libvirtError as error:
        if "No such file or directory" in message(error):
            return
        remedy = "; remove the files there, or keep the pool" if "not empty" in message(error) else ""
        raise ProviderError(f"error deleting storage pool: {message(error)} (target {path}){remedy}") from error


def _discard(pool: Any) -> None:
    """Remove a pool whose creation failed."""
    for step in (pool.destroy, pool.undefine):
        with contextlib.suppress(libvirt.libvirtError):
            step()


def _definition(inputs: Properties, uuid: str) -> str:
    root = element("pool", type=inputs["type"])
    add(root, "name", inputs["name"])
    add(root, "uuid", uuid)
    path = (inputs.get("target") or {}).get("path") or inputs.get("path")
    if not path:
        raise ProviderError('"target.path" attribute is required for storage pools of type "dir"')
    add(add(root, "target"), "path", path)
    return to_xml(root)
