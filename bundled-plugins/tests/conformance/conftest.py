"""What the tests of the bundled plugins share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.engine import Home
from conformance.harness import other_plugins

BUNDLED_ONLY = {
    "internals": "calls Python code of the bundled plugins",
    "language host": "tests the bundled language host; the official one comes with the CLI",
    "refusals": "what the bundled plugins do not cover is refused by name",
    "limits": "a time limit or a cancel ends a running operation",
    "logins": "connections are shared, limited, and replaced when they break",
    "output": "secrets are masked, long lines kept, bytes that are no text replaced",
    "leftovers": "what an interrupted run left is recreated, what failed is removed",
    "objects gone": "what was removed, stopped or is busy by other means fails nothing",
    "plans": "a plan is free of what the official plugin changes at every update, or is earlier",
    "file modes": "volumes are readable by their owner only, whatever mode the provider states",
    "wording": "compares the text of an error",
    "version": "the version is the one that the SDK asks for; another plugin may be a later one",
    "test driver": "uses the URI test:///default; the official client dials a socket",
}
"""Why a test holds for the bundled plugins only: the argument of its mark."""
_REAL_DAEMONS = {"daemon", "hypervisor", "sshd", "own_sshd"}
"""Fixtures that start a private daemon, which takes root."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts daemons ``root`` and what runs the Pulumi CLI ``slow``; with other plugins than the bundled
    ones, skip what can only hold for those."""
    others = other_plugins()
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & _REAL_DAEMONS:
            item.add_marker(pytest.mark.root)
        if "pulumi_cli" in fixtures:
            item.add_marker(pytest.mark.slow)
        if mark := item.get_closest_marker("bundled_only"):
            reason = BUNDLED_ONLY[mark.args[0]]
            if others is not None:
                item.add_marker(pytest.mark.skip(reason=f"holds for the bundled plugins only: {reason}"))


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
