"""A node's virtual machine."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import Any

import pulumi
import pulumi_libvirt as libvirt

from components._base import Public
from components.config import addressing, roles
from components.config.fields import Line
from components.config.spec import MachineSpec
from components.hypervisor import HypervisorContext
from components.node.first_boot import FirstBoot, first_boot
from components.node_host import NodeHost, NodeHostArgs

GIB = 1024**3


class MachineArgs(NodeHostArgs, MachineSpec):
    """A machine; its host name is the component's name."""

    hypervisor: Public[HypervisorContext]
    domain_name: Public[Line]
    """Of the libvirt domain."""


class Machine(NodeHost):
    """A domain with its disk and first-boot data, and the gate that waits for its SSH.

    Whatever can only be had by another machine replaces its disk, and with the disk the domain and all that is inside.
    """

    TOKEN = "overlab:index:Machine"
    args: MachineArgs

    def __init__(self, name: str, args: MachineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self._mac = addressing.mac(args.address)
        seed = self._first_boot()
        disk = self._declare_disk(seed)
        iso = self._declare_seed(seed)
        self.instance = self._declare_domain(disk, iso)
        self._reach(args.hypervisor.underlay.args.cidr)

    def _first_boot(self) -> FirstBoot:
        underlay = self.args.hypervisor.underlay.args
        host_key, authorized_key = self.args.first_boot_keys(self.name)
        return first_boot(
            self.name,
            domain=underlay.domain,
            address=IPv4Interface((self.args.address, underlay.cidr.prefixlen)),
            mtu=underlay.mtu,
            gateway=None if underlay.isolated else addressing.gateway(underlay.cidr),
            host_key=host_key,
            authorized_key=authorized_key,
        )

    def _declare_disk(self, seed: FirstBoot) -> libvirt.Volume:
        hypervisor = self.args.hypervisor
        # All of a domain that only another domain can have, beside its disk and its first-boot data.
        identity: list[Any] = [hypervisor.name, hypervisor.domain_type, hypervisor.underlay.identity]
        identity += [self._mac, self.args.vcpu, self.args.memory_mib]
        return libvirt.Volume(
            roles.resource_name(self.name, roles.DISK),
            name=f"{self.name}-{seed.content_hash}.qcow2",
            pool=hypervisor.storage.pool_name,
            base_volume_id=hypervisor.storage.base_id,
            size=self.args.disk_gib * GIB,
            opts=self._replaced_with(identity),
        )

    def _declare_seed(self, seed: FirstBoot) -> libvirt.CloudInitDisk:
        return libvirt.CloudInitDisk(
            f"{self.name}-seed",
            name=f"{self.name}-{seed.content_hash}.iso",
            pool=self.args.hypervisor.storage.pool_name,
            user_data=pulumi.Output.secret(seed.user_data),
            meta_data=seed.meta_data,
            network_config=seed.network_config,
            opts=self._replaced_with([self.args.hypervisor.name]),
        )

    def _replaced_with(self, identity: list[Any]) -> pulumi.ResourceOptions:
        """A change of the identity replaces; a change of provider alone replaces nothing."""
        provider = self.args.hypervisor.provider
        return self.child_options(provider=provider, replacement_trigger=identity, delete_before_replace=True)

    def _declare_domain(self, disk: libvirt.Volume, iso: libvirt.CloudInitDisk) -> libvirt.Domain:
        args, hypervisor = self.args, self.args.hypervisor
        return libvirt.Domain(
            roles.resource_name(self.name, roles.DOMAIN),
            name=args.domain_name,
            type=hypervisor.domain_type,
            vcpu=args.vcpu,
            memory=args.memory_mib,
            cpu=libvirt.DomainCpuArgs(mode="host-passthrough") if hypervisor.domain_type == "kvm" else None,
            cloudinit=iso.id,
            disks=[libvirt.DomainDiskArgs(volume_id=disk.id)],
            network_interfaces=[hypervisor.underlay.interface(self._mac)],
            consoles=[libvirt.DomainConsoleArgs(type="pty", target_port="0", target_type="serial")],
            graphics=libvirt.DomainGraphicsArgs(type="vnc", listen_type="none"),
            autostart=True,
            opts=self.child_options(
                provider=hypervisor.provider,
                delete_before_replace=True,
                # The provider calls changes of these updates and makes none.
                replace_on_changes=["cpu", "disks", "networkInterfaces"],
            ),
        )
