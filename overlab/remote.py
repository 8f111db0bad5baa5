"""A shell or a command on a node, over ssh with the lab's pinned keys."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from components.ground import Ground
from components.settings import Settings
from overlab.ground.embedded import EmbeddedLibvirt
from overlab.ground.errors import GroundError
from overlab.ground.paths import LabPaths

_CONNECT_LIMIT_S = 30


def command(settings: Settings, ground: Ground, node: str, cmd: Sequence[str], *, terminal: bool) -> list[str]:
    """The command that runs ``cmd`` as root on a node, or a login shell where ``cmd`` is empty.

    The words of ``cmd`` arrive on the node exactly as given. Raises :class:`GroundError` for an unknown node.
    """
    known = settings.nodes.get(node)
    if known is None:
        raise GroundError(f"the lab {settings.name} has no node {node}", f"its nodes: {', '.join(settings.nodes)}")
    options = {
        "IdentityFile": str(ground.identity.client_key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": str(ground.identity.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "ConnectTimeout": str(_CONNECT_LIMIT_S),
        "LogLevel": "ERROR",
    }
    ssh = ["ssh", "-F", "/dev/null", "-e", "none" if cmd else "~", "-t" if terminal else "-T"]
    ssh += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    ssh += [f"root@{known.address}"]
    if cmd:
        ssh += ["--", shlex.join(cmd)]
    if ground.kind == "embedded":
        return EmbeddedLibvirt(LabPaths(settings.name)).namespace.command(ssh)
    return ssh


def replace_process(cmd: Sequence[str]) -> None:
    """Become that command: standard streams, signals and exit code are then its own. Does not return."""
    os.execvp(cmd[0], list(cmd))
