"""A tunnel from a loopback port of this machine, outside the lab's network namespace, to a node's loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from components.config.platform import Platform
from components.config.settings import Settings
from overlab import openssh
from overlab.core.errors import OverlabError
from overlab.core.process import end_child
from overlab.inspect import ssh_config

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Tunnel:
    """An OpenSSH client that forwards a port; it ends with this process, however that ends."""

    process: subprocess.Popen[bytes]
    node: str
    port: int
    """Where it listens on this machine's loopback."""
    _errors: IO[bytes]

    @property
    def stderr(self) -> str:
        """What ssh wrote, for a message."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()


@contextlib.contextmanager
def opened(settings: Settings, platform: Platform, node: str, remote_port: int, port: int | None) -> Iterator[Tunnel]:
    """A tunnel to 127.0.0.1:``remote_port`` of a node, from ``port`` or one that is free. It may not be connected yet.

    Raises :class:`OverlabError` for an unknown node.
    """
    local = port or _free_port()
    options = ssh_config.options(settings, platform) | {
        "ExitOnForwardFailure": "yes",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
    }
    cmd = ["ssh", "-F", "/dev/null", "-T", "-e", "none", "-L", f"{_LOOPBACK}:{local}:{_LOOPBACK}:{remote_port}"]
    cmd += openssh.flags(options)
    # `cat` ends when this process does, since the pipe to it is then closed; with it ends the session.
    cmd += [f"root@{openssh.node_named(settings, node).address}", "cat"]
    with tempfile.TemporaryFile("a+b") as errors:
        process = subprocess.Popen(
            cmd, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        try:
            yield Tunnel(process, node, local, errors)
        finally:
            end_child(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def refuse_taken(port: int) -> None:
    """Raises :class:`OverlabError` where something listens on that port of the loopback already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            raise OverlabError(
                f"cannot listen on {_LOOPBACK}:{port}: {error.strerror}", "give another --port"
            ) from error
