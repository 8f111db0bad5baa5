"""Which plugins a lab gets: official ones win wherever they are, bundled ones fit the installed SDKs exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.platform import plugins
from overlab.platform.pulumi_search import PulumiCli


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for variable in ("PULUMI_HOME", plugins.CHOICE_ENV):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "home"


@pytest.fixture
def cli(tmp_path: Path) -> PulumiCli:
    return PulumiCli(executable(tmp_path / "cli" / "pulumi"), "3.259.0", "a test")


@pytest.fixture
def paths() -> LabPaths:
    return LabPaths("t-x")


def executable(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def official(home: Path, name: str = "docker", at: str | None = None) -> Path:
    directory = f"resource-{name}-v{at or version(f'pulumi-{name}')}"
    return executable(home / "plugins" / directory / f"pulumi-resource-{name}")


def installed(paths: LabPaths) -> dict[str, Path]:
    return {path.parent.name: path for path in (paths.pulumi_home / "plugins").glob("*/*")}


def test_bundled_plugins_stand_at_the_sdks_exact_versions(paths: LabPaths, cli: PulumiCli) -> None:
    found = plugins.install(paths, cli.path)
    assert {one.source for one in found} == {"bundled"}
    assert set(installed(paths)) == {
        f"language-python-v{version('pulumi')}",
        *(f"resource-{name}-v{version(f'pulumi-{name}')}" for name in ("docker", "libvirt", "command")),
    }
    assert all(os.access(file, os.X_OK) for file in installed(paths).values())
    assert plugins.acquisition_disabled(found)


def test_install_again_touches_nothing(paths: LabPaths, cli: PulumiCli) -> None:
    plugins.install(paths, cli.path)
    before = {path: path.stat().st_mtime_ns for path in installed(paths).values()}
    plugins.install(paths, cli.path)
    assert {path: path.stat().st_mtime_ns for path in installed(paths).values()} == before


def test_official_of_that_version_wins_and_is_linked_into_a_real_directory(
    paths: LabPaths, cli: PulumiCli, home: Path
) -> None:
    theirs = official(home / ".pulumi")
    plugins.install(paths, cli.path)
    ours = installed(paths)[f"resource-docker-v{version('pulumi-docker')}"]
    assert ours.resolve() == theirs
    assert not ours.parent.is_symlink()


def test_official_of_another_version_does_not_count(paths: LabPaths, cli: PulumiCli, home: Path) -> None:
    official(home / ".pulumi", at="5.0.9")
    assert {one.source for one in plugins.install(paths, cli.path)} == {"bundled"}


def test_the_callers_pulumi_home_changes_nothing(
    paths: LabPaths, cli: PulumiCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.install(paths, cli.path)
    official(tmp_path / "other", "command")
    for home in (tmp_path / "other", paths.pulumi_home):
        monkeypatch.setenv("PULUMI_HOME", str(home))
        assert {one.source for one in plugins.resolve(cli.path)} == {"bundled"}


def test_official_on_path_or_beside_the_cli_leaves_no_bundled_one(
    paths: LabPaths, cli: PulumiCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.install(paths, cli.path)
    executable(tmp_path / "bin" / "pulumi-resource-libvirt")
    executable(cli.path.parent / "pulumi-language-python")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    sources = {one.plugin.name: one.source for one in plugins.install(paths, cli.path)}
    assert sources["libvirt"].startswith("official, on PATH")
    assert sources["python"].startswith("official, beside the CLI")
    assert sorted(name.rsplit("-", 1)[0] for name in installed(paths)) == ["resource-command", "resource-docker"]


def test_with_official_chosen_nothing_of_ours_is_there_and_pulumi_may_fetch(
    paths: LabPaths, cli: PulumiCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.install(paths, cli.path)
    monkeypatch.setenv(plugins.CHOICE_ENV, "official")
    found = plugins.install(paths, cli.path)
    assert installed(paths) == {}
    assert not plugins.acquisition_disabled(found)


def test_official_that_vanished_gives_way_to_the_bundled_one(paths: LabPaths, cli: PulumiCli, home: Path) -> None:
    theirs = official(home / ".pulumi")
    plugins.install(paths, cli.path)
    theirs.unlink()
    plugins.install(paths, cli.path)
    ours = installed(paths)[f"resource-docker-v{version('pulumi-docker')}"]
    assert not ours.is_symlink()


def test_unknown_choice_is_refused(cli: PulumiCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.CHOICE_ENV, "mine")
    with pytest.raises(OverlabError, match=r"OVERLAB_PLUGINS=mine is unknown\n.*auto, official or bundled"):
        plugins.resolve(cli.path)


@pytest.mark.parametrize("directory", ["plain", "with space", "d" * 130])
def test_launcher_starts_the_module_with_this_interpreter_and_its_arguments(tmp_path: Path, directory: str) -> None:
    python = tmp_path / directory / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    fake = plugins.Plugin("resource", "x", "pulumi", "fake_plugin")
    file = tmp_path / "pulumi-resource-x"
    file.write_text(plugins.launcher(fake, python, Path(__file__).parent))
    file.chmod(0o755)
    other = tmp_path / "other" / "fake_plugin"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise SystemExit('the wrong one')")
    done = subprocess.run(
        [file, "--flag", "127.0.0.1:1"],
        cwd=other.parent,
        env={"PYTHONPATH": str(other.parent), "PYTHONHOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["--flag 127.0.0.1:1"], done.stderr
    assert done.returncode == 7


@pytest.mark.parametrize("plugin", plugins.PLUGINS, ids=lambda plugin: str(plugin.name))
def test_every_bundled_module_has_an_entry_point(plugin: plugins.Plugin) -> None:
    main = plugins.BUNDLED_ROOT / plugin.module.replace(".", "/") / "__main__.py"
    assert "def main(" in main.read_text()
