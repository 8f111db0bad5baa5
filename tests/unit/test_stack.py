"""Pulumi on a lab: environment, stale locks, the unchanged stack file, interrupts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overlab.core import environment
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.platform import shim, toolchain
from overlab.platform.manifest import PlatformManifest
from overlab.stack import stack as module
from overlab.stack.stack import Stack

_FILE = "config:\n  # why\n  overlab:lab:\n    nodes: {a: {}}\n"


CLI = toolchain.find()
needs_cli = pytest.mark.skipif(CLI is None, reason="there is no Pulumi CLI, and none is built for this")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "Pulumi.t.yaml").write_text(_FILE)
    (directory / "Pulumi.yaml").write_text("name: overlab\nruntime: python\n")
    monkeypatch.setattr(module, "checkout", lambda: directory)
    return directory


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state with space"))
    return LabPaths("t-x")


@pytest.fixture
def stack(project: Path, paths: LabPaths) -> Stack:
    manifest = PlatformManifest(
        checkout=project,
        inputs="",
        files={},
        cli=Path("/nowhere"),
        cli_version="3.259.0",
        sources={},
        bundled_plugins=True,
        images=None,
    )
    return Stack("t", paths, manifest)


def cli(stack: Stack, script: str, namespace: str | None = None) -> None:
    """Put a CLI behind the lab's shim."""
    file = stack.paths.state / "cli"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    shim.write(stack.paths, file, stack.file.parent, namespace=namespace)


def lock(stack: Stack, **changes: object) -> Path:
    content = {
        "pid": 4_000_000,
        "username": "root",
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        **changes,
    }
    file = stack.paths.backend / ".pulumi" / "locks" / "organization" / "overlab" / stack.name / "one.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


# -- locks -----------------------------------------------------------------------------------------


def test_lock_of_a_dead_process_is_removed(stack: Stack) -> None:
    file = lock(stack)
    assert stack.remove_stale_locks() == [file]
    assert not file.exists()


def test_lock_whose_pid_was_recycled_is_removed(stack: Stack) -> None:
    file = lock(stack, pid=os.getpid(), timestamp=(datetime.now(UTC) - timedelta(days=3650)).isoformat())
    assert stack.remove_stale_locks() == [file]


@pytest.mark.parametrize(
    "changes", [{"pid": os.getpid()}, {"hostname": "another"}, {"pid": "?"}, {"timestamp": "yesterday"}]
)
def test_lock_that_may_be_held_is_kept(stack: Stack, changes: dict[str, object]) -> None:
    lock(stack, **changes)
    assert stack.remove_stale_locks() == []


def test_nanoseconds_in_a_locks_time_are_understood(stack: Stack) -> None:
    """Go writes them."""
    lock(stack, timestamp="2026-11-24T06:44:58.123456789Z")
    assert len(stack.remove_stale_locks()) == 1


def test_lock_of_another_stack_is_kept(stack: Stack) -> None:
    file = lock(Stack("other", stack.paths, stack.manifest))
    assert stack.remove_stale_locks() == []
    assert file.exists()
    stack.refuse_locked()


def test_a_lock_that_is_kept_is_refused_with_its_holder(stack: Stack) -> None:
    """An `overlab` that was killed alone leaves a CLI that goes on."""
    stack.refuse_locked()
    lock(stack, pid=os.getpid())
    with pytest.raises(OverlabError, match=f"locked: process {os.getpid()} of root@{socket.gethostname()}, since 20"):
        stack.refuse_locked()


# -- environment -----------------------------------------------------------------------------------


def test_plain_pulumi_gets_the_labs_environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "would win over the lab's file")
    monkeypatch.setenv("PATH", f"/usr/bin:{stack.paths.bin}:/bin")
    cli(stack, 'env; echo "args $*"')
    done = subprocess.run(
        ["pulumi", "stack", "output"], env=stack.environment(), capture_output=True, text=True, check=True
    )
    assert "PULUMI_STACK=t\n" in done.stdout
    assert f"PULUMI_BACKEND_URL=file://{stack.paths.backend}\n" in done.stdout
    assert f"OVERLAB_PLATFORM={stack.paths.record}\n" in done.stdout
    assert "PULUMI_CONFIG_PASSPHRASE=" not in done.stdout
    assert f"PATH={stack.paths.bin}:/usr/bin:/bin\n" in done.stdout
    assert "args stack output\n" in done.stdout


def test_what_the_caller_exports_does_not_reach_pulumi(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = {
        **dict.fromkeys(("DOCKER_HOST", "DOCKER_CONTEXT", "PYTHONPATH", "SSH_AUTH_SOCK", "https_proxy"), "hostile"),
        **dict.fromkeys(("PULUMI_OPTION_TARGET", "PULUMI_CONFIG_PASSPHRASE", "LIBVIRT_DEFAULT_URI"), "hostile"),
        "DOCKER_CONFIG": "hostile",
        "MULTI": "a\nhostile=1",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    cli(stack, "env", namespace="none")
    file = stack.paths.bin / "pulumi"
    file.write_text(file.read_text().replace("nsenter --net=/run/netns/none --", ""))
    # by overlab, and by plain `pulumi` in a shell that evaluated `overlab env`
    for env in (stack.environment(), {**os.environ, **stack.variables()}):
        seen = subprocess.run([file, "up"], env=env, capture_output=True, text=True, check=True).stdout
        assert "hostile" not in seen
        assert f"DOCKER_CONFIG={stack.paths.state}/docker-config\n" in seen
        assert f"PULUMI_HOME={stack.paths.pulumi_home}\n" in seen


def test_where_pulumi_fetches_plugins_it_gets_the_callers_proxy(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    official = Stack("t", stack.paths, stack.manifest.model_copy(update={"bundled_plugins": False}))
    monkeypatch.setattr(environment, "_for_downloads", {"https_proxy": "http://proxy:1", "no_proxy": "example.org"})
    cli(stack, "env")
    for opened, expected in ((stack, False), (official, True)):
        seen = subprocess.run(
            [stack.paths.bin / "pulumi", "up"], env=opened.environment(), capture_output=True, text=True, check=True
        ).stdout
        assert ("https_proxy=http://proxy:1\n" in seen) is expected
        assert ("no_proxy=example.org,127.0.0.1,localhost\n" in seen) is expected


def test_pulumi_may_fetch_plugins_only_where_none_is_bundled(stack: Stack) -> None:
    name = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"
    assert stack.variables()[name] == "true"
    official = Stack("t", stack.paths, stack.manifest.model_copy(update={"bundled_plugins": False}))
    assert name not in official.variables()


# -- running ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 3, 255])
def test_exit_code_passes_through(stack: Stack, code: int) -> None:
    cli(stack, f"exit {code}")
    assert stack.run(["up"]).code == code


def test_stack_is_created_once_and_quietly(stack: Stack, capfd: pytest.CaptureFixture[str]) -> None:
    state = stack.paths.backend / ".pulumi" / "stacks" / "overlab" / "t.json"
    cli(stack, f'echo noise; echo "$*" >> "{stack.paths.state}/calls"; mkdir -p "{state.parent}"; touch "{state}"')
    assert (stack.ensure(), stack.ensure()) == (0, 0)
    (call,) = (stack.paths.state / "calls").read_text().splitlines()
    assert call.startswith("stack init t --no-select --non-interactive --cwd=")
    assert capfd.readouterr() == ("", "")


def test_failed_stack_init_shows_its_output(stack: Stack, capfd: pytest.CaptureFixture[str]) -> None:
    cli(stack, "echo 'no room' >&2; exit 255")
    assert stack.ensure() == 255
    assert "no room" in capfd.readouterr().err


# -- the stack file --------------------------------------------------------------------------------

_COPY = "PULUMI_OPTION_CONFIG_FILE"
_SHOW = f'echo "${_COPY}" > seen; [ -z "${_COPY}" ] || cat "${_COPY}"'
_SALT = "encryptionsalt: v1:abc\n"
_SECRET = "  overlab:x:\n    secure: v1:q\n"


def pulumi(stack: Stack, *args: str) -> str:
    """Output of plain `pulumi ARGS` in the project, with the lab's environment."""
    return subprocess.run(
        ["pulumi", *args], cwd=stack.file.parent, env=stack.environment(), capture_output=True, text=True, check=True
    ).stdout


def test_pulumi_gets_a_copy_of_the_stack_file_that_follows_its_edits(stack: Stack) -> None:
    cli(stack, _SHOW)
    assert pulumi(stack, "up") == _FILE
    stack.file.write_text(_FILE + "  overlab:more: 1\n")
    assert pulumi(stack, "up") == stack.file.read_text()
    copy = Path((stack.file.parent / "seen").read_text().strip())
    assert copy.parent == stack.paths.stack_files
    assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "args",
    [
        ["config", "set", "--secret", "x", "y"],
        ["up", "--config", "a=b"],
        ["up", "--config-file", "mine.yaml"],
        ["up", "-s", "other"],
        ["preview", "--stack=other"],
        ["--cwd", "/", "up"],
    ],
)
def test_a_command_that_edits_or_names_another_stack_file_gets_no_copy(stack: Stack, args: list[str]) -> None:
    cli(stack, _SHOW)
    assert pulumi(stack, *args) == ""


@pytest.mark.parametrize(
    ("text", "copied"),
    [(_FILE + _SALT, _FILE), (_SALT + _FILE, _FILE), (_SALT + _FILE + _SECRET, _SALT + _FILE + _SECRET)],
    ids=["a salt that protects nothing", "at the top", "with secrets"],
)
def test_a_salt_is_copied_only_with_secrets(stack: Stack, text: str, copied: str) -> None:
    stack.file.write_text(text)
    cli(stack, _SHOW)
    assert pulumi(stack, "up") == copied
    assert stack.file.read_text() == text


def test_a_salt_of_another_lab_that_protects_nothing_does_not_stop_a_new_stack(stack: Stack) -> None:
    stack.file.write_text(_FILE + _SALT)
    cli(stack, "exit 0")
    assert stack.ensure() == 0


def test_secrets_of_another_lab_are_refused_and_kept(stack: Stack) -> None:
    stack.file.write_text(_FILE + _SECRET + _SALT)
    with pytest.raises(OverlabError, match="another lab's passphrase"):
        stack.ensure()
    assert stack.file.read_text() == _FILE + _SECRET + _SALT


@pytest.mark.slow
@needs_cli
def test_no_operation_of_the_real_cli_touches_the_stack_file(stack: Stack, project: Path) -> None:
    """Neither creating the stack, nor an operation by `overlab`, nor plain `pulumi` in the lab's environment."""
    assert CLI is not None
    shim.write(stack.paths, CLI.path, project, namespace=None)
    stack.paths.backend.mkdir(parents=True)
    stack.paths.passphrase.write_text("secret")
    before = stack.file.stat()
    assert stack.ensure() == 0
    for words in (["refresh", "--yes", "--skip-preview"], ["destroy", "--yes", "--skip-preview"]):
        assert stack.run([*words, "--non-interactive"], events=stack.event_log).code == 0
        pulumi(stack, *words, "--non-interactive")
        assert (stack.file.read_text(), stack.file.stat()) == (_FILE, before)
    pulumi(stack, "config", "set", "--secret", "x", "y")
    assert "encryptionsalt: v1:" in stack.file.read_text()
    assert pulumi(stack, "config", "get", "x") == "y\n"


@pytest.mark.slow
@needs_cli
def test_no_command_of_the_real_cli_deletes_the_stack_file(stack: Stack, project: Path) -> None:
    assert CLI is not None
    shim.write(stack.paths, CLI.path, project, namespace=None)
    stack.paths.backend.mkdir(parents=True)
    stack.paths.passphrase.write_text("secret")
    assert stack.ensure() == 0
    pulumi(stack, "stack", "rm", "--yes")
    assert not stack.exists()
    assert stack.file.read_text() == _FILE
    assert stack.ensure() == 0
    pulumi(stack, "stack", "rm", "--yes", "--stack", "t")
    assert (stack.exists(), stack.file.read_text()) == (False, _FILE)


def test_removing_the_stack_with_its_file_is_refused_with_what_to_do(stack: Stack) -> None:
    cli(stack, "touch called")
    command = ["pulumi", "destroy", "--yes", "--remove"]
    done = subprocess.run(
        command, cwd=stack.file.parent, env=stack.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"--remove would delete {stack.file} with the stack\n  remedy: without --remove" in done.stderr
    assert not (stack.file.parent / "called").exists()


@pytest.mark.slow
@needs_cli
def test_the_real_cli_sets_a_value_inside_the_lab_and_keeps_the_comments(stack: Stack, project: Path) -> None:
    assert CLI is not None
    shim.write(stack.paths, CLI.path, project, namespace=None)
    stack.paths.backend.mkdir(parents=True)
    stack.paths.passphrase.write_text("secret")
    assert stack.ensure() == 0
    pulumi(stack, "config", "set", "--path", "overlab:lab.machine.memory_mib", "1536")
    assert stack.file.read_text() == _FILE + "    machine:\n      memory_mib: 1536\n"


# -- interrupts ------------------------------------------------------------------------------------

_HARNESS = """
import sys
from pathlib import Path
from overlab.stack import stack as module
from overlab.core.paths import LabPaths
from overlab.platform.manifest import PlatformManifest
project = Path(sys.argv[1])
module.checkout = lambda: project
manifest = PlatformManifest(checkout=project, inputs="", files={}, cli=project, cli_version="", sources={},
                    bundled_plugins=True, images=None)
sys.exit(module.Stack("t", LabPaths("t-x"), manifest).run(["up"]).code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_reaches_the_cli_once_and_overlab_waits_for_its_end(
    stack: Stack, project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Synchronized by files, so independent of the machine's speed."""
    started, log, leave = tmp_path / "started", tmp_path / "log", tmp_path / "leave"
    os.mkfifo(started)
    cli(
        stack,
        f"trap 'echo INT >> \"{log}\"' INT; trap 'echo TERM >> \"{log}\"' TERM\n"
        f'echo > "{started}"; while [ ! -e "{leave}" ]; do sleep 0.05; done; echo clean >> "{log}"; exit 9',
    )
    process = subprocess.Popen([sys.executable, "-c", _HARNESS, str(project)], start_new_session=True)
    started.read_text()  # until the CLI has opened it
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.02)
    leave.touch()
    assert process.wait() == 9
    assert log.read_text().split() == ["INT", "clean"]
