"""A site with hypervisors: two libvirtds, each with a bridge of its own, a veth pair between them, and a registry.

Each is in a network namespace of its own, as two machines would be.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform import container_images
from overlab.platform.private_libvirtd import PrivateLibvirtd
from overlab.platform.registry import Registry
from tests.e2e import platform

NAMES = ("site1", "site2")
BRIDGE = "br0"
_VETH = "veth0"


@dataclass(frozen=True)
class Site:
    """The site, with everything running."""

    directory: Path
    hypervisors: dict[str, PrivateLibvirtd]

    @property
    def namespace(self) -> str:
        """Where the router's address and the registry are."""
        return self.hypervisors[NAMES[0]].namespace.name

    def uri(self, name: str) -> str:
        return self.hypervisors[name].uri

    def pools(self, name: str) -> Path:
        """Directory in which a hypervisor keeps pools."""
        return self.directory / f"{name}-pools"

    def objects(self, name: str) -> set[str]:
        """Domains, networks and pools that a hypervisor knows."""
        return {one for names in platform.known(self.uri(name)).values() for one in names}

    def files(self, name: str) -> list[Path]:
        """What is in a hypervisor's pools."""
        return list(self.pools(name).rglob("*"))


@contextmanager
def running(directory: Path, router: str) -> Iterator[Site]:
    """The site, until the block ends. ``router`` (ADDRESS/PREFIX) is the first one's on the bridge."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(directory))
        site = Site(directory, {name: PrivateLibvirtd(LabPaths(name), qemu_user="root") for name in NAMES})
        first = LabPaths(NAMES[0])
        registry = Registry(first, container_images.ensure(Progress()))
        try:
            for name, hypervisor in site.hypervisors.items():
                hypervisor.ensure(Progress())
                site.pools(name).mkdir()
            _join([hypervisor.namespace.name for hypervisor in site.hypervisors.values()], router)
            registry.ensure()
            yield site
        finally:
            registry.stop()
            for name, hypervisor in site.hypervisors.items():
                hypervisor.stop()
                LabPaths(name).run.rmdir()


def _join(namespaces: list[str], router: str) -> None:
    first, second = namespaces
    for namespace in namespaces:
        _ip("-n", namespace, "link", "add", BRIDGE, "up", "type", "bridge")
    _ip("link", "add", _VETH, "netns", first, "type", "veth", "peer", "name", _VETH, "netns", second)
    for namespace in namespaces:
        _ip("-n", namespace, "link", "set", _VETH, "master", BRIDGE, "up")
    _ip("-n", first, "address", "add", router, "dev", BRIDGE)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
