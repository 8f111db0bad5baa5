"""The platform record: what was found or built before the program runs, as plain data.

Written by the ``overlab`` command, or manually for a system platform; read by :mod:`components.config.settings`. It
holds facts only: the program itself probes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

RECORD_ENV = "OVERLAB_PLATFORM"
"""Environment variable with the path of the record (``platform.json``)."""


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hypervisor(_Fact):
    """A libvirt that runs the machines."""

    uri: str
    pool_path: str
    """Directory of the lab's storage pool on the hypervisor; created and removed with the pool."""
    domain_type: Literal["kvm", "qemu"]
    """``kvm`` where a real probe booted with it, else ``qemu`` (TCG)."""


class MachineImage(_Fact):
    """A base image that the hypervisor can read."""

    source: str
    """Local path or URL, as libvirt's ``Volume.source`` takes it."""
    content_hash: str
    """First 16 hex digits of the SHA-256 of the image's content (or of the inputs it was made from)."""


class Packages(_Fact):
    """Debian packages to be carried to nodes whose image has no engine."""

    bundle: str
    """Local path of one ``.tar`` with the ``.deb`` files at its top level."""
    content_hash: str


class NodeEngine(_Fact):
    """The Docker engine that runs nodes as containers."""

    docker_host: str
    """As ``DOCKER_HOST`` states it."""
    image: str
    """The nodes' image, as this engine knows it."""
    privileged: bool
    """Whether the engine can run privileged containers; else they get ``capabilities``."""
    capabilities: tuple[str, ...]
    cgroup_namespace: Literal["host", "private"]
    cgroup_driver: Literal["cgroupfs", "systemd"] = "cgroupfs"
    """Of the engine that runs the nodes: decides how a cgroup's name is written."""


class HostKey(_Fact):
    """A node's SSH host key: paths of the private (0600) and the public part."""

    private: Path
    public: Path


class Tls(_Fact):
    """The lab's certificate authority for the engine API: PEM files, keys 0600."""

    ca: Path
    client_cert: Path
    client_key: Path
    server_certs: dict[str, Path]
    server_keys: dict[str, Path]


class StoreTls(_Fact):
    """For the RPC between the store's agents: PEM files, keys 0600, by node key.

    Of an authority of their own, since an engine takes whatever the other one signed for its client. Only a server's
    certificate has a server's name.
    """

    ca: Path
    certs: dict[str, Path]
    keys: dict[str, Path]


class StoreTokens(_Fact):
    """Secrets of the store's access control, each a UUID in a file (0600)."""

    management: Path
    """Unrestricted."""
    retired: Path
    """Lines with earlier ones, latest first: as long as a rotation has not reached the store it knows one of these."""
    agents: Path
    """For the store's agents themselves."""
    engines: Path
    """For clients of an agent on its node's loopback."""


class RetiredSsh(_Fact):
    """SSH keys from before a rotation. The first ones stay part of a node's first boot, or a rotation would recreate
    it; they are valid until the present ones are installed over them."""

    first_client_public_key: Path
    first_host_keys: dict[str, HostKey]
    """By node key; a node without one was created with its present key."""
    client_keys: tuple[Path, ...]
    """Private keys (0600) that a node may still accept, latest first."""
    known_hosts: Path
    """OpenSSH known_hosts lines of every key that a node may still have, the present one among them."""


class Identity(_Fact):
    """Keys of the lab. Nothing secret is in the record itself, only paths."""

    client_key: Path
    client_public_key: Path
    known_hosts: Path
    """OpenSSH known_hosts lines of every node, by address."""
    host_keys: dict[str, HostKey]
    """By node key."""
    retired_ssh: RetiredSsh | None = None
    tls: Tls | None = None
    gossip_key: Path | None = None
    """File (0600) with the store's gossip key: 32 random bytes, base64."""
    store_tokens: StoreTokens | None = None
    store_tls: StoreTls | None = None


class Platform(_Fact):
    """Everything that exists before ``pulumi up``."""

    version: Literal[1] = 1
    kind: Literal["bundled", "system"]
    hypervisor: Hypervisor | None = None
    """The lab's only one, if it has no name in the settings."""
    hypervisors: dict[str, Hypervisor] = Field(default_factory=dict)
    """Those that run machines, by their names in the settings."""
    image: MachineImage | None = None
    """Of machines."""
    node_engine: NodeEngine | None = None
    """Where nodes are containers."""
    packages: Packages | None = None
    registry_mirror: str | None = None
    """URL of a registry mirror of the hub, as the nodes reach it; None for the hub itself."""
    image_digests: dict[str, str] = Field(default_factory=dict)
    """Of the images that the lab's own registry serves, by ``repository:tag``. Nodes pull them by digest."""
    identity: Identity
    run_dir: Path = Field(description="Short 0700 directory for sockets (SSH multiplexing).")

    @property
    def hypervisors_by_name(self) -> dict[str, Hypervisor]:
        """Every hypervisor by name; empty text for one without."""
        return ({"": self.hypervisor} if self.hypervisor is not None else {}) | self.hypervisors
