"""Which plugin the suite tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conformance.conftest import BUNDLED_ONLY
from conformance.harness import PLUGINS_ENV, ROOT, plugin_command


def test_the_bundled_plugins_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLUGINS_ENV, raising=False)
    assert plugin_command("bundled_plugins.docker") == [sys.executable, "-m", "bundled_plugins.docker"]


def test_the_plugins_of_a_directory_take_their_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(PLUGINS_ENV, str(tmp_path))
    file = tmp_path / "pulumi-resource-docker"
    file.touch()
    assert plugin_command("bundled_plugins.docker") == [str(file)]
    assert plugin_command("conformance.runtime.toy") == [sys.executable, "-m", "conformance.runtime.toy"]
    with pytest.raises(FileNotFoundError, match=r"there is no .*/pulumi-resource-libvirt"):
        plugin_command("bundled_plugins.libvirt")


def test_the_documentation_has_every_reason_for_a_mark() -> None:
    page = (ROOT.parent / "docs" / "howto" / "official-plugins.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    stated = {row[0].strip("`"): row[1] for row in rows if row[0].strip("`") in BUNDLED_ONLY}
    assert stated == BUNDLED_ONLY
