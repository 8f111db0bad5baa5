"""The lab's domains, network, pool and volumes on one hypervisor."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.platform import hypervisors
from overlab.platform.private_libvirtd import PrivateLibvirtd
from overlab.stack.lab_object import REMOVAL_ORDER, LabObject, Standing, lab_prefix
from overlab.stack.state import DOMAIN, LIBVIRT_NETWORK, LIBVIRT_VOLUME, POOL, SEED, State

_UNDEFINE = "--managed-save --snapshots-metadata --nvram"


def find(uri: str, lab: str, state: State, nodes: Collection[str]) -> list[LabObject]:
    """Every object of the lab; of another lab only what has a name that one of ``nodes`` needs.

    A pool's name is one lab's alone. So a pool that the state has, or that an update was killed in creating, is this
    lab's, and with it the network of that name, each volume in it, and each domain whose disks are all in it. On the
    bundled platform everything is this lab's. Raises :class:`OverlabError` where the hypervisor does not answer.
    """
    return hypervisors.asked(uri, lambda connection: _Search(connection, uri, lab, state, nodes).objects())


def remove(uri: str, objects: Iterable[LabObject]) -> None:
    """Remove them, dependents first; one that is gone already counts as removed."""

    def in_order(connection: Any) -> bool:
        for one in sorted(objects, key=lambda one: REMOVAL_ORDER.index(one.kind)):
            _remove(connection, one)
        return True

    hypervisors.asked(uri, in_order)


def start(one: LabObject) -> None:
    """Start a domain that is in the state. Raises :class:`OverlabError` with what libvirt says."""
    import libvirt

    def begin(connection: Any) -> bool:
        domain = connection.lookupByUUIDString(one.key)
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        else:
            domain.create()
        return True

    hypervisors.asked(one.host, begin)


def reset(one: LabObject) -> None:
    """Reset a domain, as its reset button would. Raises :class:`OverlabError` with what libvirt says."""
    hypervisors.asked(one.host, lambda connection: connection.lookupByUUIDString(one.key).reset() == 0)


class _Search:
    def __init__(self, connection: Any, uri: str, lab: str, state: State, nodes: Collection[str]) -> None:
        self._connection, self._uri, self._state = connection, uri, state
        self._name = lab_prefix(lab)
        self._wanted = {f"{self._name}-{node}" for node in nodes}
        self._libvirt = PrivateLibvirtd(LabPaths(lab))
        self._private = uri == self._libvirt.uri
        self._pool = _found(connection.storagePoolLookupByName, self._name)
        self._pool_is_ours = self._pool is not None and (
            self._private
            or self._pool.UUIDString() in state.keys(uri, POOL)
            or state.is_creating(uri, POOL, self._name)
        )
        self._pool_path = _text(self._pool.XMLDesc(0), "target/path") if self._pool is not None else ""

    def objects(self) -> list[LabObject]:
        domains = list(self._domains())
        return [*domains, *self._network(), *self._volumes(domains), *self._storage()]

    def _storage(self) -> Iterator[LabObject]:
        if self._pool is not None:
            key = self._pool.UUIDString()
            standing = self._standing(key, POOL, ours=self._pool_is_ours)
            remedy = self._virsh("pool-destroy", "pool-undefine")
            if PurePosixPath(self._pool_path).name == self._name:
                remedy += f"; {self._remove_files(self._pool_path)}"
            yield LabObject("pool", self._name, key, self._uri, standing, remedy)

    def _network(self) -> Iterator[LabObject]:
        network = _found(self._connection.networkLookupByName, self._name)
        if network is not None:
            key = network.UUIDString()
            ours = self._private or self._pool_is_ours
            ours = ours or self._state.is_creating(self._uri, LIBVIRT_NETWORK, self._name)
            standing = self._standing(key, LIBVIRT_NETWORK, ours=ours)
            yield LabObject("network", self._name, key, self._uri, standing, self._virsh("net-destroy", "net-undefine"))

    def _domains(self) -> Iterator[LabObject]:
        for domain in self._connection.listAllDomains():
            name, key = domain.name(), domain.UUIDString()
            if key in self._state.keys(self._uri, DOMAIN):
                standing: Standing = "known" if domain.isActive() else "stopped"
            elif name.startswith(f"{self._name}-") and (self._private or self._is_in_our_pool(domain)):
                standing = "unknown"
            elif name in self._wanted or (name.startswith(f"{self._name}-") and self._is_in_pool(domain)):
                standing = "foreign"
            else:
                continue
            remedy = self._virsh("destroy", f"undefine {_UNDEFINE}", name=name)
            yield LabObject("domain", name, key, self._uri, standing, remedy)

    def _volumes(self, domains: Iterable[LabObject]) -> Iterator[LabObject]:
        if self._pool is None or not self._pool_is_ours:
            return
        _activate(self._pool)
        volumes = {volume.path(): volume for volume in self._pool.listAllVolumes()}
        known = self._state.keys(self._uri, LIBVIRT_VOLUME, SEED)
        needed = {path for path, volume in volumes.items() if volume.key() in known}
        for one in domains:
            if one.standing in ("known", "stopped"):
                # not its first-boot data: the provider adopts no disk of these
                needed |= set(self._disks(self._connection.lookupByUUIDString(one.key), "disk"))
        while (
            backing := {_text(volumes[path].XMLDesc(0), "backingStore/path") for path in needed & set(volumes)} - needed
        ):
            needed |= backing
        for path, volume in volumes.items():
            key = volume.key()
            standing: Standing = "known" if key in known else "in use" if path in needed else "unknown"
            yield LabObject("volume", volume.name(), key, self._uri, standing, self._remove_files(path))

    def _standing(self, key: str, type_: str, *, ours: bool) -> Standing:
        if key in self._state.keys(self._uri, type_):
            return "known"
        return "unknown" if ours else "foreign"

    def _is_in_our_pool(self, domain: Any) -> bool:
        return self._pool_is_ours and self._is_in_pool(domain)

    def _is_in_pool(self, domain: Any) -> bool:
        disks = self._disks(domain, "disk", "cdrom")
        return self._pool is not None and bool(disks) and all(path.startswith(f"{self._pool_path}/") for path in disks)

    def _disks(self, domain: Any, *devices: str) -> list[str]:
        """Paths of its disks; of a volume in another pool its name alone."""
        found = []
        for disk in ElementTree.fromstring(domain.XMLDesc(0)).iter("disk"):
            source = disk.find("source")
            if source is None or disk.get("device", "disk") not in devices:
                continue
            directory = f"{self._pool_path}/" if source.get("pool") == self._name else ""
            found.append(source.get("file") or directory + source.get("volume", "?"))
        return found

    def _remove_files(self, path: str) -> str:
        return _remove_files(self._uri, self._libvirt.on_machine(path) if self._private else path)

    def _virsh(self, *commands: str, name: str | None = None) -> str:
        return _virsh(self._uri, name or self._name, *commands)


def _virsh(uri: str, name: str, *commands: str) -> str:
    return "; ".join(f"virsh -c '{uri}' {command} {name}" for command in commands)


def _remove_files(uri: str, path: str) -> str:
    """The command, which runs on the hypervisor's machine; a volume may be a directory."""
    parts, command = urlsplit(uri), f"rm -r {shlex.quote(path)}"
    host = parts.netloc if "ssh" in parts.scheme else parts.hostname
    return f"ssh ssh://{host} {command}" if host else command


def _activate(pool: Any) -> None:
    """Start the pool, and create its directory if it was removed: else neither it nor a volume in it can be deleted."""
    import libvirt

    with contextlib.suppress(libvirt.libvirtError):
        if pool.isActive():
            pool.refresh(0)  # stops it where the directory is gone
            return
    with contextlib.suppress(libvirt.libvirtError):
        pool.create(0)
        return
    try:
        pool.build(0)
        pool.create(0)
    except libvirt.libvirtError as error:
        path = _text(pool.XMLDesc(0), "target/path")
        raise OverlabError(
            f"the storage pool {pool.name()} cannot be started: {error}",
            f"make room for its directory {path}; then:"
            f" {_virsh(pool.connect().getURI(), pool.name(), 'pool-build', 'pool-start')}",
        ) from error


def _remove(connection: Any, one: LabObject) -> None:
    lookup, gone = {
        "domain": (connection.lookupByUUIDString, _end_domain),
        "network": (connection.networkLookupByUUIDString, _end_network),
        "volume": (connection.storageVolLookupByKey, lambda volume: volume.delete(0)),
        "pool": (connection.storagePoolLookupByUUIDString, _end_pool),
    }[one.kind]
    import libvirt

    try:
        found = _found(lookup, one.key)
        if found is not None:
            gone(found)
    except libvirt.libvirtError as error:
        raise OverlabError(f"{one} cannot be removed: {error}", one.remedy) from error


def _end_domain(domain: Any) -> None:
    import libvirt

    if domain.isActive():
        domain.destroy()
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    )
    # a transient one is gone with its process
    with contextlib.suppress(libvirt.libvirtError):
        domain.undefineFlags(flags)


def _end_network(network: Any) -> None:
    if network.isActive():
        network.destroy()
    if network.isPersistent():
        network.undefine()


def _end_pool(pool: Any) -> None:
    """Its directory too; it must be empty."""
    if pool.isActive():
        pool.destroy()
    pool.delete(0)
    pool.undefine()


def _found(lookup: Any, what: str) -> Any | None:
    """None where there is no such object."""
    import libvirt

    try:
        return lookup(what)
    except libvirt.libvirtError as error:
        missing = (
            libvirt.VIR_ERR_NO_DOMAIN,
            libvirt.VIR_ERR_NO_NETWORK,
            libvirt.VIR_ERR_NO_STORAGE_POOL,
            libvirt.VIR_ERR_NO_STORAGE_VOL,
        )
        if error.get_error_code() in missing:
            return None
        raise


def _text(xml: str, path: str) -> str:
    return ElementTree.fromstring(xml).findtext(path) or ""
