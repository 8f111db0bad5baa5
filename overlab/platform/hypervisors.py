"""The hypervisors of a platform: the bundled one, or system ones (this machine's own, or those in the settings)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit
from xml.etree import ElementTree

from components.config.conventions import POOL_DIR
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform import acceleration, libvirt_api
from overlab.platform.acceleration import Acceleration
from overlab.platform.libvirt_api import LibvirtError
from overlab.platform.private_libvirtd import PrivateLibvirtd

if TYPE_CHECKING:
    from components.config.settings import Settings

PlatformKind = Literal["bundled", "system"]
DEFAULT_URI = "qemu:///system"
_OWN = "system, the machine's own"
_LIMIT_S = 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class HypervisorInfo:
    """A hypervisor that answers."""

    uri: str
    pool_path: str
    acceleration: Acceleration
    source: str


def kind_of(settings: Settings) -> PlatformKind:
    """The platform's kind; ``auto`` is ``system`` only where the settings name a hypervisor or an engine."""
    return "bundled" if settings.platform.is_bundled else "system"


def ensure(settings: Settings, paths: LabPaths, progress: Progress) -> dict[str, HypervisorInfo]:
    """Start or adopt the bundled one, or connect to the system ones, by name (empty for an unnamed one).

    Raises :class:`OverlabError` that names every one that does not answer.
    """
    if kind_of(settings) == "bundled":
        libvirt = PrivateLibvirtd(paths)
        libvirt.ensure(progress)
        source = "bundled: a private libvirtd in the lab's network namespace"
        return {"": HypervisorInfo(libvirt.uri, libvirt.pool_path, acceleration.probe(), source)}
    source = "system, named by the settings" if settings.platform.uri or settings.hypervisors != ("",) else _OWN
    found, errors = {}, []
    for name in settings.hypervisors:
        uri, pools = address(settings, name)
        try:
            found[name] = HypervisorInfo(uri, f"{pools}/overlab-{paths.lab}", connect(uri), f"{source} ({uri})")
        except OverlabError as error:
            errors.append(error)
    if errors:
        raise OverlabError("; ".join(one.what for one in errors), errors[0].remedy)
    return found


def address(settings: Settings, name: str) -> tuple[str, str]:
    """URI of a system hypervisor, and the directory on it in which pools are created."""
    if not name:
        return settings.platform.uri or DEFAULT_URI, POOL_DIR
    spec = settings.platform.hypervisors[name]
    return spec.uri, spec.pool_dir.rstrip("/")


def is_here(settings: Settings, name: str) -> bool:
    """Whether the hypervisor is this machine, by its URI."""
    return kind_of(settings) == "bundled" or urlsplit(address(settings, name)[0]).hostname is None


def connect(uri: str) -> Acceleration:
    """Connect to a system hypervisor: on this machine acceleration is probed, of a remote one its libvirt is asked.

    Raises :class:`OverlabError` where it does not answer.
    """
    offers_kvm = "kvm" in _domain_types(uri)
    if urlsplit(uri).hostname is None:
        return acceleration.probe() if offers_kvm else Acceleration("qemu", f"libvirt at {uri} offers no kvm")
    return Acceleration("kvm" if offers_kvm else "qemu", f"as libvirt at {uri} reports")


def has_bridge(uri: str, name: str) -> bool | None:
    """Whether the hypervisor's machine has a network device of that name; None where its libvirt knows of no devices.

    Raises :class:`OverlabError` where it does not answer.
    """

    def devices(connection: Any) -> list[str]:
        found = [connection.nodeDeviceLookupByName(one).XMLDesc() for one in connection.listDevices("net")]
        return [ElementTree.fromstring(xml).findtext("capability/interface") or "" for xml in found]

    found = asked(uri, devices)
    return name in found if found else None


def asked(uri: str, question: Callable[[Any], T]) -> T:
    try:
        return libvirt_api.ask(uri, question, _LIMIT_S)
    except LibvirtError as error:
        raise OverlabError(
            f"the hypervisor {uri} does not answer: {error}",
            "start its libvirtd, correct its URI (overlab:lab platform.uri or platform.hypervisors), or set"
            " platform.kind to bundled and name none",
        ) from error


def _domain_types(uri: str) -> set[str]:
    capabilities = asked(uri, lambda connection: str(connection.getCapabilities()))
    return {domain.get("type", "") for domain in ElementTree.fromstring(capabilities).iter("domain")}
