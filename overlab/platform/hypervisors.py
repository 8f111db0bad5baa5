"""The hypervisor of a ground: embedded, or one that the machine or the settings have (native)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit
from xml.etree import ElementTree

from components.config.conventions import POOLS_DIR
from components.config.platform import Image
from overlab.core.errors import GroundError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform import acceleration, cache
from overlab.platform.acceleration import Acceleration
from overlab.platform.private_libvirtd import EmbeddedLibvirt

if TYPE_CHECKING:
    from components.config.settings import Settings

Kind = Literal["embedded", "native"]
DEFAULT_URI = "qemu:///system"
_OWN = "native, the machine's own"
_LIMIT_S = 60.0
T = TypeVar("T")


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
        return "native" if settings.ground.uri is not None or settings.ground.hypervisors else "embedded"
    return settings.ground.kind


def ensure(settings: Settings, paths: LabPaths, progress: Progress) -> dict[str, Found]:
    """Start or adopt the embedded one, or reach the native ones, by name (that of an unnamed one is empty).

    Raises :class:`GroundError` that names every one that does not answer.
    """
    if kind_of(settings) == "embedded":
        libvirt = EmbeddedLibvirt(paths)
        libvirt.ensure(progress)
        rung = "embedded: a private libvirtd in the lab's network namespace"
        return {"": Found(libvirt.uri, str(paths.pool), acceleration.probe(), rung)}
    rung = "native, named by the settings" if settings.ground.uri or settings.hypervisors != ("",) else _OWN
    found, errors = {}, []
    for name in settings.hypervisors:
        uri, pools = address(settings, name)
        try:
            found[name] = Found(uri, f"{pools}/overlab-{paths.lab}", look(uri), f"{rung} ({uri})")
        except GroundError as error:
            errors.append(error)
    if errors:
        raise GroundError("; ".join(one.what for one in errors), errors[0].remedy)
    return found


def address(settings: Settings, name: str) -> tuple[str, str]:
    """URI of a native hypervisor, and the directory on it in which pools are made."""
    if not name:
        return settings.ground.uri or DEFAULT_URI, POOLS_DIR
    spec = settings.ground.hypervisors[name]
    return spec.uri, spec.pools.rstrip("/")


def given_image(source: str) -> Image:
    """An image named by the settings: a local file by its content, anything else by its name. It has no engine."""
    path = Path(source)
    if "://" not in source:
        if not path.is_file():
            raise GroundError(f"overlab:lab ground.image {source} is not a file", "correct the path, or remove the key")
        return Image(source=str(path.resolve()), content=cache.file_digest(path)[:16])
    return Image(source=source, content=hashlib.sha256(source.encode()).hexdigest()[:16])


def is_here(settings: Settings, name: str) -> bool:
    """Whether the hypervisor is this very machine, as its URI says."""
    return kind_of(settings) == "embedded" or urlsplit(address(settings, name)[0]).hostname is None


def look(uri: str) -> Acceleration:
    """Reach a native one: on this machine what a probe shows, of a remote one what its libvirt says.

    Raises :class:`GroundError` where it does not answer.
    """
    offers_kvm = "kvm" in _domain_types(uri)
    if urlsplit(uri).hostname is None:
        return acceleration.probe() if offers_kvm else Acceleration("qemu", f"libvirt at {uri} offers no kvm")
    return Acceleration("kvm" if offers_kvm else "qemu", f"as libvirt at {uri} says")


def has_bridge(uri: str, name: str) -> bool | None:
    """Whether the hypervisor's machine has a network device of that name; None where its libvirt knows of no devices.

    Raises :class:`GroundError` where it does not answer.
    """

    def devices(connection: Any) -> list[str]:
        found = [connection.nodeDeviceLookupByName(one).XMLDesc() for one in connection.listDevices("net")]
        return [ElementTree.fromstring(xml).findtext("capability/interface") or "" for xml in found]

    found = _asked(uri, devices)
    return name in found if found else None


def _asked(uri: str, question: Callable[[Any], T]) -> T:
    import libvirt

    def ask() -> None:
        try:
            connection = libvirt.open(uri)
            try:
                answers.append(question(connection))
            finally:
                connection.close()
        except libvirt.libvirtError as error:
            errors.append(error)

    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    answers: list[T] = []
    errors: list[Exception] = []
    # libvirt has no limit of its own on a call: one that hangs is left alone with its thread.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_LIMIT_S)
    if answers:
        return answers[0]
    why = errors[0] if errors else f"nothing within {_LIMIT_S:g} s"
    raise GroundError(
        f"the hypervisor {uri} does not answer: {why}",
        "start its libvirtd, correct its URI (overlab:lab ground.uri or ground.hypervisors), or set ground.kind to"
        " embedded and name none",
    )


def _domain_types(uri: str) -> set[str]:
    capabilities = _asked(uri, lambda connection: str(connection.getCapabilities()))
    return {domain.get("type", "") for domain in ElementTree.fromstring(capabilities).iter("domain")}
