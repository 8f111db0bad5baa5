"""The bundled provider ``libvirt``: the process that the engine starts."""

from __future__ import annotations

from plugins.runtime import light


def main() -> None:
    """Serve until the engine ends the process."""
    light.start()
    from plugins.libvirt.provider import LibvirtPlugin
    from plugins.runtime import provider

    provider.main(LibvirtPlugin())


if __name__ == "__main__":
    main()
