"""``overlab test``, ``graph``, ``report`` as commands: exit codes, files, and a lab that is not up."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner, Result

from overlab import cli
from overlab.checks import execution
from overlab.checks.results import CheckRun
from overlab.cli import application, outcome
from overlab.core.errors import OverlabError
from overlab.stack import lab_handle
from overlab.stack import stack as stack_module
from tests.unit import check_run_factory

LAB = check_run_factory.lab()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    directory = tmp_path / "project"
    directory.mkdir()
    config = {"config": {"overlab:lab": check_run_factory.LAB | {"name": "t-checks"}}}
    (directory / "Pulumi.dev.yaml").write_text(yaml.safe_dump(config))
    (directory / "Pulumi.bad.yaml").write_text("config: {'overlab:lab': {nodes: {}, nonsense: 1}}\n")
    for module in (application, stack_module):
        monkeypatch.setattr(module, "checkout", lambda: directory)
    return directory


def overlab(*args: str) -> Result:
    return CliRunner().invoke(cli.app, list(args))


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[CheckRun]:
    """A lab that is up; its next runs are put in here."""
    waiting: list[CheckRun] = []

    def once(_: object, wanted: execution.CheckOptions, __: object) -> CheckRun:
        return waiting.pop(0)

    opened = SimpleNamespace(settings=None, platform=None, stack=None)
    monkeypatch.setattr(lab_handle, "open_lab", lambda *_: opened)
    monkeypatch.setattr(execution, "once", once)
    monkeypatch.setattr(outcome, "keep_evidence", lambda *args: application.notify(f"evidence: {args[-1]}"))
    return waiting


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (check_run_factory.run(LAB), 0),
        (check_run_factory.run(LAB, check_run_factory.FAILURES), 1),
        (check_run_factory.run(LAB, unreached="docker03"), 2),
    ],
)
def test_the_exit_code_is_that_of_the_run(found: list[CheckRun], run: CheckRun, code: int) -> None:
    found.append(run)
    done = overlab("test")
    assert done.exit_code == code
    assert done.stdout.splitlines()[-1] == run.summary
    assert done.stderr == (f"evidence: test ended with exit code {code}\n" if code else "")


def test_json_is_the_only_thing_on_standard_output(found: list[CheckRun]) -> None:
    found.append(check_run_factory.run(LAB, check_run_factory.FAILURES))
    done = overlab("test", "--json")
    assert json.loads(done.stdout)["failed"] == 4
    assert done.exit_code == 1


def test_a_lab_that_is_not_up_cannot_be_tested(tmp_path: Path) -> None:
    done = overlab("test")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: the lab t-checks is not up\n  remedy: overlab up --stack dev\n"
    assert not (tmp_path / "state").exists()


def test_bad_settings_cannot_be_tested_either() -> None:
    done = overlab("test", "--stack", "bad")
    assert done.exit_code == 2
    assert "lab.nonsense" in done.stderr


def test_what_goes_wrong_on_the_way_is_no_failed_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> CheckRun:
        raise OverlabError("--only xyz: no check of this lab has that kind, workload or id", "kinds: kv")

    monkeypatch.setattr(lab_handle, "open_lab", lambda *_: object())
    monkeypatch.setattr(execution, "once", refuse)
    old = tmp_path / "old.xml"
    old.write_text("of another run")
    done = overlab("test", "--only", "xyz", "--junit", str(old))
    assert done.exit_code == 2
    assert "--only xyz" in done.stderr
    assert not old.exists()


@pytest.mark.parametrize("arguments", [("--every", "0"), ("--within", "0"), ("--no-such",)])
def test_wrong_usage_has_another_exit_code_than_failed_checks(arguments: tuple[str, ...]) -> None:
    assert overlab("test", *arguments).exit_code == 2


def test_a_lab_that_is_not_up_is_drawn_from_its_settings(tmp_path: Path) -> None:
    done = overlab("graph")
    assert done.exit_code == 0
    assert done.stdout.startswith("flowchart TB\n")
    assert "172.19.0.44" in done.stdout
    assert overlab("graph", "--format", "dot").stdout.startswith('graph "t-checks" {')
    file = tmp_path / "new" / "lab.svg"
    done = overlab("graph", "--format", "svg", "--output", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"wrote {file}" in done.stderr
    assert ET.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert not (tmp_path / "state").exists()


def test_a_format_that_is_none_is_refused() -> None:
    done = overlab("graph", "--format", "png")
    assert done.exit_code == 2
    assert "mermaid" in done.stderr


def test_a_report_is_written_to_the_named_file(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "report.html"
    assert overlab("report", "--html", str(file)).exit_code == 0
    assert "lab t-checks" in file.read_text()
    done = overlab("report", "--html", str(tmp_path))
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr
