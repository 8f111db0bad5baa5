"""The plugin process ``pulumi-resource-docker``."""

from __future__ import annotations

from plugins.docker.provider import DockerPlugin
from plugins.runtime import provider


def main() -> None:
    """Serve until the engine ends the process."""
    provider.main(DockerPlugin())


if __name__ == "__main__":
    main()
