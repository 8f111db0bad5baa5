"""Entry of ``pulumi-resource-command``."""

from __future__ import annotations

from plugins.command.provider import CommandPlugin
from plugins.runtime import provider


def main() -> None:
    """Serve the plugin until the engine ends it."""
    provider.main(CommandPlugin())


if __name__ == "__main__":
    main()
