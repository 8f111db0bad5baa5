"""Which labs of this machine are dead, and what is left of one that is removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from overlab import cli
from overlab.core import paths as core_paths
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.paths import LabPaths
from overlab.core.process import ProcessRecord, end, spawn
from overlab.core.progress import Progress
from overlab.core.wait import NotYet, until
from overlab.platform import footprint, prepare
from overlab.platform.manifest import PlatformManifest
from overlab.platform.namespace import Namespace
from overlab.stack import garbage

LAB = f"t-gc{os.getpid()}"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's run directory: without the labs that this machine has."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = tmp_path / "run"
    run.mkdir()
    for module in (core_paths, garbage, prepare):
        monkeypatch.setattr(module, "run_root", lambda: run)
    return run


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    directory = tmp_path / "checkout"
    directory.mkdir()
    return directory


def make(checkout: Path, stack: str | None = LAB, *, up: bool = False) -> LabPaths:
    """The state directory of a lab, prepared by this checkout; nothing of it runs."""
    paths = LabPaths(LAB)
    PlatformManifest(
        checkout=checkout,
        inputs="",
        files={},
        cli=checkout,
        cli_version="",
        sources={},
        bundled_plugins=True,
        images=None,
    ).save(paths)
    if stack is not None:
        state = {"checkpoint": {"latest": {"resources": [{"urn": "urn:pulumi:s::p::t::n"}] if up else []}}}
        write_private(paths.backend / ".pulumi" / "stacks" / "overlab" / f"{stack}.json", json.dumps(state).encode())
    return paths


def only() -> garbage.FoundLab:
    (found,) = garbage.find()
    return found


def test_a_lab_whose_stack_file_is_gone_and_that_is_not_up_is_dead(checkout: Path) -> None:
    paths = make(checkout)
    assert only().dead == f"no stack file of {checkout} names it, and nothing of it is up"
    garbage.remove(only(), Progress(quiet=True))
    assert not paths.state.exists()
    assert garbage.find() == []


@pytest.mark.parametrize(
    ("file", "text"),
    [(f"Pulumi.{LAB}.yaml", ""), ("Pulumi.x.yaml", f"config:\n  overlab:lab: {{name: '{LAB}'}}\n")],
    ids=["by its own name", "by the lab's"],
)
def test_a_lab_that_a_stack_file_names_is_kept(checkout: Path, file: str, text: str) -> None:
    make(checkout, stack=None)
    (checkout / "Pulumi.y.yaml").write_text(f"config: {{overlab:lab: {{name: {LAB}9}}}}")
    assert only().dead
    (checkout / file).write_text(text)
    assert only().kept == f"{checkout / file} is its stack file"


def test_a_stack_that_is_up_on_hypervisors_of_the_system_is_kept(checkout: Path) -> None:
    """Its machines run on, whatever runs here."""
    make(checkout, up=True)
    assert only().kept == f"it is up, and its stack file is gone: overlab down --stack {LAB} --platform"


def test_a_lab_that_a_command_prepares_is_kept(checkout: Path) -> None:
    paths = make(checkout)
    dead = only()
    with FileLock(prepare.lock_file(paths)):
        assert only().kept == "a command prepares or removes it"
        with pytest.raises(OverlabError, match="is not removed: a command prepares or removes it"):
            garbage.remove(dead, Progress(quiet=True))
    assert paths.state.exists()


def test_a_preparation_that_was_not_completed_is_dead() -> None:
    LabPaths(LAB).state.mkdir(parents=True)
    assert only().dead == "its preparation was not completed, and nothing of it runs"


def test_a_dry_run_removes_nothing_and_says_what_would_be(checkout: Path) -> None:
    paths = make(checkout)
    done = CliRunner().invoke(cli.app, ["gc", "--dry-run"])
    assert (done.exit_code, paths.state.exists()) == (0, True)
    assert done.stdout == (
        f"would be removed: {LAB} ({paths.state}): no stack file of {checkout} names it, and nothing of it is up:"
        f" directory {paths.state}\n"
    )
    done = CliRunner().invoke(cli.app, ["gc"])
    assert (done.exit_code, paths.state.exists()) == (0, False)
    assert done.stdout.startswith("removed: ")
    assert CliRunner().invoke(cli.app, ["gc"]).stdout == "no lab on this machine\n"


# -- with a namespace and processes ----------------------------------------------------------------


def sleeper(paths: LabPaths) -> ProcessRecord:
    """A process in the lab's network namespace."""
    namespace = Namespace.of(paths)
    namespace.ensure()
    process = spawn(namespace.command(["sleep", "300"]), paths.run / "log")
    until("the process to enter the namespace", lambda: _inside(namespace), 10)
    return process


def _inside(namespace: Namespace) -> None:
    if not namespace.processes():
        raise NotYet


@pytest.mark.root
@needs_root
def test_what_runs_without_its_state_directory_is_removed(checkout: Path, run: Path, tmp_path: Path) -> None:
    """As after a test run whose temporary directory was removed."""
    paths = LabPaths(LAB, tmp_path / "elsewhere" / "labs" / LAB)
    paths.state.mkdir(parents=True)
    process = sleeper(paths)
    try:
        assert only().kept == "something of it runs"
        shutil.rmtree(paths.state)
        assert only().dead == f"its state directory {paths.state} is gone"
        assert {one.kind for one in only().traces} == {"process", "network namespace", "directory"}
        garbage.remove(only(), Progress(quiet=True))
        assert not process.alive()
        assert footprint.footprint(paths) == []
        assert not run.exists()
    finally:
        Namespace.of(paths).remove()


@pytest.mark.root
@needs_root
def test_a_lab_that_is_up_is_kept_without_its_stack_file(checkout: Path) -> None:
    paths = make(checkout, up=True)
    process = sleeper(paths)
    try:
        assert only().kept == f"it is up, and its stack file is gone: overlab down --stack {LAB} --platform"
        assert process.alive()
    finally:
        Namespace.of(paths).remove()


@pytest.mark.root
@needs_root
def test_a_removal_of_the_platform_names_what_it_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = LabPaths(LAB)
    paths.state.mkdir(parents=True)
    process = sleeper(paths)
    monkeypatch.setattr(prepare, "_stop", lambda _paths: None)
    try:
        with pytest.raises(OverlabError) as raised:
            prepare.teardown(LAB, Progress(quiet=True))
        assert raised.value.what == (
            f"left of lab {LAB}: process {process.pid} sleep 300, network namespace overlab-{LAB}"
        )
        assert (
            raised.value.remedy
            == f"kill -KILL {process.pid}; ip netns delete overlab-{LAB}; then the same command again"
        )
    finally:
        end([process])
        subprocess.run(["ip", "netns", "delete", paths.namespace], check=True)


@pytest.mark.root
@needs_root
def test_a_mount_in_a_labs_directory_is_found(tmp_path: Path) -> None:
    paths = LabPaths(LAB)
    paths.state.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(paths.state)], check=True)
    try:
        assert [str(one) for one in footprint.footprint(paths)] == [f"mount {paths.state}", f"directory {paths.state}"]
        assert only().dead
    finally:
        subprocess.run(["umount", str(paths.state)], check=True)
