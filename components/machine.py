"""A node's virtual machine."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_command as command
import pulumi_libvirt as libvirt

from components._base import Component
from components.config import conventions
from components.config.platform import Platform
from components.config.settings import Node, Settings
from components.hypervisor import HypervisorContext
from components.node import scripts
from components.node.first_boot import FirstBoot, first_boot
from components.remote import RemoteHost

GIB = 1024**3
MACHINE_LABEL = "overlab.machine"


class Machine(Component):
    """A domain with its disk and first-boot data, and the gate that waits for its SSH.

    Whatever makes it another machine makes its disk anew, and with the disk the domain and all that is inside.
    """

    TOKEN = "overlab:index:Machine"
    address: pulumi.Output[str]

    def __init__(
        self,
        node: Node,
        settings: Settings,
        platform: Platform,
        place: HypervisorContext,
        ssh: command.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(node.key, opts)
        self.node = node
        self._place = place
        gateway = None if settings.isolated(platform) else settings.gateway
        seed = first_boot(node, settings.underlay, gateway, platform.identity)
        disk = self._declare_disk(seed)
        iso = self._declare_seed(seed)
        self.domain = self._declare_domain(settings, disk, iso)
        self.host = RemoteHost(node, platform, ssh, self.domain)
        self.reachable = self._declare_gate()
        self.address = self.reachable.stdout.apply(lambda _: str(node.address))
        self.register_outputs({"address": self.address})

    def _declare_disk(self, seed: FirstBoot) -> libvirt.Volume:
        return libvirt.Volume(
            f"{self.node.key}-disk",
            name=f"{self.node.key}-{seed.content_hash}.qcow2",
            pool=self._place.storage.pool_name,
            base_volume_id=self._place.storage.base_id,
            size=self.node.machine.disk_gib * GIB,
            opts=self._placed(self._identity()),
        )

    def _declare_seed(self, seed: FirstBoot) -> libvirt.CloudInitDisk:
        return libvirt.CloudInitDisk(
            f"{self.node.key}-seed",
            name=f"{self.node.key}-{seed.content_hash}.iso",
            pool=self._place.storage.pool_name,
            user_data=pulumi.Output.secret(seed.user_data),
            meta_data=seed.meta_data,
            network_config=seed.network_config,
            opts=self._placed([self._place.name]),
        )

    def _declare_domain(self, settings: Settings, disk: libvirt.Volume, iso: libvirt.CloudInitDisk) -> libvirt.Domain:
        domain_type = self._place.hypervisor.domain_type
        return libvirt.Domain(
            f"{self.node.key}-domain",
            name=f"overlab-{settings.name}-{self.node.key}",
            type=domain_type,
            vcpu=self.node.machine.vcpu,
            memory=self.node.machine.memory_mib,
            cpu=libvirt.DomainCpuArgs(mode="host-passthrough") if domain_type == "kvm" else None,
            cloudinit=iso.id,
            disks=[libvirt.DomainDiskArgs(volume_id=disk.id)],
            network_interfaces=[self._place.network.interface(self.node.mac)],
            consoles=[libvirt.DomainConsoleArgs(type="pty", target_port="0", target_type="serial")],
            graphics=libvirt.DomainGraphicsArgs(type="vnc", listen_type="none"),
            autostart=True,
            opts=self.child(
                provider=self._place.provider,
                delete_before_replace=True,
                # The provider calls changes of these updates and makes none.
                replace_on_changes=["cpu", "disks", "networkInterfaces"],
            ),
        )

    def _placed(self, identity: list[Any]) -> pulumi.ResourceOptions:
        """Options of what is made anew when the identity is another. A change of provider alone replaces nothing."""
        return self.child(provider=self._place.provider, replacement_trigger=identity, delete_before_replace=True)

    def _identity(self) -> list[Any]:
        """All of a domain that only another domain can have, beside its disk and its first-boot data."""
        place, spec = self._place, self.node.machine
        return [
            place.name,
            place.hypervisor.domain_type,
            place.network.identity,
            self.node.mac,
            spec.vcpu,
            spec.memory_mib,
        ]

    def _declare_gate(self) -> command.remote.Command:
        script = scripts.render("reachable", hostname=self.node.key)
        return self.host.run(
            f"{self.node.key}-reachable",
            script,
            self.child(),
            limit_s=conventions.MACHINE_LIMIT_S,
        )

    def labels(self) -> dict[str, pulumi.Output[str]]:
        """Labels of what is made on the machine. They bind it to this very machine, across interrupted updates too."""
        return {MACHINE_LABEL: self.domain.id}
