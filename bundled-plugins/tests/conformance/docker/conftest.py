"""A private daemon for the whole session, and a plugin that talks to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.daemons import PrivateDocker, private_docker
from conformance.harness import Provider, running


@pytest.fixture(scope="session")
def daemon() -> Iterator[PrivateDocker]:
    with private_docker() as started:
        yield started


@pytest.fixture(scope="session")
def plugin(daemon: PrivateDocker) -> Iterator[Provider]:
    """The plugin over the daemon's unix socket; shared, so a test must not cancel it."""
    with running("bundled_plugins.docker", {"host": daemon.host}) as provider:
        yield provider


@pytest.fixture
def provider(plugin: Provider, daemon: PrivateDocker) -> Iterator[Provider]:
    """The shared plugin; what a test leaves in the daemon is removed."""
    yield plugin
    daemon.clear()
