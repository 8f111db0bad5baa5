"""A tunnel from a unix socket of the lab's run directory, outside its network namespace, to a node's loopback."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from components.config.platform import Platform
from components.config.settings import Settings
from overlab import openssh
from overlab.core.paths import LabPaths
from overlab.core.process import end_child
from overlab.inspect import ssh_config

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Tunnel:
    """An OpenSSH client that forwards a socket; it ends with this process, however that ends."""

    process: subprocess.Popen[bytes]
    node: str
    socket: Path
    """Where it listens; 0600, in a directory of its owner alone."""
    _errors: IO[bytes]

    @property
    def stderr(self) -> str:
        """What ssh wrote, for a message."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()


@contextlib.contextmanager
def opened(settings: Settings, platform: Platform, node: str, remote_port: int) -> Iterator[Tunnel]:
    """A tunnel to 127.0.0.1:``remote_port`` of a node. It may not be connected yet.

    Raises :class:`OverlabError` for an unknown node.
    """
    options = ssh_config.options(settings, platform) | {
        "ExitOnForwardFailure": "yes",
        "StreamLocalBindMask": "0177",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
    }
    address = openssh.node_named(settings, node).address
    run = LabPaths(settings.name).run
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="ui-", dir=run) as directory, tempfile.TemporaryFile("a+b") as errors:
        local = Path(directory) / "s"
        cmd = ["ssh", "-F", "/dev/null", "-T", "-e", "none", "-L", f"{local}:{_LOOPBACK}:{remote_port}"]
        # `cat` ends when this process does, since the pipe to it is then closed; with it ends the session.
        cmd += [*openssh.flags(options), f"root@{address}", "cat"]
        process = subprocess.Popen(
            cmd, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        try:
            yield Tunnel(process, node, local, errors)
        finally:
            end_child(process)
