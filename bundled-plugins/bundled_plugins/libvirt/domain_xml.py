"""A domain's inputs as libvirt's XML. Lookups are done before: this module only writes."""

from __future__ import annotations

import os
import secrets
import string
from dataclasses import dataclass

from bundled_plugins.libvirt.xmltree import Element, add, element, to_xml
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.values import Properties

TYPE_VARIABLE = "TERRAFORM_LIBVIRT_TEST_DOMAIN_TYPE"
RANDOM_VARIABLE = "TF_LIBVIRT_RNG_DEV"

CLOUDINIT_SERIAL = "cloudinit"
_NO_GRAPHICS = ("aarch64", "s390x", "ppc64", "ppc64le")


@dataclass(frozen=True)
class DiskSource:
    """A disk that is a volume."""

    pool: str
    volume: str
    format: str


@dataclass(frozen=True)
class Parts:
    """What a definition needs beside the inputs: mostly what was looked up on the hypervisor."""

    uuid: str
    host_arch: str
    machine: str
    """Canonical."""
    disks: list[DiskSource | None]
    """By index of ``disks``; None for disks that are no volumes."""
    networks: list[str]
    """Network name by index of ``networkInterfaces``; "" for other interfaces."""
    macs: list[str]
    cloudinit: str
    """Path of the cloud-init disk or ""."""


def random_mac() -> str:
    """A MAC of QEMU's range, upper case."""
    return "52:54:00:" + ":".join(f"{byte:02X}" for byte in secrets.token_bytes(3))


def domain_xml(inputs: Properties, parts: Parts) -> str:
    """The definition of a domain. Raises :class:`ProviderError` for disks and consoles that name nothing."""
    root = element("domain", type=os.environ.get(TYPE_VARIABLE) or inputs["type"])
    arch = inputs.get("arch") or parts.host_arch
    add(root, "name", inputs["name"])
    add(root, "uuid", parts.uuid)
    if inputs.get("description"):
        add(root, "description", inputs["description"])
    add(root, "memory", inputs["memory"], unit="MiB")
    add(root, "vcpu", inputs["vcpu"])
    _add_os(root, inputs, arch, parts.machine)
    if arch != "s390x":
        features = add(root, "features")
        for feature in ("pae", "acpi", "apic"):
            add(features, feature)
    add(root, "cpu", mode=(inputs.get("cpu") or {}).get("mode"))
    _add_devices(add(root, "devices"), inputs, parts)
    return to_xml(root)


def _add_os(root: Element, inputs: Properties, arch: str, machine: str) -> None:
    os_ = add(root, "os", firmware="efi" if arch == "aarch64" else None)
    add(os_, "type", "hvm", arch=inputs.get("arch"), machine=machine)
    for tag in ("kernel", "initrd"):
        if inputs.get(tag):
            add(os_, tag, inputs[tag])
    if inputs.get("cmdlines"):
        add(os_, "cmdline", command_line(inputs["cmdlines"]))
    for boot in inputs.get("bootDevices") or []:
        for dev in boot.get("devs") or []:
            add(os_, "boot", dev=dev)


def command_line(cmdlines: list[dict[str, str]]) -> str:
    """All words, sorted; those under the key ``_`` have no ``=``."""
    words = [value if key == "_" else f"{key}={value}" for cmdline in cmdlines for key, value in cmdline.items()]
    return " ".join(sorted(words))


def _add_devices(devices: Element, inputs: Properties, parts: Parts) -> None:
    if inputs.get("emulator"):
        add(devices, "emulator", inputs["emulator"])
    disks = inputs.get("disks") or []
    for index, disk in enumerate(disks):
        devices.append(_disk(index, disk, parts.disks[index]))
    if parts.cloudinit:
        devices.append(cloudinit_disk(parts.cloudinit))
    if any(disk.get("scsi") for disk in disks):
        add(devices, "controller", type="scsi", model="virtio-scsi")
    for index, nic in enumerate(inputs.get("networkInterfaces") or []):
        devices.append(_interface(nic, parts.networks[index], parts.macs[index]))
    for console in inputs.get("consoles") or []:
        devices.append(_console(console))
    channel = add(devices, "channel", type="unix")
    add(channel, "source")
    add(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    if parts.host_arch not in _NO_GRAPHICS:
        devices.append(_graphics(inputs.get("graphics")))
    rng = add(devices, "rng", model="virtio")
    add(rng, "backend", os.environ.get(RANDOM_VARIABLE) or "/dev/urandom", model="random")


def _disk(index: int, disk: Properties, source: DiskSource | None) -> Element:
    letter = string.ascii_lowercase[index] if index < 26 else "a" + string.ascii_lowercase[index % 26]
    file, block = disk.get("file"), disk.get("blockDevice")
    cdrom = bool(file) and str(file).endswith(".iso") and source is None
    kind = "volume" if source else "file" if file else "block" if block else ""
    if not kind:
        raise ProviderError(f"disks[{index}] names nothing; give one of volumeId, file or blockDevice")
    made = element("disk", type=kind, device="cdrom" if cdrom else "disk")
    add(made, "driver", name="qemu", type="qcow2" if source and source.format == "qcow2" else "raw")
    if source:
        add(made, "source", pool=source.pool, volume=source.volume)
    elif file:
        add(made, "source", file=file)
    else:
        add(made, "source", dev=block)
    if cdrom:
        add(made, "target", dev=f"hd{letter}", bus="ide")
    elif disk.get("scsi"):
        add(made, "target", dev=f"sd{letter}", bus="scsi")
    else:
        add(made, "target", dev=f"vd{letter}", bus="virtio")
    return made


def cloudinit_disk(path: str) -> Element:
    """The CD-ROM that carries the first-boot data; its serial is how it is found again."""
    made = element("disk", type="file", device="cdrom")
    add(made, "driver", name="qemu", type="raw")
    add(made, "source", file=path)
    add(made, "target", dev="hdd", bus="ide")
    add(made, "serial", CLOUDINIT_SERIAL)
    return made


def _interface(nic: Properties, network: str, mac: str) -> Element:
    kind, source = "user", dict[str, object]()
    if network:
        kind, source = "network", {"network": network}
    elif nic.get("bridge"):
        kind, source = "bridge", {"bridge": nic["bridge"]}
    made = element("interface", type=kind)
    add(made, "mac", address=mac)
    if source:
        add(made, "source", **source)
    add(made, "model", type="virtio")
    return made


def _console(console: Properties) -> Element:
    kind = console["type"]
    made = element("console", type=kind)
    if kind == "tcp":
        add(made, "source", mode="bind", host=console.get("sourceHost"), service=console.get("sourceService"))
        add(made, "protocol", type="telnet")
    elif console.get("sourcePath"):
        add(made, "source", path=console["sourcePath"])
    elif kind != "pty":
        raise ProviderError(f"a console of type '{kind}' needs 'sourcePath'")
    add(made, "target", type=console.get("targetType"), port=console["targetPort"])
    return made


def _graphics(graphics: Properties | None) -> Element:
    if not graphics:
        return element("graphics", type="spice", autoport="yes")
    made = element(
        "graphics",
        type=graphics.get("type"),
        autoport="yes" if graphics.get("autoport") else "no",
        websocket=graphics.get("websocket"),
    )
    kind = graphics.get("listenType") or "none"
    add(made, "listen", type=kind, address=graphics.get("listenAddress") if kind == "address" else None)
    return made
