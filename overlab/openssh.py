"""OpenSSH's command lines for a shell or a command on a node, with the lab's pinned keys."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

from components.config.platform import Platform
from components.config.settings import Node, Settings
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.platform.namespace import Namespace

_CONNECT_LIMIT_S = 30
SSH_FAILED = 255
"""Exit code of ssh for its own errors."""


def options(platform: Platform, connect_limit_s: int = _CONNECT_LIMIT_S) -> dict[str, str]:
    """OpenSSH's options for every node: only the lab's key, and its pinned host keys."""
    return {
        "IdentityFile": str(platform.identity.client_key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": str(platform.identity.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "ConnectTimeout": str(connect_limit_s),
        # a dead node is detected after two minutes; one that is only busy answers
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "8",
        "LogLevel": "ERROR",
    }


def flags(options: Mapping[str, str]) -> list[str]:
    """Options as arguments of ``ssh``."""
    return [argument for key, value in options.items() for argument in ("-o", f"{key}={value}")]


def node_named(settings: Settings, node: str) -> Node:
    """The node with this key. Raises :class:`OverlabError` that lists the known ones."""
    known = settings.nodes.get(node)
    if known is None:
        raise OverlabError(f"the lab {settings.name} has no node {node}", f"its nodes: {', '.join(settings.nodes)}")
    return known


def command(
    settings: Settings,
    platform: Platform,
    node: str,
    cmd: Sequence[str],
    *,
    terminal: bool,
    connect_limit_s: int = _CONNECT_LIMIT_S,
) -> list[str]:
    """The command that runs ``cmd`` as root on a node, or a login shell where ``cmd`` is empty.

    The arguments of ``cmd`` arrive on the node exactly as given. Raises :class:`OverlabError` for an unknown node.
    """
    address = str(node_named(settings, node).address)
    return to_address(settings.name, platform, address, cmd, terminal=terminal, connect_limit_s=connect_limit_s)


def to_address(
    lab: str,
    platform: Platform,
    address: str,
    cmd: Sequence[str],
    *,
    terminal: bool = False,
    connect_limit_s: int = _CONNECT_LIMIT_S,
) -> list[str]:
    """:func:`command` for a node that the settings may not have any more."""
    ssh = ["ssh", "-F", "/dev/null", "-e", "none" if cmd else "~", "-t" if terminal else "-T"]
    ssh += [*flags(options(platform, connect_limit_s)), f"root@{address}"]
    if cmd:
        ssh += ["--", shlex.join(cmd)]
    if platform.kind == "bundled":
        return Namespace.of(LabPaths(lab)).command(ssh)
    return ssh


def replace_process(cmd: Sequence[str]) -> None:
    """Replace this process by the command, with its streams, signals and exit code. Does not return."""
    os.execvp(cmd[0], list(cmd))
