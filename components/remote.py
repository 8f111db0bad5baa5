"""A machine as seen over SSH: the connection with its pinned host key, and commands that run as root there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_docker as docker
import pulumi_libvirt as libvirt

from components.config import conventions
from components.config.platform import Platform
from components.config.settings import Node

DIAL_PAUSE_S = 5
"""The longest pause between two dials."""
DIAL_TIMEOUT_S = 15


class RemoteHost:
    """How to reach one machine. Makes no resource by itself; ``run``, ``put`` and ``docker_provider`` do.

    What runs there carries the machine's id among its triggers: an interrupted update whose machine is new already
    still knows, the next time, what has to be run on it.
    """

    def __init__(self, node: Node, platform: Platform, provider: command.Provider, domain: libvirt.Domain) -> None:
        self.node = node
        self.domain = domain
        self._platform = platform
        self._provider = provider
        self._host_key = platform.identity.host_keys[node.key]

    def run(
        self,
        name: str,
        script: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
        *,
        triggers: list[Any] | None = None,
        stdin: pulumi.Input[str] | None = None,
        limit_s: int,
    ) -> command.remote.Command:
        """Run an idempotent script as root on the node; a changed script runs again, a changed trigger replaces.

        The script is for all to see there (process list); what is secret goes by ``stdin``.
        """
        return command.remote.Command(
            name,
            connection=self._connection(limit_s),
            create=script,
            triggers=[self.domain.id, *(triggers or [])],
            stdin=stdin,
            logging=command.remote.Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions.merge(opts, self._options(limit_s)),
        )

    def put(
        self,
        name: str,
        source: pulumi.FileAsset,
        remote_path: str,
        opts: pulumi.ResourceOptions,
        *,
        triggers: list[Any],
        limit_s: int,
    ) -> command.remote.CopyToRemote:
        """Copy a local file to the node."""
        return command.remote.CopyToRemote(
            name,
            connection=self._connection(limit_s),
            source=source,
            remote_path=remote_path,
            triggers=[self.domain.id, *triggers],
            opts=pulumi.ResourceOptions.merge(opts, self._options(limit_s)),
        )

    def docker_provider(self, name: str, opts: pulumi.ResourceOptions) -> docker.Provider:
        """Docker's API of the node's engine over SSH; contacts nothing before the first operation."""
        return docker.Provider(
            name,
            host=f"ssh://root@{self.node.address}:{conventions.SSH_PORT}",
            ssh_opts=self._ssh_options(),
            opts=opts,
        )

    def _options(self, limit_s: int) -> pulumi.ResourceOptions:
        timeouts = pulumi.CustomTimeouts(create=f"{limit_s}s", update=f"{limit_s}s")
        return pulumi.ResourceOptions(provider=self._provider, custom_timeouts=timeouts, deleted_with=self.domain)

    def _connection(self, limit_s: int) -> command.remote.ConnectionArgs:
        return command.remote.ConnectionArgs(
            host=str(self.node.address),
            port=conventions.SSH_PORT,
            user="root",
            private_key=pulumi.Output.secret(self._platform.identity.client_key.read_text("utf-8")),
            host_key=_key_of(self._host_key.public),
            per_dial_timeout=DIAL_TIMEOUT_S,
            dial_error_limit=max(10, limit_s // DIAL_PAUSE_S),
        )

    def _ssh_options(self) -> list[str]:
        identity = self._platform.identity
        options = {
            "IdentityFile": identity.client_key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": identity.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": DIAL_TIMEOUT_S,
            "ServerAliveInterval": 15,
            # One handshake a node, shared by every plugin process of a run.
            "ControlMaster": "auto",
            "ControlPath": self._platform.run_dir / "ssh-%C",
            "ControlPersist": 20,
        }
        return [part for key, value in options.items() for part in ("-o", f"{key}={value}")]


def _key_of(public: Path) -> str:
    """Type and key of an OpenSSH public key file, without its comment."""
    return " ".join(public.read_text("utf-8").split()[:2])
