"""A node as a container: the same system and engine as a machine, on the kernel of an outer engine."""

from __future__ import annotations

import json
from typing import Literal

import pulumi
import pulumi_docker as docker

from components._base import Args, Component, Public
from components.config import addressing, conventions, roles
from components.config.fields import Line, ObjectName
from components.config.spec import MachineSpec
from components.node import scripts
from components.node_host import NodeHost, NodeHostArgs
from components.underlay import UnderlayOptions

ENGINE_DATA = "/var/lib/docker"
STOP_GRACE_S = 2


class ContainerUnderlayArgs(UnderlayOptions):
    """An underlay on an outer engine."""

    provider: docker.Provider


class ContainerUnderlay(Component[ContainerUnderlayArgs]):
    """A bridge network of the outer engine."""

    TOKEN = "overlab:index:ContainerUnderlay"

    def __init__(self, name: str, args: ContainerUnderlayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.network = docker.Network(
            name,
            name=args.network_name,
            driver="bridge",
            internal=args.isolated or None,
            ipam_configs=[
                docker.NetworkIpamConfigArgs(subnet=str(args.cidr), gateway=str(addressing.gateway(args.cidr)))
            ],
            options={"com.docker.network.driver.mtu": str(args.mtu)},
            opts=self.child_options(provider=args.provider, delete_before_replace=True),
        )
        self.register_outputs({"network_id": self.network.id})


class OuterEngine(Args):
    """The engine that runs nodes, and how it must run them."""

    provider: docker.Provider
    underlay: Public[ContainerUnderlay]
    image: Public[Line]
    """The nodes' root file system, as the engine knows it."""
    privileged: Public[bool] = True
    capabilities: Public[tuple[str, ...]] = ()
    """Where ``privileged`` is false, every capability that the machine gives."""
    cgroup_namespace: Public[Literal["host", "private"]] = "private"
    cgroup_driver: Public[Literal["cgroupfs", "systemd"]] = "cgroupfs"
    cgroup_name: Public[Line]

    @property
    def cgroup_parent(self) -> str:
        """The nodes' common cgroup, as the engine's driver takes it."""
        return f"{self.cgroup_name}.slice" if self.cgroup_driver == "systemd" else f"/{self.cgroup_name}"

    @property
    def cgroup_path(self) -> str:
        """The same below the cgroups' root. A slice is inside those that the beginnings of its name stand for."""
        if self.cgroup_driver == "cgroupfs":
            return f"/{self.cgroup_name}"
        parts = self.cgroup_name.split("-")
        return "".join(f"/{'-'.join(parts[: end + 1])}.slice" for end in range(len(parts)))


class NodeContainerArgs(NodeHostArgs, MachineSpec):
    """A node container. ``vcpu`` and ``disk_gib`` limit nothing: CPUs and disk are the outer engine's."""

    outer: Public[OuterEngine]
    container_name: Public[ObjectName]


class NodeContainer(NodeHost):
    """A system container with systemd, sshd and its own engine, whose data is in a volume.

    It is no isolation boundary: root in it is root on the outer engine's machine.
    """

    TOKEN = "overlab:index:NodeContainer"
    args: NodeContainerArgs
    # Another name than the outer engine gives it would keep that from removing it with the container: the address would
    # stay in use for minutes.
    interface = "eth0"

    def __init__(self, name: str, args: NodeContainerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        outer = args.outer
        if outer.cgroup_namespace == "host":
            # The node's engine sees the machine's entire tree: without this its containers would be outside the lab's.
            self.cgroup_parent = f"{outer.cgroup_path}/{name}"
        self.instance = self._declare_container(self._declare_data())
        self._reach(outer.underlay.args.cidr)

    def _declare_data(self) -> docker.Volume:
        """Another node has another volume: its name carries all that makes it another one."""
        outer = self.args.outer
        stated = [str(self.args.address), outer.inputs(), outer.underlay.args.inputs()]
        identity = scripts.digest(json.dumps(stated, sort_keys=True), self._uploads_digest())
        name = f"{self.args.container_name}-{identity}"
        return docker.Volume(roles.resource_name(self.name, roles.DATA), name=name, opts=self._on_outer())

    def _declare_container(self, data: docker.Volume) -> docker.Container:
        args, outer = self.args, self.args.outer
        mounts = [docker.ContainerVolumeArgs(volume_name=data.name, container_path=ENGINE_DATA)]
        if outer.cgroup_namespace == "host":
            mounts.append(docker.ContainerVolumeArgs(host_path="/sys/fs/cgroup", container_path="/sys/fs/cgroup"))
        return docker.Container(
            roles.resource_name(self.name, roles.CONTAINER),
            name=args.container_name,
            hostname=self.name,
            domainname=outer.underlay.args.domain,
            image=outer.image,
            privileged=outer.privileged or None,
            capabilities=_capabilities(outer),
            security_opts=None if outer.privileged else list(conventions.NODE_SECURITY_OPTIONS),
            cgroupns_mode=outer.cgroup_namespace,
            cgroup_parent=outer.cgroup_parent,
            memory=args.memory_mib,
            memory_swap=args.memory_mib,
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(
                    name=outer.underlay.network.name, ipv4_address=str(args.address), aliases=[self.name]
                )
            ],
            volumes=mounts,
            tmpfs={"/run": "", "/tmp": ""},
            uploads=self._uploads(),
            restart="unless-stopped",
            stop_signal="SIGRTMIN+3",
            destroy_grace_seconds=STOP_GRACE_S,
            opts=self._on_outer(
                depends_on=[outer.underlay.network],
                replace_on_changes=["#initerror"],
            ),
        )

    def _files(self) -> list[tuple[str, str, str]]:
        """Path, content, mode of what a machine gets at its first boot."""
        key, authorized = self.args.first_boot_keys(self.name)
        return [
            ("/etc/ssh/ssh_host_ed25519_key", key.private.read_text("utf-8"), "0600"),
            ("/etc/ssh/ssh_host_ed25519_key.pub", key.public.read_text("utf-8"), "0644"),
            ("/root/.ssh/authorized_keys", authorized.read_text("utf-8"), "0600"),
        ]

    def _uploads(self) -> list[docker.ContainerUploadArgs]:
        return [
            docker.ContainerUploadArgs(file=path, content=pulumi.Output.secret(content), permissions=mode)
            for path, content, mode in self._files()
        ]

    def _uploads_digest(self) -> str:
        return scripts.digest(*(part for file in self._files() for part in file))

    def _on_outer(self, **options: object) -> pulumi.ResourceOptions:
        provider = self.args.outer.provider
        return self.child_options(provider=provider, delete_before_replace=True, **options)


def _capabilities(outer: OuterEngine) -> docker.ContainerCapabilitiesArgs | None:
    """As the engine shows them: else the provider sees a change."""
    if outer.privileged:
        return None
    return docker.ContainerCapabilitiesArgs(adds=[f"CAP_{name}" for name in sorted(outer.capabilities)])
