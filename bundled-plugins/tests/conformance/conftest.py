"""What the tests of the bundled plugins share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.engine import Home


@pytest.fixture(scope="session")
def pulumi_cli() -> Path:
    """The Pulumi CLI that the product would use; nothing is built for a test."""
    try:
        from overlab.platform import toolchain
    except ImportError as error:
        pytest.skip(f"needs the Pulumi CLI, and overlab.platform.toolchain cannot be imported: {error}")
    found = toolchain.find()
    if found is None:
        pytest.skip("needs the Pulumi CLI: none in OVERLAB_PULUMI, on PATH or in the cache; `make test` builds it")
    return found.path


@pytest.fixture(scope="module")
def pulumi_home(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A PULUMI_HOME with the bundled language host, for the tests of one module."""
    home = Home(tmp_path_factory.mktemp("engine"), pulumi_cli)
    home.add_plugin("language", "python", "3.259.0", "bundled_plugins.language_host")
    yield home
    home.close()
