"""Every directory of a lab, derived from the lab's name."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from components.config.conventions import LAB_NAME
from overlab.core import removal
from overlab.core.errors import OverlabError


def cache_root() -> Path:
    """Per-user cache shared by all labs; entries are keyed by content (see ``cache.py``)."""
    if own := os.environ.get("OVERLAB_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overlab"


def cache_entry(kind: str, key_parts: Mapping[str, object]) -> Path:
    """Directory of a cache entry, named by a digest of its kind and of the JSON of its inputs (any order of keys)."""
    text = json.dumps([kind, dict(key_parts)], sort_keys=True, separators=(",", ":"), default=str)
    return cache_root() / kind / hashlib.sha256(text.encode()).hexdigest()[:32]


def state_root() -> Path:
    """Per-user state: one directory a lab below ``labs/``."""
    base = os.environ.get("XDG_STATE_HOME")
    return Path(base or Path.home() / ".local" / "state") / "overlab"


def run_root() -> Path:
    """Short directory for sockets (a unix socket's path has at most 107 bytes)."""
    if os.geteuid() == 0:
        return Path("/run/overlab")
    return Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")) / "overlab"


class LabPaths:
    """The files and directories of one lab; labs share none. ``state`` is below :func:`state_root` by default.

    Raises :class:`OverlabError` for text that is not a lab's name: no other can become part of a path.
    """

    def __init__(self, lab: str, state: Path | None = None) -> None:
        if not re.fullmatch(LAB_NAME, lab):
            raise OverlabError(f"{lab!r} is not a lab's name", "correct the stack's name, or overlab:lab name")
        self.lab = lab
        self.state = state or state_root() / "labs" / lab
        """0700; removed by ``overlab down --platform``."""
        self.run = run_root() / lab
        self.record = self.state / "platform.json"
        self.identity = self.state / "identity"
        self.pulumi_home = self.state / "pulumi-home"
        self.backend = self.state / "backend"
        """Directory of the ``file://`` backend."""
        self.passphrase = self.state / "passphrase"
        """File (0600) with the passphrase of the stack's secrets."""
        self.stack_files = self.state / "stack-files"
        """Copies of stack files, in which Pulumi may write the salt of the stack's secrets."""
        self.bin = self.state / "bin"
        """Directory of the lab's ``pulumi`` command (``shim.py``)."""
        self.libvirt = self.state / "libvirt"
        self.libvirt_socket = self.run / "libvirt" / "libvirt-sock"
        self.docker = self.state / "docker"
        """Data of the engine that runs nodes as containers."""
        self.docker_socket = self.run / "docker" / "docker.sock"
        self.logs = self.state / "log"
        self.namespace = f"overlab-{lab}"
        """Name of the network namespace (``ip netns``)."""

    def remove(self, path: Path) -> None:
        """Remove a file or directory of this lab, where it exists, as :func:`removal.remove` does.

        Raises :class:`OverlabError` for one that is neither ``state``, nor ``run``, nor below them.
        """
        for own in (self.state, self.run):
            if path.is_relative_to(own):
                removal.remove(path, own.parent)
                return
        raise OverlabError(f"{path} is not removed: it is no file of lab {self.lab}")
