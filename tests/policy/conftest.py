"""What the policy tests share: the real CLI with a private home and the bundled plugins."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from conformance.conftest import pulumi_cli
from conformance.engine import Home

__all__ = ["pulumi_cli"]


@pytest.fixture(scope="session")
def policed_home(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A PULUMI_HOME with the bundled language host and all bundled providers."""
    home = Home(tmp_path_factory.mktemp("policed"), pulumi_cli)
    home.add_plugin("language", "python", version("pulumi"), "bundled_plugins.language_host")
    for name in ("command", "docker", "libvirt"):
        home.add_plugin("resource", name, version(f"pulumi-{name}"), f"bundled_plugins.{name}")
    yield home
    home.close()
