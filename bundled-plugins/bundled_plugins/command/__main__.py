"""Entry of ``pulumi-resource-command``."""

from __future__ import annotations

import logging

from bundled_plugins.runtime import fast_import


def main() -> None:
    """Serve the plugin until the engine ends it."""
    fast_import.start()
    # Its every failed attempt to log in would be a traceback; what matters of it is in our errors.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)

    from bundled_plugins.command.provider import CommandPlugin
    from bundled_plugins.runtime import provider

    provider.main(CommandPlugin())


if __name__ == "__main__":
    main()
