"""Where a node's engine runs: what a virtual machine and a node container have in common."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar

import pulumi
import pulumi_command as command

from components._base import Args, Component, Public
from components.config import conventions
from components.config.fields import Address
from components.config.platform import HostKey
from components.node import scripts
from components.remote import RemoteHost, SshAccess

INSTANCE_LABEL = "overlab.machine"


class NodeHostArgs(Args):
    """A node on an underlay; its host name is the component's name."""

    address: Public[Address]
    """Static, of the underlay."""
    command_provider: command.Provider
    access: SshAccess
    host_key: HostKey


class NodeHost(Component[NodeHostArgs]):
    """A node that is reached by SSH. ``instance`` is the resource whose replacement makes it another node: whatever is
    inside is deleted with it and has its id among its inputs (ADR 0004)."""

    instance: pulumi.CustomResource
    node_address: IPv4Address
    underlay: IPv4Network
    interface: ClassVar[str] = conventions.NIC
    """Of the underlay."""
    cgroup_parent: str | None = None
    """Where the engine must put its containers' cgroups; None for its own default."""
    host: RemoteHost
    address: pulumi.Output[str]
    """Known when the node is reachable."""

    @property
    def labels(self) -> dict[str, pulumi.Output[str]]:
        """Labels of what is created on the node. They bind it to this instance, also across an interrupted update."""
        return {INSTANCE_LABEL: self.instance.id}

    def _reach(self, underlay: IPv4Network) -> None:
        """Declare the gate that waits for SSH, as the last child."""
        args = self.args
        self.node_address, self.underlay = args.address, underlay
        unproven = RemoteHost(args.address, args.host_key.public, args.access, args.command_provider, self.instance)
        self.reachable = unproven.run(
            f"{self.name}-reachable",
            scripts.render("reachable", hostname=self.name),
            self.child_options(),
            limit_s=conventions.MACHINE_LIMIT_S,
        )
        self.host = replace(unproven, reachable=self.reachable)
        self.address = self.reachable.stdout.apply(lambda _: str(args.address))
        self.register_outputs({"address": self.address})
