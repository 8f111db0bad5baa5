"""Pulumi on a lab: environment, locks of the dead, the untouched stack file, interrupts."""

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

from overlab import stack as module
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.platform import shim
from overlab.platform.manifest import PlatformManifest
from overlab.stack import Stack

_FILE = "config:\n  # why\n  overlab:lab:\n    nodes: {a: {}}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "Pulumi.t.yaml").write_text(_FILE)
    monkeypatch.setattr(module, "checkout", lambda: directory)
    return directory


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state with space"))
    return LabPaths("t-x")


@pytest.fixture
def stack(project: Path, paths: LabPaths) -> Stack:
    prepared = PlatformManifest(
        checkout=project,
        inputs="",
        files={},
        cli=Path("/nowhere"),
        cli_version="3.259.0",
        rungs={},
        bundled_plugins=True,
        images=None,
    )
    return Stack("t", paths, prepared)


def cli(stack: Stack, script: str) -> None:
    """Put a CLI behind the lab's shim."""
    file = stack.paths.state / "cli"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    shim.write(stack.paths, file, namespace=None)


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
    file = lock(Stack("other", stack.paths, stack.prepared))
    assert stack.remove_stale_locks() == []
    assert file.exists()


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


def test_pulumi_may_fetch_plugins_only_where_none_is_bundled(stack: Stack) -> None:
    name = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"
    assert stack.variables()[name] == "true"
    official = Stack("t", stack.paths, stack.prepared.model_copy(update={"bundled_plugins": False}))
    assert name not in official.variables()


# -- running ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 3, 255])
def test_exit_code_passes_through(stack: Stack, code: int) -> None:
    cli(stack, f"exit {code}")
    assert stack.run(["up"]) == code


def test_stack_is_made_once_and_quietly(stack: Stack, capfd: pytest.CaptureFixture[str]) -> None:
    state = stack.paths.backend / ".pulumi" / "stacks" / "overlab" / "t.json"
    cli(stack, f'echo noise; echo "$*" >> "{stack.paths.state}/calls"; mkdir -p "{state.parent}"; touch "{state}"')
    assert (stack.ensure(), stack.ensure()) == (0, 0)
    assert (stack.paths.state / "calls").read_text() == "stack init t --non-interactive\n"
    assert capfd.readouterr() == ("", "")


def test_failed_stack_init_shows_what_it_said(stack: Stack, capfd: pytest.CaptureFixture[str]) -> None:
    cli(stack, "echo 'no room' >&2; exit 255")
    assert stack.ensure() == 255
    assert "no room" in capfd.readouterr().err


def test_salt_that_pulumi_adds_is_taken_out_again(stack: Stack) -> None:
    cli(stack, 'printf "encryptionsalt: v1:abc\\n%s" "$(cat Pulumi.t.yaml)" > n; mv n Pulumi.t.yaml')
    stack.run(["up"])
    assert stack.file.read_text() == _FILE


def test_salt_that_secrets_need_stays(stack: Stack) -> None:
    cli(
        stack,
        'printf "encryptionsalt: v1:abc\\n%s\\n" "$(cat Pulumi.t.yaml)" > n; mv n Pulumi.t.yaml\n'
        'echo "  overlab:x: {secure: v1:q}" >> Pulumi.t.yaml',
    )
    stack.run(["config", "set", "--secret", "x", "y"])
    assert "encryptionsalt: v1:abc" in stack.file.read_text()


def test_salt_of_another_lab_that_protects_nothing_does_not_stop_a_new_stack(stack: Stack) -> None:
    stack.file.write_text(_FILE + "encryptionsalt: v1:foreign\n")
    cli(stack, "! grep -q salt Pulumi.t.yaml")
    assert stack.ensure() == 0
    assert stack.file.read_text() == _FILE


def test_secrets_of_another_lab_are_refused_and_kept(stack: Stack) -> None:
    text = _FILE + "  overlab:x:\n    secure: v1:q\nencryptionsalt: v1:foreign\n"
    stack.file.write_text(text)
    with pytest.raises(OverlabError, match="another lab's passphrase"):
        stack.ensure()
    assert stack.file.read_text() == text


def test_salt_that_was_there_stays(stack: Stack) -> None:
    stack.file.write_text("encryptionsalt: v1:old\n" + _FILE)
    cli(stack, "sed -i s/old/new/ Pulumi.t.yaml")
    stack.run(["up"])
    assert "v1:new" in stack.file.read_text()


_HARNESS = """
import sys
from pathlib import Path
from overlab import stack as module
from overlab.core.paths import LabPaths
from overlab.platform.manifest import Prepared
project = Path(sys.argv[1])
module.checkout = lambda: project
prepared = Prepared(checkout=project, inputs="", files={}, cli=project, cli_version="", rungs={},
                    bundled_plugins=True, images=None)
sys.exit(module.Stack("t", LabPaths("t-x"), prepared).run(["up"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_reaches_the_cli_once_and_overlab_waits_for_its_end(
    stack: Stack, project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    started, log = tmp_path / "started", tmp_path / "log"
    cli(
        stack,
        f'trap \'echo INT >> "{log}"\' INT; trap \'echo TERM >> "{log}"\' TERM; touch "{started}"\n'
        f'n=0; while [ $n -lt 40 ]; do sleep 0.1; n=$((n + 1)); [ ! -e "{log}" ] || break; done\n'
        f'sleep 0.3; echo clean >> "{log}"; exit 9',
    )
    process = subprocess.Popen([sys.executable, "-c", _HARNESS, str(project)], start_new_session=True)
    limit = time.monotonic() + 30
    while not started.exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    assert process.wait(30) == 9
    assert log.read_text().split() == ["INT", "clean"]
