"""The plugin process ``pulumi-resource-docker``."""

from __future__ import annotations

from bundled_plugins.runtime import fast_import


def main() -> None:
    """Serve until the engine ends the process."""
    fast_import.start()
    from bundled_plugins.docker.provider import DockerPlugin
    from bundled_plugins.runtime import provider

    provider.main(DockerPlugin())


if __name__ == "__main__":
    main()
