"""What a failed operation shows: component, cause, evidence and remedy, on one screen."""

# ruff: noqa: E501  # messages as they were reported

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from components.config import settings
from overlab.cli import lifecycle, outcome
from overlab.cli.application import app
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.diagnosis import catalogue, failures
from overlab.platform.manifest import PlatformManifest
from overlab.stack.foreground import Ended
from overlab.stack.stack import Stack
from tests.e2e import faults, up_failures
from tests.e2e.lab import PROJECT
from tests.unit import check_run_factory

FACTS = {"stack": "dev", "lab": "dev", "node": "docker01", "images": "busybox:1.35, nginx:1.18"}
URN = "urn:pulumi:dev::overlab::overlab:index:Lab$overlab:index:"
# as they were reported by a lab of node containers
PULL = (
    "1 error occurred:\n\t* Unable to read Docker image into resource: unable to pull image nosuch:1: error pulling "
    'image nosuch:1: Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup '
    "registry-1.docker.io on 127.0.0.11:53: read udp 127.0.0.1:57889->127.0.0.11:53: i/o timeout\n\n\n"
)
PORT = (
    f"1 error occurred:\n\t* creating {URN}Workload$docker:index/container:Container::p1: 1 error occurred:\n\t* "
    "Unable to start container: Error response from daemon: container 02793: endpoint join on GW Network failed: "
    "driver failed programming external connectivity on endpoint gateway_a9 (55b6): listen tcp4 0.0.0.0:8085: bind: address "
    "already in use\n\n\n\n\n"
)


RESTARTS = (
    'Process exited with status 1: running "exec sh -s # docker01-checks":\ncheck failed: e1 -> t1 ping-ip on ov_net1 '
    "(on docker01): could not be tried\n  ran:    docker exec e1 ping -c 1 -W 2 10.0.0.2\n  Error response from daemon: "
    'Container f7b4 is restarting, wait until the container is running\n{"id": "engine:docker01"}\n'
)
CHECKS = (
    "2-7204: 10.0.0.5 is on 10.96.37.11, and dockerd had no FDB entry for it\ncheck failed: t2 -> t1 ping-ip on ov_net1 "
    "(on docker02): expected pass, got fail after 9 s\n  ran:    docker exec t2 ping\n  Usage: ping [OPTIONS] HOST\n"
    "check failed: t2 -> t1 tcp on ov_net1 (on docker02): expected pass, got fail after 9 s\n  ran:    nc\n"
)
NO_AGENT = (
    "Unable to start container: Error response from daemon: OCI runtime create failed: container_linux.go:377: starting "
    'container process caused: exec: "agent": executable file not found in $PATH: unknown\n'
)


@pytest.mark.parametrize(
    ("component", "name", "message", "cause", "remedy", "evidence"),
    [
        ("NodeImages", "docker01-nosuch:1", PULL, "could not pull the image nosuch:1", "busybox:1.35", "i/o timeout"),
        ("Workload", "p1", PORT, "has the port that p1 publishes", "docker01 --stack dev -- ss -lntup", "0.0.0.0:8085"),
        (
            "DockerEngine",
            "docker01-dockerd",
            'exit status 1: running "exec sh -s":\nfailed to start daemon: bad pool\ndocker.service: Main process exited\n'
            "docker.service: Failed\nFailed to start Docker\nScheduled restart\ndockerd did not start on docker01",
            "engine of node docker01 does not run with these settings",
            "journalctl -u docker",
            "failed to start daemon: bad pool",
        ),
        (
            "Connectivity",
            "docker01-checks",
            RESTARTS,
            "the workload e1 does not stay up",
            "docker logs e1",
            "restarting",
        ),
        ("Connectivity", "docker01-checks", CHECKS, "not as the settings say", "overlab test", "got fail after 9 s"),
        ("StoreAgent", "docker01-consul", NO_AGENT, "store's container cannot be started", "store.image", '"agent"'),
        ("Barrier", "x", "strange words", "see the evidence", "overlab status --stack dev", "strange words"),
    ],
)
def test_a_failure_has_cause_evidence_and_remedy(
    component: str, name: str, message: str, cause: str, remedy: str, evidence: str
) -> None:
    found = failures.diagnose(component, name, message, FACTS)
    assert cause in found.cause
    assert remedy in found.remedy
    assert evidence in "\n".join(found.evidence)
    assert "urn:" not in "".join(found.evidence)
    assert "1 error occurred" not in "".join(found.evidence)
    assert found.message == message


@pytest.mark.parametrize("entry", failures._ENTRIES, ids=lambda entry: str(entry["pattern"])[:30])
def test_every_text_is_complete(entry: dict[str, Any]) -> None:
    for text in (entry["cause"], entry["remedy"]):
        assert text.format_map(failures._Facts(FACTS | {"name": "t1"}))
    for section in re.findall(r"docs/cookbook\.md#([a-z-]+)", entry["remedy"]):
        assert any(section in group for group in catalogue.SECTIONS.values())


def test_every_remedy_is_followed_by_a_test() -> None:
    """As it is printed, on a lab or on what it is about, or is named as one that none follows."""
    rows = [*(one.id for one in up_failures.FAILURES), *up_failures.ELSEWHERE, *up_failures.NOT_FOLLOWED]
    assert sorted(rows) == sorted(entry["id"] for entry in failures._ENTRIES)
    for test in up_failures.ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (PROJECT / file).read_text("utf-8")
    for entry in failures._ENTRIES:
        assert "`overlab up --stack {stack}`" in entry["remedy"]


@pytest.mark.parametrize("row", up_failures.FAILURES, ids=lambda row: row.id)
def test_what_makes_an_up_fail_passes_validation(row: up_failures.UpFailure) -> None:
    old, wrong = row.wrong
    for text in (wrong, row.right or old):
        changed = faults.SETTINGS.replace(old, text) if old else faults.SETTINGS
        settings.parse(yaml.safe_load(changed)["config"]["overlab:lab"], "recovery")


def test_many_failures_fit_on_a_screen() -> None:
    long = "\n".join(f"line {number} {'x' * 300}" for number in range(200))
    many = [failures.diagnose("Workload", f"w{number}", long, FACTS) for number in range(30)]
    shown = failures.as_text("up", many, "/log")
    assert len(shown.splitlines()) <= 36
    assert "up failed at 30 steps" in shown
    assert "and 26 more: Workload w4, " in shown
    assert shown.endswith("all messages, whole: /log")
    assert max(map(len, shown.splitlines()[:-2])) < 300


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    manifest = PlatformManifest(
        checkout=tmp_path,
        inputs="",
        files={},
        cli=tmp_path,
        cli_version="",
        sources={},
        bundled_plugins=True,
        images=tmp_path,
    )
    stack = Stack("dev", LabPaths("dev"), manifest)
    metadata = {"urn": f"{URN}Workload$d:x:Container::t1", "op": "create", "new": {"custom": True}}
    events: list[dict[str, Any]] = [
        {"timestamp": 1, "resourcePreEvent": {"metadata": metadata}},
        {"timestamp": 3, "diagnosticEvent": {"severity": "error", "urn": metadata["urn"], "message": PORT}},
        {"timestamp": 3, "diagnosticEvent": {"severity": "error", "message": "update failed"}},
        {"timestamp": 3, "resOpFailedEvent": {"metadata": metadata}},
    ]
    stack.event_log.parent.mkdir(parents=True)
    stack.event_log.write_text("\n".join(map(json.dumps, events)))
    return stack


def test_each_failed_step_is_named_once_with_its_node_and_a_file(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome.explain(stack, "up", check_run_factory.lab())
    shown = capsys.readouterr().err
    assert shown.splitlines()[1:4] == [
        "up failed at 1 step",
        "Workload t1",
        "  cause     another process or container on node docker01 has the port that t1 publishes",
    ]
    file = Path(shown.splitlines()[-1].removeprefix("all messages, whole: "))
    assert file.read_text() == f"Workload t1\n{PORT.strip()}\n"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "node"), [("t1", "docker01"), ("ov_net1", "docker02"), ("docker02-dockerd", "docker02"), ("store", None)]
)
def test_remedies_name_the_node_of_each_kind_of_resource(stack: Stack, name: str, node: str | None) -> None:
    assert outcome._facts(stack, name, check_run_factory.lab()).get("node") == node


def test_without_a_reported_error_the_output_above_is_named(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.event_log.unlink()
    outcome.explain(stack, "up")
    assert capsys.readouterr().err == "error: `pulumi up` failed\n  remedy: see its output above\n"


def test_the_document_for_programs_is_alone_on_standard_output(stack: Stack, capfd: pytest.CaptureFixture[str]) -> None:
    import os

    progress = Progress(quiet=True)
    with progress.step("pulumi up"):
        pass
    with outcome.document(True) as write:
        os.write(1, b"of another program\n")
        write(stack, progress, 255, check_run_factory.lab(), ())
    out, err = capfd.readouterr()
    assert err == "of another program\n"
    found = json.loads(out)
    assert (found["exit_code"], found["changes"][0]["name"], found["changes"][0]["seconds"]) == (255, "Workload/t1", 2)
    assert found["steps"][0]["name"] == "pulumi up"
    assert [one["name"] for one in found["failures"]] == ["t1"]
    with outcome.document(False) as write:
        write(stack, progress, 0, None, ())
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("ended", "code", "explained"),
    [
        (Ended(0, interrupted=False), 0, False),
        (Ended(255, interrupted=False), 255, True),
        (Ended(-9, interrupted=False), 255, True),
        (Ended(0, interrupted=True), 130, False),
        (Ended(1, interrupted=True), 130, False),
        (Ended(255, interrupted=True), 130, False),
        (Ended(-9, interrupted=True), 130, False),
    ],
)
def test_an_interrupted_operation_is_not_explained(
    stack: Stack, capsys: pytest.CaptureFixture[str], ended: Ended, code: int, explained: bool
) -> None:
    assert lifecycle._explained(stack, "up", ended, None) == code
    assert ("up failed at" in capsys.readouterr().err) is explained


def test_lifecycle_commands_offer_json() -> None:
    for command in ("up", "refresh", "down"):
        assert "--json" in CliRunner().invoke(app, [command, "--help"]).output


@pytest.mark.parametrize("answer", ["unable to upgrade to tcp, received 409", "e1 does not run"])
def test_a_workload_that_restarts_is_recognized_by_every_answer_of_its_engine(answer: str) -> None:
    i, j = RESTARTS.index("Error response"), RESTARTS.index("\n{")
    found = failures.diagnose("Connectivity", "docker01-checks", RESTARTS[:i] + answer + RESTARTS[j:], FACTS)
    assert found.cause.startswith("the workload e1 does not stay up")
    assert answer in found.evidence[2]


def test_what_follows_from_another_failure_is_shown_last() -> None:
    checks = failures.diagnose("Connectivity", "docker02-checks", CHECKS, FACTS)
    workload = failures.diagnose("Workload", "p1", PORT, FACTS)
    shown = failures.as_text("up", [checks, workload], "/log")
    assert shown.index("Workload p1") < shown.index("Connectivity docker02-checks")
    assert [line.split()[0] for line in checks.evidence] == ["check", "check"]
