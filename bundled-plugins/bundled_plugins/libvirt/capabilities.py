"""What the hypervisor can run: machine types and their canonical names."""

from __future__ import annotations

from bundled_plugins.libvirt.xmltree import parse, text_of
from bundled_plugins.runtime.errors import ProviderError

DEFAULT_MACHINES = {
    "x86_64": "pc",
    "i686": "pc",
    "aarch64": "virt",
    "armv7l": "virt",
    "s390x": "s390-ccw-virtio",
    "ppc64": "pseries",
    "ppc64le": "pseries",
}


class Capabilities:
    """The hypervisor's capabilities document."""

    def __init__(self, xml: str) -> None:
        self._root = parse(xml)
        self.host_arch = text_of(self._root, "host/cpu/arch")

    def canonical(self, arch: str, machine: str) -> str:
        """The full name of a machine type (``pc`` -> ``pc-i440fx-7.2``). Raises :class:`ProviderError`."""
        names = self._machines(arch)
        if machine not in names:
            raise ProviderError(
                f"cannot find machine type '{machine}' for the architecture {arch}; "
                f"the hypervisor has {', '.join(sorted(names)[:20]) or 'none for it'}"
            )
        return names[machine]

    def alias(self, arch: str, machine: str) -> str:
        """The short name of a canonical one, if there is one."""
        aliases = [name for name, canonical in self._machines(arch).items() if canonical == machine and name != machine]
        return min(aliases, key=len) if aliases else machine

    def _machines(self, arch: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for guest in self._root.findall("guest"):
            if text_of(guest, "os_type") != "hvm":
                continue
            section = guest.find("arch")
            if section is not None and section.get("name") == arch:
                for machine in section.iter("machine"):
                    name = (machine.text or "").strip()
                    found[name] = machine.get("canonical", name)
        return found
