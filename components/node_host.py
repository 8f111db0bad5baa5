"""Where a node's engine runs: what a virtual machine and a node container have in common."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import ClassVar

import pulumi
import pulumi_command as command

from components._base import Args, Component, Public
from components.config import conventions
from components.config.fields import Address
from components.config.platform import HostKey, RetiredSsh
from components.node import scripts, ssh_keys
from components.remote import RemoteHost, SshAccess

INSTANCE_LABEL = "overlab.machine"


class NodeHostArgs(Args):
    """A node on an underlay; its host name is the component's name."""

    address: Public[Address]
    """Static, of the underlay."""
    command_provider: command.Provider
    access: SshAccess
    host_key: HostKey
    retired_ssh: RetiredSsh | None = None
    """Where keys were rotated: then the present ones are installed before anything else."""

    def first_boot_keys(self, node: str) -> tuple[HostKey, Path]:
        """Host key and authorized key with which the node is created."""
        if self.retired_ssh is None:
            return self.host_key, self.access.client_public_key
        retired = self.retired_ssh
        return retired.first_host_keys.get(node, self.host_key), retired.first_client_public_key


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
            self.child_options(depends_on=[self._install_keys(args.retired_ssh)] if args.retired_ssh else None),
            limit_s=conventions.MACHINE_LIMIT_S,
        )
        self.host = replace(unproven, reachable=self.reachable)
        self.address = self.reachable.stdout.apply(lambda _: str(args.address))
        self.register_outputs({"address": self.address})

    def _install_keys(self, retired: RetiredSsh) -> pulumi.Resource:
        """From the machine that runs the program. Its inputs name files: no key is in the state."""
        args = self.args
        limit = f"{conventions.MACHINE_LIMIT_S + 60}s"
        return command.local.Command(
            f"{self.name}-keys",
            create="exec sh -s",
            stdin=ssh_keys.installer(
                args.address,
                (args.access.client_key, args.access.client_public_key),
                args.host_key,
                retired,
                limit_s=conventions.MACHINE_LIMIT_S,
            ),
            triggers=[self.instance.id],
            logging=command.local.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=self.child_options(
                provider=args.command_provider,
                deleted_with=self.instance,
                custom_timeouts=pulumi.CustomTimeouts(create=limit, update=limit),
            ),
        )
