"""A machine as reached by SSH: the connection with its pinned host key, and commands that run there as root."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_docker as docker
from pydantic import BaseModel, ConfigDict

from components.config import conventions

DIAL_PAUSE_S = 5
"""The longest pause between two dials."""
DIAL_TIMEOUT_S = 15
KILL_AFTER_S = 10
_END = "OVERLAB-END-OF-SCRIPT"


class SshAccess(BaseModel):
    """Files with which the machines are reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_key: Path
    client_public_key: Path
    known_hosts: Path
    """OpenSSH known_hosts lines of every machine, by address."""
    control_dir: Path
    """Short 0700 directory for the sockets of shared connections."""


@dataclass(frozen=True)
class RemoteHost:
    """How one machine is reached. What runs there has the machine's id among its triggers: an update that was
    interrupted after the machine was replaced still knows, the next time, what has to run on it."""

    address: IPv4Address
    host_key: Path
    """The public half."""
    access: SshAccess
    provider: command.Provider
    instance: pulumi.CustomResource
    """The machine or container: what runs there goes with it."""
    reachable: pulumi.Resource | None = None
    """The gate that everything on the machine depends on; None for the gate itself."""

    def run(
        self,
        name: str,
        script: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
        *,
        triggers: list[Any] | None = None,
        limit_s: int,
    ) -> command.remote.Command:
        """Run an idempotent POSIX shell script as root on the machine; it runs again when it changes, and is a new
        resource when a trigger changes.

        The script goes to the machine on stdin, so that no error and no process list shows it. It is ended after
        ``limit_s``, since the official provider ends no running command. A script with a secret is a secret output, and
        must not print it. In what it prints every byte that is not printable ASCII becomes ``?``, since the official
        provider fails on invalid UTF-8.
        """
        return command.remote.Command(
            name,
            connection=self._connection(limit_s),
            create=f"exec sh -s # {name}",
            stdin=pulumi.Output.from_input(script).apply(partial(bounded, name, limit_s)),
            triggers=[self.instance.id, *(triggers or [])],
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
        """Copy a local file to the machine."""
        return command.remote.CopyToRemote(
            name,
            connection=self._connection(limit_s),
            source=source,
            remote_path=remote_path,
            triggers=[self.instance.id, *triggers],
            opts=pulumi.ResourceOptions.merge(opts, self._options(limit_s)),
        )

    def docker_provider(self, name: str, opts: pulumi.ResourceOptions) -> docker.Provider:
        """Docker's API of the machine's engine over SSH; contacts nothing before the first operation."""
        return docker.Provider(
            name,
            host=f"ssh://root@{self.address}:{conventions.SSH_PORT}",
            ssh_opts=self._ssh_options(),
            opts=opts,
        )

    def _options(self, limit_s: int) -> pulumi.ResourceOptions:
        # The script's own limit comes first, and reports what did not end.
        limit = f"{limit_s + 2 * KILL_AFTER_S}s"
        return pulumi.ResourceOptions(
            provider=self.provider,
            custom_timeouts=pulumi.CustomTimeouts(create=limit, update=limit),
            deleted_with=self.instance,
            depends_on=[self.reachable] if self.reachable is not None else None,
        )

    def _connection(self, limit_s: int) -> command.remote.ConnectionArgs:
        return command.remote.ConnectionArgs(
            host=str(self.address),
            port=conventions.SSH_PORT,
            user="root",
            private_key=pulumi.Output.secret(self.access.client_key.read_text("utf-8")),
            # Type and key, without the comment.
            host_key=" ".join(self.host_key.read_text("utf-8").split()[:2]),
            per_dial_timeout=DIAL_TIMEOUT_S,
            dial_error_limit=max(10, limit_s // DIAL_PAUSE_S),
        )

    def _ssh_options(self) -> list[str]:
        options = {
            "IdentityFile": self.access.client_key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "ForwardAgent": "no",
            "UserKnownHostsFile": self.access.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": DIAL_TIMEOUT_S,
            "ServerAliveInterval": 15,
            # One handshake a node, shared by every plugin process of a run.
            "ControlMaster": "auto",
            "ControlPath": self.access.control_dir / "ssh-%C",
            "ControlPersist": 20,
        }
        # -F: the user's own ~/.ssh/config must not change the connection
        return ["-F", "/dev/null", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]


def bounded(name: str, limit_s: int, script: str) -> str:
    """A script that runs ``script`` with a time limit, no stdin, and printable ASCII as output.

    Descriptor 3 carries the exit code past the two filters, 4 is the real stdout, 5 the unfiltered one; the script
    itself has none of them. It is read from a descriptor: a file could be orphaned.
    """
    return f"""\
printable() {{ LC_ALL=C sed -u -e 's/[^\\t -~]/?/g' 3>&-; }}
run() {{
	timeout -k {KILL_AFTER_S} {limit_s} sh /dev/fd/9 </dev/null 3>&- 4>&- 5>&-
	code=$?
	[ $code -ne 124 ] || echo {shlex.quote(f"{name} did not end within {limit_s} s")} >&2
	echo $code >&3
}} 9<<'{_END}'
{script.rstrip(chr(10))}
{_END}
exec 4>&1
code=$({{ {{ run 2>&1 >&5 5>&- | printable >&2 5>&-; }} 5>&1 | printable >&4; }} 3>&1)
exit "$code"
"""
