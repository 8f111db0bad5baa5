"""The provider ``command`` 1.2.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundled_plugins.command.client import Client
from bundled_plugins.command.copy_to_remote import CopyToRemote
from bundled_plugins.command.local_command import LocalCommand
from bundled_plugins.command.remote_command import RemoteCommand
from bundled_plugins.runtime.resource import Checked, Plugin
from bundled_plugins.runtime.values import Properties


class CommandPlugin(Plugin):
    """No configuration; ``command:remote:CopyFile`` and ``command:local:run`` are refused by name."""

    name = "command"
    version = "1.2.1"
    resources = (LocalCommand, RemoteCommand, CopyToRemote)

    def check_config(self, olds: Properties, news: Properties) -> Checked:
        return Checked(news)

    def configure(self, args: Properties, variables: Mapping[str, str]) -> Any:
        return Client()

    def cancel(self, client: Any) -> None:
        if isinstance(client, Client):
            client.cancel()
