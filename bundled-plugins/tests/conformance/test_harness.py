"""Which plugin the suite tests."""

from __future__ import annotations

import os
import subprocess
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


_ANOTHER = """\
#!{python}
import sys
sys.path[0] = {root!r}
from bundled_plugins.command.provider import CommandPlugin
CommandPlugin.version = "99.0.0"
from bundled_plugins.command.__main__ import main
sys.exit(main())
"""


@pytest.mark.slow
def test_the_suite_runs_against_another_plugin(tmp_path: Path) -> None:
    plugin = tmp_path / "pulumi-resource-command"
    plugin.write_text(_ANOTHER.format(python=sys.executable, root=str(ROOT)))
    plugin.chmod(0o755)
    tests = Path(__file__).parent / "command" / "test_check_and_diff.py"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path}/base",
        str(tests),
    ]
    env = os.environ | {PLUGINS_ENV: str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT.parent, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "holds for the bundled plugins only: the version is the one that the SDK asks for" in done.stdout
