"""The read-only commands without a lab: a sentence, a remedy, and the right exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from overlab import cli
from overlab.inspect import cluster, lab_collector
from overlab.inspect.snapshot import Snapshot
from tests.unit.inspect import faults
from tests.unit.inspect.snapshots import changed, recorded


@pytest.fixture(autouse=True)
def no_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def overlab(*args: str) -> Result:
    return CliRunner().invoke(cli.app, list(args))


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["status"], 2),
        (["status", "--json"], 2),
        (["status", "--watch"], 2),
        (["inspect", "cnm"], 1),
        (["ui", "--print"], 1),
        (["ssh-config"], 1),
        (["context", "docker01"], 1),
    ],
)
def test_without_a_lab_there_is_a_remedy(args: list[str], code: int, capfd: pytest.CaptureFixture[str]) -> None:
    result = overlab(*args)
    assert (result.exit_code, result.stdout) == (code, "")
    assert "overlab up --stack dev" in result.stderr


@pytest.mark.parametrize(("snapshot", "code"), [(recorded(), 0), (changed(faults.veth_detached), 1)])
def test_the_exit_code_of_status(snapshot: Snapshot, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "recorded", lambda _: None)
    monkeypatch.setattr(lab_collector, "take_snapshot", lambda *_: snapshot)
    assert overlab("status").exit_code == code
    assert overlab("--stack", "dev", "status", "--json").exit_code == code


def test_an_unknown_node_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "recorded", lambda _: None)
    result = overlab("inspect", "cnm", "docker09")
    assert result.exit_code == 1
    assert "has no node docker09" in result.stderr
    assert "docker01, docker02, docker03" in result.stderr


def test_tls_needs_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "recorded", lambda _: None)
    result = overlab("context", "--tls")
    assert result.exit_code == 1
    assert "--tls needs a node" in result.stderr
