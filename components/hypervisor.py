"""A hypervisor's part of the lab: the storage pool, the base image that machines are cut from, and the network."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_libvirt as libvirt

from components._base import Component
from components.config.platform import Hypervisor, Platform
from components.config.settings import Settings
from components.underlay import Underlay


class Storage(Component):
    """A pool of the lab's own with the base image in it. Another image content means another base volume."""

    TOKEN = "overlab:index:Storage"
    pool_name: pulumi.Output[str]
    base_id: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        settings: Settings,
        platform: Platform,
        hypervisor: Hypervisor,
        provider: libvirt.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, opts)
        image = platform.image
        self.pool = libvirt.Pool(
            name,
            name=f"overlab-{settings.name}",
            type="dir",
            target=libvirt.PoolTargetArgs(path=hypervisor.pool_path),
            opts=self.child(provider=provider),
        )
        self.base = libvirt.Volume(
            f"{name}-base",
            name=f"base-{image.content_hash}.qcow2",
            pool=self.pool.name,
            source=image.source,
            opts=self.child(provider=provider),
        )
        self.pool_name = self.pool.name
        self.base_id = self.base.id
        self.register_outputs({"pool_name": self.pool_name, "base_id": self.base_id})


@dataclass(frozen=True)
class HypervisorContext:
    """Where a machine can be: a hypervisor with the lab's storage and network on it."""

    name: str
    """The hypervisor's; empty for the unnamed one."""
    hypervisor: Hypervisor
    provider: libvirt.Provider
    storage: Storage
    network: Underlay


def declare_hypervisor(name: str, settings: Settings, platform: Platform, parent: Component) -> HypervisorContext:
    """Declare what the lab has on one hypervisor. Without a name its resources have the plain names."""
    suffix = f"-{name}" if name else ""
    hypervisor = platform.places[name]
    provider = libvirt.Provider(f"hypervisor{suffix}", uri=hypervisor.uri, opts=parent.child())
    return HypervisorContext(
        name,
        hypervisor,
        provider,
        Storage(f"storage{suffix}", settings, platform, hypervisor, provider, parent.child()),
        Underlay(f"network{suffix}", settings, platform, provider, parent.child()),
    )
