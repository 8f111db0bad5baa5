"""The first look at a machine: which setups it can run, before anything is installed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.core.paths import cache_entry
from overlab.platform import container_host, debian, docker_info, pulumi_search, setups, versions
from overlab.platform.debian import DebianPackage

_PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def debian_12_without_kvm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OVERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(setups, "_kvm", lambda: (False, "/dev/kvm is missing"))
    monkeypatch.setattr(debian, "missing", lambda packages: [])
    monkeypatch.setattr(container_host, "missing", lambda: iter(()))
    monkeypatch.setattr(docker_info, "choice", lambda: None)
    program(monkeypatch, tmp_path, pulumi=versions.PULUMI)


def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **printed: str) -> None:
    """Only these programs are on PATH, and each prints this."""
    directory = tmp_path / "bin"
    for old in directory.glob("*"):
        old.unlink()
    directory.mkdir(exist_ok=True)
    for name, text in printed.items():
        (directory / name).write_text(f"#!/bin/sh\necho {text}\n")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(versions, "_GO_DIRECTORIES", "")


def test_it_runs_on_the_standard_library_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "overlab.platform.setups"],
        cwd=_PROJECT,
        env={"PATH": os.defpath, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "this machine: " in done.stdout, done.stderr


def test_node_containers_come_first_where_nothing_is_missing() -> None:
    text = setups.describe(setups.examine())
    assert text.splitlines()[-1] == "begin with: make try"
    assert text.index("make try") < text.index("make up")
    assert "missing: " not in text


def test_machines_come_first_where_the_kernel_has_no_vxlan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_host, "missing", lambda: iter(["the kernel's vxlan"]))
    text = setups.describe(setups.examine())
    assert text.index("make up") < text.index("make try")
    assert "missing: the kernel's vxlan\n" in text
    assert text.endswith("begin with: make up")


def test_root_lets_make_install_the_packages_and_others_are_given_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "missing", lambda packages: [DebianPackage("parted", "vm", "partitions")])
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    monkeypatch.setattr(setups, "_pulumi", lambda: True)
    assert all(setup.possible for setup in setups.examine())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    text = setups.describe(setups.examine())
    assert "remedy: sudo apt-get install --no-install-recommends -y parted" in text
    assert "missing: root" in text
    assert "no setup is possible" in text


def test_a_normal_user_with_docker_needs_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(docker_info, "choice", lambda: docker_info.HOST)
    monkeypatch.setattr(debian, "has_dpkg", lambda: True)
    text = setups.describe(setups.examine())
    assert text.splitlines()[-1] == "begin with: make try"
    assert "nodes as containers on this machine's Docker" in text


def test_a_user_without_docker_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OverlabError("no Docker answers", "start it")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(docker_info, "choice", refuse)
    text = setups.describe(setups.examine())
    assert "missing: no Docker answers\n" in text
    assert "remedy: start it\n" in text


def test_a_distribution_of_any_kind_needs_ssh_for_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_info, "choice", lambda: docker_info.HOST)
    monkeypatch.setattr(debian, "has_dpkg", lambda: False)
    assert "missing: ssh\n" in setups.describe(setups.examine())


def test_a_distribution_without_apt_is_told_what_to_look_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "missing", lambda packages: [DebianPackage("parted", "vm", "partitions")])
    text = setups.describe(setups.examine())
    assert "missing: what Debian has in these packages: parted" in text


@pytest.mark.parametrize("system", [("darwin", "arm64"), ("linux", "aarch64")])
def test_another_system_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, system: tuple[str, str]) -> None:
    monkeypatch.setattr(sys, "platform", system[0])
    monkeypatch.setattr(platform, "machine", lambda: system[1])
    assert all([lack.what for lack in setup.lacks] == ["Linux on x86_64"] for setup in setups.examine())


def test_an_older_pulumi_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(monkeypatch, tmp_path, pulumi="v3.100.0", go="go1.19.8")
    text = setups.describe(setups.examine())
    assert f"Pulumi {versions.PULUMI} or newer ({tmp_path}/bin/pulumi is 3.100.0), or Go {versions.GO}" in text


@pytest.mark.parametrize("place", ["named", "installer", "cache"])
def test_pulumi_is_found_where_an_up_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    """The search is the one of ``overlab up``."""
    program(monkeypatch, tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(pulumi_search.SETTING_ENV, raising=False)
    assert not any(setup.possible for setup in setups.examine())
    entry = cache_entry(pulumi_search.CACHE_KIND, pulumi_search.cache_key())
    directory = {"named": tmp_path, "installer": tmp_path / "home/.pulumi/bin", "cache": entry / "content"}[place]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pulumi").write_text(f"#!/bin/sh\necho v{versions.PULUMI}\n")
    (directory / "pulumi").chmod(0o755)
    if place == "named":
        monkeypatch.setenv(pulumi_search.SETTING_ENV, str(directory / "pulumi"))
    assert all(setup.possible for setup in setups.examine())


def test_a_named_pulumi_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(monkeypatch, tmp_path)
    monkeypatch.setenv(pulumi_search.SETTING_ENV, "/nowhere/pulumi")
    assert "OVERLAB_PULUMI=/nowhere/pulumi is not an executable file" in setups.describe(setups.examine())


def test_pulumi_built_for_another_version_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(monkeypatch, tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    other = cache_entry(pulumi_search.CACHE_KIND, {"sources": "older"}) / "content"
    other.mkdir(parents=True)
    (other / "pulumi").touch()
    assert not any(setup.possible for setup in setups.examine())


def test_go_that_is_new_enough_builds_pulumi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(monkeypatch, tmp_path, go=f"go{versions.GO}")
    assert all(setup.possible for setup in setups.examine())
    assert "5 min once to build the Pulumi CLI" in setups.describe(setups.examine())


@pytest.mark.parametrize(
    ("text", "parsed"), [("v3.259.0", (3, 259, 0)), ("go1.25.11", (1, 25, 11)), ("", ()), ("3.2.1-dev.0", (3, 2, 1))]
)
def test_versions_compare_as_numbers(text: str, parsed: tuple[int, ...]) -> None:
    assert versions.parse(text) == parsed
