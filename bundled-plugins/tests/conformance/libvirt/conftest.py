"""A private libvirtd for the session, plugin processes, and a bench that leaves nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import pytest
from bundled_plugins.runtime.values import Properties

from conformance.daemons_libvirt import PrivateLibvirt, private_libvirt
from conformance.harness import Managed, Provider, running

NETWORK = "libvirt:index/network:Network"
POOL = "libvirt:index/pool:Pool"
VOLUME = "libvirt:index/volume:Volume"
ISO = "libvirt:index/cloudInitDisk:CloudInitDisk"
DOMAIN = "libvirt:index/domain:Domain"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def hypervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirt]:
    """The session's libvirtd."""
    with private_libvirt(tmp_path_factory.mktemp("libvirt"), "test") as started:
        yield started


@pytest.fixture(scope="session")
def plugin(hypervisor: PrivateLibvirt) -> Iterator[Provider]:
    """A plugin process configured for the session's libvirtd."""
    with running("bundled_plugins.libvirt", {"uri": hypervisor.uri}) as started:
        yield started


@pytest.fixture
def dry(tmp_path: Path) -> Iterator[Provider]:
    """A plugin process with libvirt's own test driver: networks and pools that exist in the process only."""
    with running("bundled_plugins.libvirt", {"uri": "test:///default"}) as started:
        yield started


@dataclass
class Bench:
    """One test's names, directories and resources on the session's libvirtd."""

    hypervisor: PrivateLibvirt
    plugin: Provider
    directory: Path
    number: int
    made: list[Managed] = field(default_factory=list)

    @property
    def connection(self) -> libvirt.virConnect:
        return self.hypervisor.connection

    @property
    def subnet(self) -> str:
        """First three bytes of a /24 of the test's own."""
        return f"10.{100 + self.number // 256}.{self.number % 256}"

    def domains(self) -> set[str]:
        """Names of the test's own domains that exist; so for networks and pools."""
        return {item.name() for item in _named(self.connection.listAllDomains(), self.named(""))}

    def networks(self) -> set[str]:
        return {item.name() for item in _named(self.connection.listAllNetworks(), self.named(""))}

    def pools(self) -> set[str]:
        return {item.name() for item in _named(self.connection.listAllStoragePools(), self.named(""))}

    def named(self, what: str) -> str:
        return f"t{self.number}-{what}"

    def resource(self, token: str, what: str) -> Managed:
        resource = self.plugin.resource(token, self.named(what))
        self.made.append(resource)
        return resource

    # programs of the common resources

    def network_program(self, **more: Any) -> Properties:
        return {
            "name": self.named("net"),
            "mode": "none",
            "addresses": [f"{self.subnet}.0/24"],
            "dhcp": {"enabled": False},
            "autostart": True,
        } | more

    def pool_program(self, **more: Any) -> Properties:
        return {"name": self.named("pool"), "type": "dir", "target": {"path": str(self.directory / "pool")}} | more

    def network(self, **more: Any) -> Managed:
        network = self.resource(NETWORK, "net")
        network.up(self.network_program(**more))
        return network

    def pool(self) -> Managed:
        pool = self.resource(POOL, "pool")
        pool.up(self.pool_program())
        return pool

    def volume(self, what: str, **program: Any) -> Managed:
        """A volume in the test's pool, of 1 MiB by default."""
        volume = self.resource(VOLUME, what)
        volume.up(self.volume_program(what, **program))
        return volume

    def volume_program(self, what: str, **program: Any) -> Properties:
        size = {} if {"source", "baseVolumeId", "baseVolumeName"} & set(program) else {"size": 1 << 20}
        return {"name": f"{what}.img", "pool": self.named("pool")} | size | program

    def domain_program(self, **more: Any) -> Properties:
        """A machine that boots nothing and runs on."""
        return {
            "name": self.named("vm"),
            "type": "qemu",
            "memory": 32,
            "graphics": {"type": "vnc", "listenType": "none"},
        } | more

    def domain(self, **more: Any) -> Managed:
        domain = self.resource(DOMAIN, "vm")
        domain.up(self.domain_program(**more))
        return domain

    def live_domain(self, domain: Managed) -> libvirt.virDomain:
        return self.connection.lookupByUUIDString(domain.id)


@pytest.fixture
def bench(hypervisor: PrivateLibvirt, plugin: Provider, tmp_path: Path) -> Iterator[Bench]:
    """A bench; whatever the test leaves on the hypervisor is removed by libvirt's own means."""
    with bench_in(hypervisor, plugin, tmp_path) as made:
        yield made


@contextlib.contextmanager
def bench_in(hypervisor: PrivateLibvirt, plugin: Provider, directory: Path) -> Iterator[Bench]:
    """A bench with its files in the directory."""
    made = Bench(hypervisor, plugin, directory, next(_numbers))
    try:
        yield made
    finally:
        sweep(hypervisor.connection, made.named(""))


def sweep(connection: libvirt.virConnect, prefix: str) -> None:
    """Remove every domain, network and pool whose name begins with the prefix."""
    flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    for domain in _named(connection.listAllDomains(), prefix):
        _try(domain.destroy)
        _try(domain.undefineFlags, flags)
    for network in _named(connection.listAllNetworks(), prefix):
        _try(network.destroy)
        _try(network.undefine)
    for pool in _named(connection.listAllStoragePools(), prefix):
        path = Path(pool.XMLDesc(0).split("<path>")[1].split("</path>")[0])
        _try(pool.destroy)
        _try(pool.undefine)
        shutil.rmtree(path, ignore_errors=True)


def _named(found: list[Any], prefix: str) -> list[Any]:
    return [item for item in found if item.name().startswith(prefix)]


def _try(call: Any, *arguments: Any) -> None:
    with contextlib.suppress(libvirt.libvirtError):
        call(*arguments)
