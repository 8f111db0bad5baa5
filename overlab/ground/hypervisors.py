"""The hypervisor of a ground: embedded, or one that the machine or the settings have (native)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit
from xml.etree import ElementTree

from components.ground import Image
from overlab.ground import acceleration, cache
from overlab.ground.acceleration import Acceleration
from overlab.ground.embedded import EmbeddedLibvirt
from overlab.ground.errors import GroundError
from overlab.ground.paths import LabPaths
from overlab.ground.progress import Progress

if TYPE_CHECKING:
    from components.settings import Settings

Kind = Literal["embedded", "native"]
_NATIVE_POOLS = "/var/lib/libvirt/images"
DEFAULT_URI = "qemu:///system"


@dataclass(frozen=True)
class Found:
    """A hypervisor that answers."""

    uri: str
    pool_path: str
    acceleration: Acceleration
    rung: str


def kind_of(settings: Settings) -> Kind:
    """What the settings ask for; ``auto`` is native only where they name a hypervisor."""
    if settings.ground.kind == "auto":
        return "embedded" if settings.ground.uri is None else "native"
    return settings.ground.kind


def ensure(settings: Settings, paths: LabPaths, progress: Progress) -> Found:
    """Start or adopt the embedded one, or reach the native one. Raises :class:`GroundError` when it does not answer."""
    if kind_of(settings) == "embedded":
        libvirt = EmbeddedLibvirt(paths)
        libvirt.ensure(progress)
        rung = "embedded: a private libvirtd in the lab's network namespace"
        return Found(libvirt.uri, str(paths.pool), acceleration.probe(), rung)
    uri = settings.ground.uri or DEFAULT_URI
    rung = "native, named by the settings" if settings.ground.uri else "native, the machine's own"
    # a native qemu runs without rights on this user's directories
    return Found(uri, f"{_NATIVE_POOLS}/overlab-{paths.lab}", _native_acceleration(uri), f"{rung} ({uri})")


def given_image(source: str) -> Image:
    """An image named by the settings: a local file by its content, anything else by its name. It has no engine."""
    path = Path(source)
    if "://" not in source:
        if not path.is_file():
            raise GroundError(f"overlab:lab ground.image {source} is not a file", "correct the path, or remove the key")
        return Image(source=str(path.resolve()), content=cache.file_digest(path)[:16])
    return Image(source=source, content=hashlib.sha256(source.encode()).hexdigest()[:16])


def _native_acceleration(uri: str) -> Acceleration:
    """On this machine what a probe shows; of a remote one what its libvirt says."""
    offers_kvm = "kvm" in _domain_types(uri)
    if urlsplit(uri).hostname is None:
        return acceleration.probe() if offers_kvm else Acceleration("qemu", f"libvirt at {uri} offers no kvm")
    return Acceleration("kvm" if offers_kvm else "qemu", f"as libvirt at {uri} says")


def _domain_types(uri: str) -> set[str]:
    import libvirt

    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        connection = libvirt.open(uri)
        try:
            capabilities = connection.getCapabilities()
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        raise GroundError(
            f"the hypervisor {uri} does not answer: {error}",
            "start its libvirtd, correct overlab:lab ground.uri, or set ground.kind to embedded",
        ) from error
    return {domain.get("type", "") for domain in ElementTree.fromstring(capabilities).iter("domain")}
