"""Every directory of a lab, derived from the lab's name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def cache_root() -> Path:
    """Per-user cache shared by all labs; entries are keyed by content (see ``cache.py``)."""
    base = os.environ.get("OVERLAB_CACHE") or os.environ.get("XDG_CACHE_HOME")
    if os.environ.get("OVERLAB_CACHE"):
        return Path(str(base))
    return Path(base or Path.home() / ".cache") / "overlab"


def state_root() -> Path:
    """Per-user state: one directory a lab below ``labs/``."""
    base = os.environ.get("XDG_STATE_HOME")
    return Path(base or Path.home() / ".local" / "state") / "overlab"


def run_root() -> Path:
    """Short directory for sockets (a unix socket's path has at most 107 bytes)."""
    if os.geteuid() == 0:
        return Path("/run/overlab")
    return Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")) / "overlab"


@dataclass(frozen=True)
class LabPaths:
    """The directories of one lab; labs share none of them."""

    lab: str

    @property
    def state(self) -> Path:
        """0700; removed by ``overlab down --platform``."""
        return state_root() / "labs" / self.lab

    @property
    def record(self) -> Path:
        return self.state / "platform.json"

    @property
    def identity(self) -> Path:
        return self.state / "identity"

    @property
    def pulumi_home(self) -> Path:
        return self.state / "pulumi-home"

    @property
    def backend(self) -> Path:
        """Directory of the ``file://`` backend."""
        return self.state / "backend"

    @property
    def passphrase(self) -> Path:
        """File (0600) with the passphrase of the stack's secrets."""
        return self.state / "passphrase"

    @property
    def stack_files(self) -> Path:
        """Copies of stack files, in which Pulumi may write the salt of the stack's secrets."""
        return self.state / "stack-files"

    @property
    def bin(self) -> Path:
        """Directory of the lab's ``pulumi`` command (``shim.py``)."""
        return self.state / "bin"

    @property
    def libvirt(self) -> Path:
        return self.state / "libvirt"

    @property
    def libvirt_socket(self) -> Path:
        return self.run / "libvirt" / "libvirt-sock"

    @property
    def docker(self) -> Path:
        """What the engine that runs nodes as containers stores."""
        return self.state / "docker"

    @property
    def docker_socket(self) -> Path:
        return self.run / "docker" / "docker.sock"

    @property
    def pool(self) -> Path:
        """Target of the lab's libvirt storage pool; created and removed by libvirt."""
        return self.state / "pool"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def run(self) -> Path:
        return run_root() / self.lab

    @property
    def namespace(self) -> str:
        """Name of the network namespace (``ip netns``)."""
        return f"overlab-{self.lab}"
