"""``libvirt:index/domain:Domain``: one machine. ID = the domain's UUID."""

from __future__ import annotations

import contextlib
from typing import Any

import libvirt

from bundled_plugins.libvirt.base import LibvirtResource, update_autostart
from bundled_plugins.libvirt.capabilities import DEFAULT_MACHINES, Capabilities
from bundled_plugins.libvirt.cloud_init_disk import volume_key
from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.domain_model import DomainInputs
from bundled_plugins.libvirt.domain_read import domain_properties
from bundled_plugins.libvirt.domain_xml import DiskSource, Parts, cloudinit_disk, domain_xml, random_mac
from bundled_plugins.libvirt.errors import INVALID_ARG, NO_DOMAIN, NO_SUPPORT, error_context, find, message, not_found
from bundled_plugins.libvirt.ownership import created_by_this_stack, new_uuid
from bundled_plugins.libvirt.storage import volume_format, volume_with_key
from bundled_plugins.libvirt.waits import wait_until
from bundled_plugins.libvirt.xmltree import attribute, parse, text_of, to_xml
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model_resource import PartiallyCreated
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties

_UNDEFINE_FLAGS = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)
_TRAY_LIMIT_S = 90.0


class Domain(LibvirtResource):
    """A machine. Deleting it cuts its power; its volumes stay.

    In place only ``autostart`` and ``cloudinit`` (the medium is swapped) change, and any update
    starts a stopped machine; other properties that do not replace are taken into the state without effect.
    """

    token = "libvirt:index/domain:Domain"
    model = DomainInputs

    def create_object(self, op: Operation, host: Hypervisor, inputs: Properties) -> str:
        networks = [_network_of(host, nic) for nic in inputs.get("networkInterfaces") or []]
        parts = _parts(op, host, inputs, networks)
        xml = domain_xml(inputs, parts)
        _remove_leftover(op, host, inputs["name"])
        with error_context("error defining libvirt domain"):
            domain = host.connection.defineXML(xml)
        try:
            if inputs.get("autostart"):
                with error_context("error setting autostart for domain"):
                    domain.setAutostart(1)
            with error_context("error creating libvirt domain"):
                domain.create()
        except ProviderError:
            # Left defined, it would block the next try with "already exists".
            _undefine(domain)
            raise
        id_ = str(domain.UUIDString())
        if not inputs["running"]:
            try:
                with error_context("error destroying libvirt domain"):
                    domain.destroy()
            except ProviderError as error:
                raise PartiallyCreated(id_, error) from error
        return id_

    def read_object(self, op: Operation, host: Hypervisor, id: str, known: Properties) -> tuple[str, Properties] | None:
        domain = _lookup(host, id)
        if domain is None:
            return None
        try:
            return id, domain_properties(host, domain, known)
        except libvirt.libvirtError as error:
            if error.get_error_code() == NO_DOMAIN:
                return None
            raise

    def update_object(self, op: Operation, host: Hypervisor, id: str, olds: Properties, news: Properties) -> Properties:
        domain = _lookup(host, id)
        if domain is None:
            raise ProviderError(f"the domain {id} does not exist any more; run 'pulumi refresh'")
        # Before it starts: while its firmware begins, libvirt may lose track of the tray for good.
        if news.get("cloudinit") != olds.get("cloudinit"):
            _swap_medium(op, domain, news.get("cloudinit"))
        if not domain.isActive():
            with error_context("error creating libvirt domain"):
                domain.create()
        update_autostart(domain, olds, news, "error setting autostart for domain")
        return {}

    def delete_object(self, op: Operation, host: Hypervisor, id: str, outputs: Properties) -> None:
        domain = _lookup(host, id)
        if domain is None:
            return
        if domain.isActive():
            try:
                domain.destroy()
            except libvirt.libvirtError as error:
                # It may have ended by itself in between; one that still runs is an error.
                if not not_found(error) and domain.isActive():
                    raise ProviderError(f"couldn't destroy libvirt domain: {message(error)}") from error
        with error_context("couldn't undefine libvirt domain"):
            _undefine(domain, quiet=False)
        wait_until(op, f"the end of domain {id}", lambda: "" if _lookup(host, id) is None else "it still exists")


def _lookup(host: Hypervisor, id: str) -> Any | None:
    return find(host.connection.lookupByUUIDString, id, "error retrieving libvirt domain")


def _remove_leftover(op: Operation, host: Hypervisor, name: str) -> None:
    domain = find(host.connection.lookupByName, name, "error retrieving libvirt domain")
    if domain is None:
        return
    if created_by_this_stack(op, domain.UUIDString()):
        op.log("info", f"the domain '{name}' left by an interrupted run is recreated", False)
        with contextlib.suppress(libvirt.libvirtError):
            domain.destroy()
        _undefine(domain)


def _undefine(domain: Any, *, quiet: bool = True) -> None:
    """Remove the definition with all that hangs on it; gone already = success."""
    try:
        try:
            domain.undefineFlags(_UNDEFINE_FLAGS)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (NO_SUPPORT, INVALID_ARG):
                raise
            domain.undefine()
    except libvirt.libvirtError as error:
        if not quiet and not not_found(error):
            raise


def _network_of(host: Hypervisor, nic: Properties) -> Any | None:
    """The network of an interface, None when it is on none."""
    name, uuid = nic.get("networkName"), nic.get("networkId")
    if not name and not uuid:
        return None
    try:
        if name:
            return host.connection.networkLookupByName(name)
        return host.connection.networkLookupByUUIDString(uuid)
    except libvirt.libvirtError as error:
        what = f"network '{name}'" if name else f"network ID {uuid}"
        raise ProviderError(f"can't retrieve {what}: {message(error)}") from error


def _parts(op: Operation, host: Hypervisor, inputs: Properties, networks: list[Any | None]) -> Parts:
    """Everything that the definition refers to, looked up. Raises :class:`ProviderError` for what is missing."""
    capabilities = Capabilities(host.connection.getCapabilities())
    arch = inputs.get("arch") or capabilities.host_arch
    machine = inputs.get("machine") or DEFAULT_MACHINES.get(arch, "")
    nics = inputs.get("networkInterfaces") or []
    cloudinit = inputs.get("cloudinit")
    return Parts(
        uuid=new_uuid(op),
        host_arch=capabilities.host_arch,
        machine=capabilities.canonical(arch, machine),
        disks=[_disk_source(host, disk) for disk in inputs.get("disks") or []],
        networks=[network.name() if network is not None else "" for network in networks],
        macs=[(nic.get("mac") or random_mac()).upper() for nic in nics],
        cloudinit=_cloudinit_path(host, cloudinit) if cloudinit else "",
    )


def _disk_source(host: Hypervisor, disk: Properties) -> DiskSource | None:
    key = disk.get("volumeId")
    if not key:
        return None
    volume = volume_with_key(host, key, None)
    if volume is None:
        raise ProviderError(f"can't retrieve volume {key}: there is no such volume in an active pool")
    pool = volume.storagePoolLookupByVolume()
    return DiskSource(pool.name(), volume.name(), volume_format(volume))


def _cloudinit_path(host: Hypervisor, id: str) -> str:
    key = volume_key(id)
    volume = volume_with_key(host, key, None)
    if volume is None:
        raise ProviderError(f"can't retrieve the cloud-init volume {key}: there is no such volume in an active pool")
    return text_of(parse(volume.XMLDesc(0)), "target/path")


def _swap_medium(op: Operation, domain: Any, cloudinit: str | None) -> None:
    """Put the new first-boot data into the drive; the guest does not read it again before cloud-init is cleaned."""
    if not cloudinit:
        raise ProviderError("the cloud-init disk of a domain cannot be taken away; replace the domain")
    disk = cloudinit_disk(volume_key(cloudinit))
    for existing in parse(domain.XMLDesc(0)).findall("devices/disk"):
        if text_of(existing, "serial") == "cloudinit":
            target = disk.find("target")
            if target is not None:
                target.set("dev", attribute(existing, "target", "dev"))
                target.set("bus", attribute(existing, "target", "bus"))
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG | (libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0)

    def swapped() -> str:
        try:
            domain.updateDeviceFlags(to_xml(disk), flags)
        except libvirt.libvirtError as error:
            # A machine that has only just started locks its tray for a while, or closes it again.
            if "Tray of " in message(error):
                return message(error)
            raise ProviderError(f"error while changing the cloudinit volume: {message(error)}") from error
        return ""

    wait_until(op, "the CD-ROM tray to open", swapped, op.remaining(_TRAY_LIMIT_S))
