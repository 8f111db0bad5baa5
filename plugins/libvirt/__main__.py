"""The bundled provider ``libvirt``: the process that the engine starts."""

from __future__ import annotations

from plugins.libvirt.provider import LibvirtPlugin
from plugins.runtime import provider


def main() -> None:
    """Serve until the engine ends the process."""
    provider.main(LibvirtPlugin())


if __name__ == "__main__":
    main()
