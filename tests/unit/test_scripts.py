"""Node scripts: valid shell, inserted values inert, behaviour where it can be run without a node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import checks, scripts
from components.settings import Settings, parse, read_stack_file

PROJECT = Path(__file__).parents[2]
HOSTILE = "a'b\"c $(touch /tmp/owned) `id` ; & | \\ \t # %s *"


@pytest.fixture(scope="module")
def lab() -> Settings:
    return parse(read_stack_file(PROJECT, "dev"), "dev")


def addresses(lab: Settings) -> dict[str, dict[str, str]]:
    return {name: {"ov_net1": f"10.0.0.{n}"} for n, name in enumerate(lab.workloads, 2)}


def rendered(lab: Settings) -> dict[str, str]:
    file = {"path": "/etc/docker/daemon.json", "mode": "0644", "content": HOSTILE}
    engine = {"version": "20.10", "install": "golden", "bundle": "/b.tar", "limit_s": 9, "files": [file]}
    engine |= {"advertise": "10.99.0.11:2376", "store": "consul://10.99.0.11:8500", "nic": "lab0"}
    joined: dict[str, Any] = {
        "consul": "http://10.99.0.11:8500",
        "own": "10.99.0.11:2376",
        "peers": ["docker02", "docker03"],
    }
    joined |= {
        "nodes": [{"advertise": f"10.99.0.1{n}:2376"} for n in (1, 2)],
        "limit_s": 9,
        "grace_s": 5,
        "heartbeat_s": 10,
    }
    return {
        "reachable": scripts.render("reachable", hostname=HOSTILE),
        "engine": scripts.render("engine", **engine),
        "joined": scripts.render("joined", **joined),
        "overlays": scripts.render("overlays", overlays=[{"name": HOSTILE, "id": "0a"}], limit_s=9),
        "checks": checks.script("docker01", checks.matrix(lab), lab, addresses(lab)),
    }


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_every_script_passes_shellcheck(lab: Settings, tmp_path: Path) -> None:
    inside = checks.inside("t1", [c for c in checks.matrix(lab) if c.source == "t1"], lab, addresses(lab))
    for name, text in (rendered(lab) | {"inside": inside}).items():
        path = tmp_path / f"{name}.sh"
        path.write_text(text)
        # SC2016: a script within single quotes is meant to be expanded elsewhere.
        found = subprocess.run(["shellcheck", "-e", "SC2016", str(path)], capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=40))
def test_inserted_values_are_inert(value: str) -> None:
    script = scripts.render("reachable", hostname=value).replace("$(hostname)", '"$want"')
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout == value.encode() + b"\n"


def run_inside(call: dict[str, object]) -> list[str]:
    text = scripts.render("checks_inside", record=checks.RECORD, calls=[call])
    done = subprocess.run(["sh", "-s"], input=text, capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\n").split("\t")


def call(argv: list[str], expect: str = "pass", within_s: int = 1) -> dict[str, object]:
    return {"id": "x", "title": "a -> b", "expect": expect, "within_s": within_s, "argv": argv}


def test_a_check_that_passes_says_so_with_its_output() -> None:
    record = run_inside(call(["echo", "one\ntwo\tthree"]))
    assert record[:5] == [checks.RECORD, "x", "a -> b", "pass", "pass"]
    assert record[7] == "one|two three"


def test_a_check_that_fails_is_tried_until_its_limit() -> None:
    record = run_inside(call(["false"]))
    assert record[3:5] == ["pass", "fail"]
    assert int(record[5]) >= 1


def test_one_that_must_fail_is_wrong_when_any_of_three_tries_passes(tmp_path: Path) -> None:
    late = f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0); echo $((n + 1)) > {tmp_path}/n; [ $n -ge 2 ]"
    assert run_inside(call(["sh", "-c", late], expect="fail"))[4] == "pass"
    assert run_inside(call(["false"], expect="fail"))[4] == "fail"


def test_the_matrix_has_every_ordered_pair_by_address_and_by_name(lab: Settings) -> None:
    matrix = checks.matrix(lab)
    pairs = {(c.kind, c.source, c.target) for c in matrix if c.kind.startswith("ping")}
    names = list(lab.workloads)
    assert pairs == {(k, a, b) for k in ("ping-ip", "ping-name") for a in names for b in names if a != b}
    assert len({c.id for c in matrix}) == len(matrix)
    assert {c.source for c in matrix if c.kind == "interface"} == set(names)
    assert {c.source for c in matrix if c.kind == "bridge"} == set(names)


def test_records_are_read_back(lab: Settings) -> None:
    line = "\t".join(
        [checks.RECORD, "id", "t1 -> t2 ping-ip on ov_net1", "pass", "fail", "90", "ping -c 1 x", "no route"]
    )
    (result,) = checks.parse("docker01", f"noise\n{line}\n")
    assert (result.node, result.passed, result.seconds, result.output) == ("docker01", False, 90, "no route")
