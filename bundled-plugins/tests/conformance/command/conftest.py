"""A private sshd and the command plugin as a process, shared by a module's tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bundled_plugins.runtime.values import Secret

from conformance.harness import Message, Provider, running
from conformance.sshd import Sshd, private_sshd

LOCAL = "command:local:Command"
REMOTE = "command:remote:Command"
COPY = "command:remote:CopyToRemote"


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server with sshd's own rules for environment variables: it takes TAKEN only."""
    with private_sshd(tmp_path_factory.mktemp("sshd"), AcceptEnv="TAKEN") as server:
        yield server


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A server for one test, which may kill it."""
    with private_sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture(scope="module")
def plugin() -> Iterator[Provider]:
    """One plugin process for the tests of a module."""
    with running("bundled_plugins.command", env={"SSH_AUTH_SOCK": ""}) as provider:
        yield provider


@pytest.fixture
def own_plugin() -> Iterator[Provider]:
    """A plugin process for one test, without any connection yet."""
    with running("bundled_plugins.command", env={"SSH_AUTH_SOCK": ""}) as provider:
        yield provider


@dataclass(frozen=True)
class Host:
    """Short forms for resources on the shared server."""

    server: Sshd

    def command(self, create: Any = None, connection: Any = None, **more: Any) -> dict[str, Any]:
        """Inputs of a remote command as the SDK sends them: the whole connection in one secret."""
        bag = {"connection": Secret(connection or self.server.connection()), "create": create, **more}
        return {name: value for name, value in bag.items() if value is not None}

    def copy(self, source: Any, remote_path: Path | str, **more: Any) -> dict[str, Any]:
        return {
            "connection": Secret(self.server.connection()),
            "source": source,
            "remotePath": str(remote_path),
            **more,
        }


@pytest.fixture
def host(sshd: Sshd) -> Host:
    return Host(sshd)


def messages(provider: Provider, token: str, name: str) -> list[Message]:
    """Messages of the plugin to the engine about one resource."""
    return [message for message in provider.engine.messages if message.urn == provider.urn(token, name)]
