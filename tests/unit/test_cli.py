"""The command line: options before and after, sentences and exit codes, and nothing created where settings are bad."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import pytest
from typer.testing import CliRunner, Result

from components.config.settings import Settings
from overlab import cli, doctor, openssh
from overlab.cli import application, inspect, lifecycle
from overlab.core import exit_codes, tools
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.inspect import machines
from overlab.platform import acceleration, cache, preflight, prepare, rootfs
from overlab.platform.manifest import PlatformManifest
from overlab.platform.preflight import PartReport
from overlab.stack import event_log, lab_handle, operation, phases, remembered
from overlab.stack import stack as stack_module
from overlab.stack.convergence import Convergence
from overlab.stack.foreground import Ended
from overlab.stack.stack import Stack
from tests.components.recorder import make_platform

_GOOD = """\
config:
  overlab:lab:
    name: {name}
    nodes: {{docker01: {{}}, docker02: {{}}}}
    store: {{node: docker01}}
    networks: {{ov_net1: {{created_on: docker01, subnet: 10.0.0.0/24}}}}
    workloads: {{t1: {{node: docker01, networks: [ov_net1]}}}}
"""
_BAD = """\
config:
  overlab:lab:
    nodes: {docker01: {address: 1.2.3.4}}
    machine: {memory_mib: 10}
    nonsense: 1
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OVERLAB_CACHE", str(tmp_path / "cache"))
    directory = tmp_path / "project"
    directory.mkdir()
    for stack in ("dev", "ci"):
        (directory / f"Pulumi.{stack}.yaml").write_text(_GOOD.format(name=f"t-{stack}"))
    (directory / "Pulumi.bad.yaml").write_text(_BAD)
    for module in (application, stack_module):
        monkeypatch.setattr(module, "checkout", lambda: directory)
    return directory


def overlab(*args: str) -> Result:
    return CliRunner().invoke(cli.app, list(args))


@pytest.mark.parametrize(
    ("args", "stack"),
    [
        (["preview"], "dev"),
        (["--stack", "ci", "preview"], "ci"),
        (["preview", "--stack", "ci"], "ci"),
        (["-s", "dev", "preview", "-s", "ci"], "ci"),
    ],
)
def test_stack_is_taken_before_and_after_the_command(
    monkeypatch: pytest.MonkeyPatch, args: list[str], stack: str
) -> None:
    seen: list[str] = []

    def prepared(settings: Settings, *_: object) -> NoReturn:
        seen.append(settings.stack)
        raise OverlabError("seen")

    monkeypatch.setattr(lifecycle, "_prepared_stack", prepared)
    assert overlab(*args).exit_code == 1
    assert seen == [stack]


@pytest.mark.parametrize("command", ["up", "preview", "refresh", "env"])
def test_bad_settings_are_all_listed_and_nothing_is_created(tmp_path: Path, command: str) -> None:
    done = overlab(command, "--stack", "bad")
    assert done.exit_code == 2
    for path in ("lab.nodes.docker01.address", "lab.machine.memory_mib", "lab.nonsense"):
        assert path in done.stderr
    assert not (tmp_path / "state").exists()


def test_unknown_stack_lists_those_that_exist() -> None:
    done = overlab("up", "--stack", "nope")
    assert done.exit_code == 2
    assert "bad, ci, dev" in done.stderr


def test_expected_failures_are_a_sentence_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OverlabError("the disk is full", "free some space")

    monkeypatch.setattr(prepare, "prepare", fail)
    done = overlab("up")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "error: the disk is full\n  remedy: free some space\n"


def test_what_is_missing_before_pulumi_runs_is_named_by_component(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERLAB_PULUMI", "/nowhere/pulumi")
    done = overlab("up")
    assert (done.exit_code, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[:3] == [
        "up failed at 1 step",
        "prerequisites",
        "  cause     this machine lacks what the platform needs",
    ]
    assert "pulumi: OVERLAB_PULUMI=/nowhere/pulumi is not an executable file" in done.stderr
    assert [line for line in lines if line.startswith("  remedy    ")]


def test_a_tool_that_fails_while_the_platform_is_prepared_is_shown_on_one_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "tool.log"

    def fail(progress: Progress) -> NoReturn:
        with progress.step("platform"), progress.step("node image"):
            tools.run(["sh", "-c", "seq 1 90; exit 3"], log=log)
        raise AssertionError

    monkeypatch.setattr(prepare, "prepare", lambda settings, progress: fail(progress))
    done = overlab("up")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "up failed at 1 step",
        "node image",
        "  cause     `sh -c 'seq 1 90; exit 3'` ended with exit code 3",
        *("  evidence  87", "            88", "            89", "            90"),
        f"  remedy    read the full log: {log}",
    ]


def test_an_error_of_the_operating_system_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").write_text("no directory")
    monkeypatch.setattr(prepare, "ready", lambda _: None)
    monkeypatch.setattr(preflight, "require", lambda *_: None)
    done = overlab("up")
    assert (done.exit_code, done.stderr.splitlines()[1]) == (1, "platform")
    assert "Not a directory: " in done.stderr


def test_an_interrupt_reports_how_to_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "prepare", interrupt)
    done = overlab("up")
    assert done.exit_code == 130
    assert "run the command again" in done.stderr


@pytest.mark.parametrize("args", [["docker01", "--", "ls", "-l", "--", "a b"], ["docker01", "ls", "-l", "--", "a b"]])
def test_exec_takes_every_word_after_the_node(monkeypatch: pytest.MonkeyPatch, args: list[str]) -> None:
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr(inspect, "_on_node", lambda *a, **k: seen.append((*a, k["terminal"])))
    assert overlab("exec", "-s", "ci", *args).exit_code == 0
    assert seen == [("ci", "docker01", ["ls", "-l", "--", "a b"], False)]


@pytest.mark.parametrize(
    ("args", "cmd"),
    [
        (["docker01", "--stack", "ci", "--", "ls", "-s", "x"], ["ls", "-s", "x"]),
        (["docker01", "--stack=ci", "ls", "--stack", "dev"], ["ls", "--stack", "dev"]),
        (["docker01", "-s", "ci", "--", "--", "x"], ["--", "x"]),
    ],
)
def test_exec_takes_the_stack_after_the_node_too(
    monkeypatch: pytest.MonkeyPatch, args: list[str], cmd: list[str]
) -> None:
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr(inspect, "_on_node", lambda *a, **_: seen.append(a))
    assert overlab("exec", *args).exit_code == 0
    assert seen == [("ci", "docker01", cmd)]


@pytest.mark.parametrize("args", [["--nonsense", "--", "true"], ["--stack"]])
def test_exec_refuses_an_option_that_it_does_not_have(args: list[str]) -> None:
    done = overlab("exec", "docker01", *args)
    assert done.exit_code == 1
    assert f"has no option {args[0]}" in done.stderr


def test_exec_without_a_command_is_refused() -> None:
    assert "no command was given" in overlab("exec", "docker01").stderr


def test_exec_on_a_lab_that_is_not_up_is_refused() -> None:
    done = overlab("exec", "-s", "ci", "docker01", "--", "true")
    assert done.exit_code == 1
    assert "the lab t-ci is not up\n  remedy: overlab up --stack ci" in done.stderr


def test_pulumi_gets_every_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    class Opened:
        def replace_process(self, args: list[str]) -> None:
            seen.append(args)

    monkeypatch.setattr(lifecycle, "_prepared_stack", lambda *_: Opened())
    assert overlab("pulumi", "--", "stack", "output", "--json").exit_code == 0
    assert overlab("pulumi", "stack", "output", "--json").exit_code == 0
    assert seen == [["stack", "output", "--json"]] * 2


def test_env_prints_only_what_a_shell_evaluates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manifest = PlatformManifest(
        checkout=tmp_path,
        inputs="",
        files={},
        cli=tmp_path,
        cli_version="",
        sources={},
        bundled_plugins=True,
        images=None,
    )
    monkeypatch.setenv("XDG_STATE_HOME", "/home/o'brien")
    monkeypatch.setattr(lifecycle, "_prepared_stack", lambda *_: Stack("dev", LabPaths("dev"), manifest))
    done = overlab("env")
    assert (done.exit_code, done.stderr) == (0, "")
    script = f'{done.stdout}\nprintf %s "$PULUMI_HOME|$PULUMI_STACK|${{PULUMI_CONFIG_PASSPHRASE-unset}}|$PATH"'
    env = {"PULUMI_CONFIG_PASSPHRASE": "x", "PATH": os.environ["PATH"]}
    shown = subprocess.run(["/bin/sh", "-c", script], env=env, capture_output=True, text=True, check=True).stdout
    paths = LabPaths("dev")
    assert shown == f"{paths.pulumi_home}|dev|unset|{paths.bin}:{os.environ['PATH']}"


@pytest.mark.parametrize("args", [[], ["--platform"], ["--platform", "--force"]])
def test_down_of_nothing_says_so_with_its_own_exit_code(args: list[str]) -> None:
    done = overlab("down", *args)
    assert done.exit_code == exit_codes.NOTHING
    assert done.stderr.endswith("lab t-dev is not up: nothing to destroy\n")


def test_a_lab_whose_settings_broke_can_still_be_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(prepare, "teardown", lambda lab, _: removed.append(lab))
    LabPaths("bad").state.mkdir(parents=True)
    done = overlab("down", "--platform", "--stack", "bad")
    assert done.exit_code == 0
    assert removed == ["bad"]


# -- a stack and its lab ---------------------------------------------------------------------------


@pytest.fixture
def made(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of stack dev in the lab t-dev, which is up."""
    monkeypatch.setattr(remembered, "checkout", lambda: project)
    return make_state(project, "t-dev", "dev", [{"urn": "urn:pulumi:dev::overlab::pulumi:pulumi:Stack::overlab-dev"}])


def make_state(project: Path, lab: str, stack: str, resources: list[object]) -> Path:
    paths = LabPaths(lab)
    PlatformManifest(
        checkout=project,
        inputs="",
        files={},
        cli=project,
        cli_version="",
        sources={},
        bundled_plugins=True,
        images=None,
    ).save(paths)
    file = paths.backend / ".pulumi" / "stacks" / "overlab" / f"{stack}.json"
    write_private(file, json.dumps({"checkpoint": {"latest": {"resources": resources}}}).encode())
    return file


@pytest.mark.parametrize(
    "args",
    [
        ["up"],
        ["preview"],
        ["refresh"],
        ["status"],
        ["test"],
        ["env"],
        ["pulumi", "stack"],
        ["exec", "docker01", "true"],
        ["ssh", "docker01"],
        ["inspect", "cnm"],
        ["ui"],
        ["context"],
        ["ssh-config"],
        ["graph"],
        ["report", "--html", "x.html"],
        ["rotate"],
    ],
    ids=lambda args: args[0],
)
def test_a_lab_renamed_while_it_is_up_stops_every_command(project: Path, made: Path, args: list[str]) -> None:
    (project / "Pulumi.dev.yaml").write_text(_GOOD.format(name="other"))
    done = overlab(*args)
    assert done.exit_code in (1, 2)
    assert done.stderr == (
        "error: stack dev has the lab t-dev, and its settings name the lab other now\n"
        "  remedy: overlab down --stack dev --platform, which takes t-dev down;"
        " or its old name: overlab set --stack dev name=t-dev\n"
    )
    assert not LabPaths("other").state.exists()


@pytest.mark.parametrize("text", [_GOOD.format(name="other"), _BAD], ids=["renamed", "broken"])
def test_down_takes_down_the_lab_that_the_stack_has(
    project: Path, made: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (project / "Pulumi.dev.yaml").write_text(text)
    removed: list[str] = []
    monkeypatch.setattr(prepare, "teardown", lambda lab, _: removed.append(lab))
    done = overlab("down", "--platform", "--force")
    assert done.exit_code == 0, done.stderr
    assert removed == ["t-dev"]
    assert "t-dev" in done.stderr.splitlines()[-2]


def test_a_lab_that_was_taken_down_with_its_platform_may_have_another_name(project: Path, made: Path) -> None:
    shutil.rmtree(LabPaths("t-dev").state)
    (project / "Pulumi.dev.yaml").write_text(_GOOD.format(name="other"))
    assert "the lab other is not up" in overlab("status").stderr


@pytest.mark.parametrize("args", [["up"], ["down"], ["down", "--platform", "--force"], ["exec", "docker01", "true"]])
def test_a_stack_whose_settings_name_another_stacks_lab_is_refused(
    project: Path, made: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.setattr(prepare, "teardown", lambda *_: pytest.fail("another stack's lab was removed"))
    (project / "Pulumi.ci.yaml").write_text(_GOOD.format(name="t-dev"))
    done = overlab("--stack", "ci", *args)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: the lab t-dev is up as stack dev, not as ci\n  remedy: --stack dev; or ")


@pytest.mark.parametrize("args", [["status"], ["test"], ["exec", "docker01", "true"], ["ssh", "docker01"], ["context"]])
def test_a_command_on_a_lab_that_was_taken_down_says_so(
    project: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    """Its platform stays."""
    make_state(project, "t-dev", "dev", [])
    record = make_platform(tmp_path, application.read_settings("dev"))
    write_private(LabPaths("t-dev").record, record.model_dump_json().encode())
    for name in ("ready", "restart_daemons"):
        monkeypatch.setattr(prepare, name, lambda *_: record)
    done = overlab(*args)
    assert done.exit_code in (1, 2)
    assert done.stderr == "error: the lab t-dev is not up\n  remedy: overlab up --stack dev\n"


def test_a_node_that_does_not_run_is_named_instead_of_an_ssh_error(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        class platform:  # noqa: N801
            kind = "bundled"

    monkeypatch.setattr(lab_handle, "open_lab", lambda *_: Opened)
    monkeypatch.setattr(machines, "states", lambda *_: {"docker01": "exited"})
    monkeypatch.setattr(openssh, "replace_process", lambda _: pytest.fail("ssh was started"))
    assert "error: the node docker01 of lab t-dev does not run: exited\n" in overlab("ssh", "docker01").stderr
    assert "the lab t-dev has no node docker09" in overlab("ssh", "docker09").stderr


class Untouched(Convergence):
    """Of a lab in which nothing disagrees."""

    def before_down(self) -> None:
        pass

    def after_failure(self, events: Collection[Mapping[str, Any]], networks: Collection[str] = ()) -> bool:
        return False


def test_a_failed_destroy_keeps_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        def is_empty(self) -> bool:
            return False

        event_log = Path("/nowhere")

        def remove_stale_locks(self) -> list[Path]:
            return [Path("/the/lock")]

        def refuse_locked(self) -> None:
            pass

        def run(self, args: list[str], **_: object) -> Ended:
            assert args[0] == "destroy"
            return Ended(255, interrupted=False)

    monkeypatch.setattr(lifecycle, "Convergence", Untouched)
    monkeypatch.setattr(prepare, "restart_daemons", lambda *_: object())
    monkeypatch.setattr(prepare, "teardown", lambda *_: pytest.fail("the platform was removed"))
    monkeypatch.setattr(lifecycle, "_recorded_stack", lambda *_: Opened())
    done = overlab("down", "--platform")
    assert done.exit_code == 255
    assert "removed the stale lock of a pulumi process that is gone: /the/lock" in done.stderr


@pytest.mark.parametrize(
    "args", [["up"], ["restart", "docker01"], ["replace", "docker01"], ["refresh"], ["down"], ["down", "--platform"]]
)
def test_a_command_on_a_lab_that_another_one_changes_is_refused(
    monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    def touched(*_: object) -> NoReturn:
        pytest.fail("it went on")

    monkeypatch.setattr(lifecycle, "_prepared_stack", lambda *_: object())
    monkeypatch.setattr(lifecycle, "_recorded_stack", lambda *_: object())
    monkeypatch.setattr(prepare, "restart_daemons", lambda *_: object())
    monkeypatch.setattr(prepare, "teardown", touched)
    monkeypatch.setattr(lifecycle, "Convergence", touched)
    with operation.only_one(LabPaths("t-dev"), "up"):
        done = overlab(*args)
    assert done.exit_code == 1
    assert "error: lab t-dev is being changed by `overlab up` of " in done.stderr


def test_up_reports_certificates_that_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        def remove_stale_locks(self) -> list[Path]:
            return []

        def ensure(self) -> int:
            return 9

    monkeypatch.setattr(prepare, "prepare", lambda *_: None)
    monkeypatch.setattr(lifecycle, "_recorded_stack", lambda *_: Opened())
    monkeypatch.setattr(doctor, "expiring", lambda _: ["certificate: client: expires soon; overlab rotate"])
    assert "certificate: client: expires soon; overlab rotate\n" in overlab("up").stderr


def test_doctor_as_json() -> None:
    done = overlab("doctor", "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    statuses = {finding["status"] for finding in report["parts"]}
    assert report["healthy"] == ("missing" not in statuses)
    assert done.exit_code == (0 if report["healthy"] else 1)
    assert all(finding["remedy"] for finding in report["parts"] if finding["status"] == "missing")
    parts = [finding["part"] for finding in report["parts"]]
    for part in ("settings", "rights", "pulumi", "acceleration", "memory"):
        assert part in parts


def test_doctor_fails_on_bad_settings_and_shows_them() -> None:
    done = overlab("doctor", "--stack", "bad")
    assert done.exit_code == 1
    assert "lab.machine.memory_mib" in done.stdout


def test_doctor_names_broken_cache_entries() -> None:
    content = cache.entry("thing", {}, lambda place: (place / "x").touch(), Progress(quiet=True))
    (content / "x").unlink()
    settings = application.load_settings("dev")
    assert isinstance(settings, Settings)
    [finding] = [one for one in doctor.examine("dev", settings) if one.part == "cache: thing"]
    assert finding.status == "warning"
    assert "x is missing" in finding.found


@pytest.mark.parametrize(("kind", "off"), [("qemu", True), ("kvm", False)])
def test_doctor_says_what_is_off_under_emulation(
    monkeypatch: pytest.MonkeyPatch, kind: Literal["kvm", "qemu"], off: bool
) -> None:
    monkeypatch.setattr(acceleration, "probe", lambda: acceleration.Acceleration(kind, "a reason"))
    assert ("without mitigations, ASLR and AppArmor" in doctor._acceleration().found) == off


def test_doctor_names_the_age_of_the_nodes_packages() -> None:
    content = cache.entry("rootfs", rootfs.key_parts(), lambda place: (place / "x").touch(), Progress(quiet=True))
    settings = application.load_settings("dev")

    def row() -> PartReport:
        [found] = [one for one in doctor.examine("dev", settings) if one.part == "node packages"]
        return found

    assert (row().status, row().remedy) == ("ok", None)
    assert "0 days old" in row().found
    manifest, then = content.parent / "manifest.json", time.time() - 100 * 86400
    os.utime(manifest, (then, then))
    assert row().status == "warning"
    assert "100 days old" in row().found
    assert f"rm -rf {content.parent}" in str(row().remedy)


def test_rotate_reports_what_was_renewed_and_the_next_command(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "remedy: overlab up" in overlab("rotate").stderr
    file = project / "Pulumi.dev.yaml"
    file.write_text(_GOOD.format(name="t-dev") + "    engine: {api: tls}\n")
    record = make_platform(tmp_path, application.load_settings("dev"))
    paths = LabPaths("t-dev")
    write_private(paths.record, record.model_dump_json().encode())
    monkeypatch.setattr(prepare, "_install_ssh_keys", lambda *_: ["docker02"])
    said = overlab("rotate").stdout
    assert "renewed: the client and 2 servers of the engines' API\n" in said
    assert "the SSH keys of the client and of 2 nodes (not on docker02, which did not answer" in said
    assert "next: overlab up --stack dev (the engines restart, containers keep running)" in said
    recorded = prepare.read_record(paths)
    assert recorded is not None
    assert recorded.identity.retired_ssh is not None
    assert "store" not in said
    before = (paths.identity / "tls" / "ca.pem").read_bytes()
    assert "with a new CA" in overlab("rotate", "--ca").stdout
    assert (paths.identity / "tls" / "ca.pem").read_bytes() != before
    file.write_text(_GOOD.format(name="t-dev") + "    engine: {api: tls, live_restore: false}\n")
    assert "so do containers: live_restore is off" in overlab("rotate").stdout


def test_the_installed_command_answers() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "overlab", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("up", "preview", "refresh", "down", "env", "pulumi", "exec", "ssh", "doctor", "rotate"):
        assert f"\n  {command} " in done.stdout


# -- where the time went ---------------------------------------------------------------------------


def event(
    at: int, kind: str, name: str, op: str = "create", types: str = "o:index:Lab$o:index:Machine$l:x:D"
) -> dict[str, Any]:
    metadata = {"urn": f"urn:pulumi:dev::overlab::{types}::{name}", "op": op, "new": {"custom": "$" in types}}
    return {"timestamp": at, kind: {"metadata": metadata}}


def test_an_up_says_what_it_destroyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, types = tmp_path / "events", "o:index:Lab$overlab:index:Workload$docker:index/container:Container"
    events = [event(at, kind, "t1", "replace", types) for at, kind in ((1, "resourcePreEvent"), (2, "resOutputsEvent"))]
    log.write_text("\n".join(map(json.dumps, events)))

    class Opened:
        event_log = log
        change_log = tmp_path / "changes"

        def run(self, *_: object, **__: object) -> Ended:
            return Ended(0, interrupted=False)

    lifecycle._run(cast(Stack, Opened()), ["up"], Progress(quiet=True), timings=True)
    assert "workload t1 is recreated: its files are lost\n" in capsys.readouterr().err


def test_phases_are_summed_by_component_and_leave_out_what_did_not_change() -> None:
    events = [
        {"timestamp": 100, "preludeEvent": {}},
        event(101, "resourcePreEvent", "a"),
        event(102, "resourcePreEvent", "b"),
        event(105, "resOutputsEvent", "a"),
        event(130, "resOpFailedEvent", "b"),
        event(130, "resourcePreEvent", "c", op="same", types="o:index:Lab$o:index:Store$d:x:C"),
        event(131, "resOutputsEvent", "c", op="same", types="o:index:Lab$o:index:Store$d:x:C"),
        event(101, "resourcePreEvent", "lab", types="o:index:Lab"),
        event(140, "resOutputsEvent", "lab", types="o:index:Lab"),
    ]
    spans = phases.spans(events)
    assert [(one.name, one.begin, one.end) for one in spans] == [("Machine/a", 1, 5), ("Machine/b", 2, 30)]
    assert phases.by_component(spans) == [phases.Span("Machine", 1, 30)]


def test_a_log_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    log = tmp_path / "events.json"
    lines = [json.dumps(event(1, "resourcePreEvent", "a")), json.dumps(event(3, "resOutputsEvent", "a")), '{"times']
    log.write_text("\n".join(lines))
    assert phases.read(log) == [phases.Span("Machine/a", 0, 2)]
    assert phases.read(tmp_path / "none") == []


def test_what_failed_is_named_by_its_component_once_and_without_warnings() -> None:
    def reported(severity: str, message: str, urn: str | None = None) -> dict[str, Any]:
        return {"diagnosticEvent": {"severity": severity, "message": message, **({"urn": urn} if urn else {})}}

    urn = "urn:pulumi:dev::overlab::o:index:Lab$o:index:Overlays$d:x:N::ov_net1"
    events = [
        reported("info", "fine", urn),
        reported("warning", "hm", urn),
        reported("error", "no room\n", urn),
        reported("error", "no room\n", urn),
        reported("error", "update failed"),
        event(1, "resOpFailedEvent", "b"),
    ]
    assert event_log.errors(events) == [(urn, "no room"), ("", "update failed")]
