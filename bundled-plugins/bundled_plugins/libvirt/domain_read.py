"""A live domain in the official provider's terms."""

from __future__ import annotations

import itertools
from typing import Any

import libvirt

from bundled_plugins.libvirt.capabilities import Capabilities
from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.domain_xml import CLOUDINIT_SERIAL
from bundled_plugins.libvirt.errors import find, message, not_found
from bundled_plugins.libvirt.storage import activate
from bundled_plugins.libvirt.xmltree import Element, attribute, parse, text_of
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.values import Properties


def domain_properties(host: Hypervisor, domain: Any, known: Properties) -> Properties:
    """Everything that libvirt reports about the domain; ``known`` = the last outputs, empty on import.

    A disk whose volume is gone is left out, so that the next run sees that the machine lacks it.
    """
    root = parse(domain.XMLDesc(0))
    arch = attribute(root, "os/type", "arch")
    capabilities = Capabilities(host.connection.getCapabilities())
    live: Properties = {
        "name": domain.name(),
        "vcpu": int(text_of(root, "vcpu") or 1),
        "memory": int(text_of(root, "memory") or 0) // 1024,
        "arch": arch,
        "machine": capabilities.alias(arch, attribute(root, "os/type", "machine")),
        "emulator": text_of(root, "devices/emulator"),
        "cpu": {"mode": _cpu_mode(domain)},
        "autostart": bool(domain.autostart()),
        "running": domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING,
    }
    optional: Properties = {
        "description": text_of(root, "description"),
        "kernel": text_of(root, "os/kernel"),
        "initrd": text_of(root, "os/initrd"),
        "cmdlines": _cmdlines(text_of(root, "os/cmdline"), known.get("cmdlines") or []),
        "disks": _disks(host, root),
        "networkInterfaces": [_interface(host, item) for item in root.findall("devices/interface")],
    }
    return live | {key: value for key, value in optional.items() if value or known.get(key)}


def _cpu_mode(domain: Any) -> str:
    """As it was defined: in a running machine ``host-model`` shows as the model that it came to."""
    return attribute(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)), "cpu", "mode")


def _cmdlines(line: str, known: list[dict[str, str]]) -> list[dict[str, str]]:
    """The kernel's arguments as a list of maps; as the program grouped them, where the words are the same."""
    words = sorted(line.split())
    if sorted(_words(known)) == words:
        return known
    found: list[dict[str, str]] = []
    for word in words:
        key, equals, value = word.partition("=")
        name, text = (key, value) if equals else ("_", key)
        slot = next((item for item in found if name not in item), None)
        if slot is None:
            found.append({name: text})
        else:
            slot[name] = text
    return found


def _words(cmdlines: list[dict[str, str]]) -> list[str]:
    return list(
        itertools.chain.from_iterable(
            (value if key == "_" else f"{key}={value}").split() for item in cmdlines for key, value in item.items()
        )
    )


def _disks(host: Hypervisor, root: Element) -> list[Properties]:
    found = []
    for disk in root.findall("devices/disk"):
        properties = _disk(host, disk)
        if properties is not None:
            found.append(properties)
    return found


def _disk(host: Hypervisor, disk: Element) -> Properties | None:
    source = disk.find("source")
    if disk.get("device") == "cdrom":
        file = "" if source is None else source.get("file", "")
        if text_of(disk, "serial") == CLOUDINIT_SERIAL or not file:
            return None
        return {"file": file, "scsi": False}
    properties: Properties = {"scsi": attribute(disk, "target", "bus") == "scsi"}
    if source is None:
        return None
    if disk.get("type") == "volume":
        key = _volume_key(host, source.get("pool", ""), source.get("volume", ""))
        return None if key is None else {"volumeId": key} | properties
    for attribute_name, name in (("file", "file"), ("dev", "blockDevice")):
        if source.get(attribute_name):
            return {name: source.get(attribute_name)} | properties
    return properties


def _volume_key(host: Hypervisor, pool_name: str, volume_name: str) -> str | None:
    try:
        pool = host.connection.storagePoolLookupByName(pool_name)
        activate(pool)
        return str(pool.storageVolLookupByName(volume_name).key())
    except libvirt.libvirtError as error:
        if not_found(error):
            return None
        raise ProviderError(
            f"error retrieving volume '{volume_name}' of pool '{pool_name}' for disk: {message(error)}"
        ) from error


def _interface(host: Hypervisor, item: Element) -> Properties:
    found: Properties = {"mac": attribute(item, "mac", "address").upper()}
    # On a network of mode bridge a running domain shows the bridge; the official provider then reads no network.
    name = attribute(item, "source", "network") if item.get("type") == "network" else ""
    if name:
        network = find(host.connection.networkLookupByName, name, "error retrieving libvirt network")
        found |= {"networkName": name, "networkId": "" if network is None else network.UUIDString()}
    if item.get("type") == "bridge":
        found["bridge"] = attribute(item, "source", "bridge")
    return found
