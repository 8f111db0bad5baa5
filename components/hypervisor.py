"""A hypervisor's part of the lab: the storage pool with the base image, and what a machine on it needs to know."""

from __future__ import annotations

from typing import Literal

import pulumi
import pulumi_libvirt as libvirt

from components._base import Args, Component, Public
from components.config.fields import Directory, Line
from components.underlay import Underlay


class StorageArgs(Args):
    """A storage pool and its base image."""

    provider: libvirt.Provider
    pool_name: Public[Line]
    pool_path: Public[Directory]
    """Directory on the hypervisor; created and removed with the pool."""
    image_source: Public[Line]
    """Local path or URL, as libvirt's ``Volume.source`` takes it."""
    image_hash: Public[Line]
    """Of the image's content: another one means another base volume."""


class Storage(Component[StorageArgs]):
    """A pool of the lab's own with the base image in it, from which the machines' disks are cloned."""

    TOKEN = "overlab:index:Storage"
    pool_name: pulumi.Output[str]
    base_id: pulumi.Output[str]

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        pool = libvirt.Pool(
            name,
            name=args.pool_name,
            type="dir",
            target=libvirt.PoolTargetArgs(path=args.pool_path),
            opts=self.child_options(provider=args.provider),
        )
        base = libvirt.Volume(
            f"{name}-base",
            name=f"base-{args.image_hash}.qcow2",
            pool=pool.name,
            source=args.image_source,
            opts=self.child_options(provider=args.provider),
        )
        self.pool_name = pool.name
        self.base_id = base.id
        self.register_outputs({"pool_name": self.pool_name, "base_id": self.base_id})


class HypervisorContext(Args):
    """A hypervisor with the lab's storage and underlay on it: where a machine can be."""

    provider: libvirt.Provider
    domain_type: Public[Literal["kvm", "qemu"]]
    storage: Public[Storage]
    underlay: Public[Underlay]
    name: Public[str] = ""
    """Machines move, and are replaced, when it changes; empty for the only hypervisor of a lab."""
