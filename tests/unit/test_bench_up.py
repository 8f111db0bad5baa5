"""The benchmark of ``up``: phases from the event log, what is still missing, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import up
from components.config.platform import NodeEngine


def event(kind: str, component: str, name: str, at: int) -> str:
    urn = f"urn:pulumi:x::overlab::overlab:index:Lab$overlab:index:{component}$command:remote:Command::{name}"
    metadata = {"urn": urn, "op": "create", "new": {"custom": True}}
    return json.dumps({"timestamp": at, kind: {"metadata": metadata}})


def test_a_phase_ends_with_the_last_resource_of_its_components(tmp_path: Path) -> None:
    lines = [json.dumps({"timestamp": 1000, "preludeEvent": {}})]
    for at, (name, (first, *_)) in enumerate(up.PHASES.items(), 1002):
        lines += [event("resourcePreEvent", first, name, at), event("resOutputsEvent", first, name, at + 1)]
    lines += [event("resourcePreEvent", "Networks", "gate", 1010), event("resOutputsEvent", "Networks", "gate", 1020)]
    (tmp_path / "log").write_text("\n".join(lines))
    ends = up.phase_ends(tmp_path / "log", begun=999.5)
    assert ends == {name: at + 0.5 for at, name in enumerate(up.PHASES, 3)} | {"networks": 20.5}


def test_runs_of_this_commit_are_kept_and_the_missing_ones_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(up, "ROOT", tmp_path)
    monkeypatch.setattr(up, "RESULTS", tmp_path / "build")
    monkeypatch.setattr(up, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(up, "_commit", lambda: "new")
    bench = up.Bench("vm", "bench", up.plain("vm", "10.94.0.0/24"))
    other = {"commit": "old", "what": "up", "load": 0, "seconds": 1.0, "phases": dict.fromkeys(up.PHASES, 1.0)}
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "vm.jsonl").write_text(json.dumps(other) + "\n")
    seconds = iter([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0])

    def measured() -> up.Figures:
        value = next(seconds)
        return {"seconds": value, "phases": dict.fromkeys(up.PHASES, value)}

    bench.repeat(1, up=measured, by_hand=measured)
    bench.repeat(2, up=measured, by_hand=measured, dev_up=measured, dev_test=measured)
    assert [one["seconds"] for one in bench.known("up")] == [10.0, 50.0]
    assert [one["seconds"] for one in bench.known("by_hand")] == [20.0, 60.0]
    (tmp_path / "page.md").write_text("a\n<!-- tables: make bench-up KIND=vm -->\nb\n<!-- end of tables: vm -->\nc\n")
    up.write("vm", up.table(bench))
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("a\n")
    assert page.endswith("<!-- end of tables: vm -->\nc\n")
    assert "\nb\n" not in page
    assert "| **all** | 30.0 (10.0 to 50.0) | 40.0 (20.0 to 60.0) |" in page
    assert "Ratio of the medians: 0.75." in page
    assert "up 1/1: 10.0 s" in capsys.readouterr().out


def test_the_script_runs_nodes_as_the_lab_does() -> None:
    engine = NodeEngine(
        docker_host="unix:///x", image="i", privileged=False, capabilities=("CHOWN",), cgroup_namespace="host"
    )
    assert up.run_options(engine).split() == [
        "--cgroupns=host",
        "--volume=/sys/fs/cgroup:/sys/fs/cgroup",
        "--security-opt=seccomp=unconfined",
        "--security-opt=apparmor=unconfined",
        "--cap-add=CHOWN",
    ]
    private = engine.model_copy(update={"privileged": True, "cgroup_namespace": "private"})
    assert up.run_options(private) == "--cgroupns=private --privileged"
