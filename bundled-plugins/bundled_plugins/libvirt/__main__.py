"""The bundled provider ``libvirt``: the process that the engine starts."""

from __future__ import annotations

from bundled_plugins.runtime import fast_import


def main() -> None:
    """Serve until the engine ends the process."""
    fast_import.start()
    from bundled_plugins.libvirt.provider import LibvirtPlugin
    from bundled_plugins.runtime import provider

    provider.main(LibvirtPlugin())


if __name__ == "__main__":
    main()
