"""A run as table, lines, JSON and JUnit; kept and laid over an earlier one; watched."""

from __future__ import annotations

import io
import json
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from components import checks
from components.checks.model import CheckResult
from overlab.checks import execution, history, junit, results, text
from overlab.checks.execution import CheckOptions
from overlab.checks.reproduce import reproduce_command
from overlab.checks.results import CheckRun
from overlab.core.errors import OverlabError
from overlab.stack.outputs import Outputs
from tests.unit import check_run_factory

LAB = check_run_factory.lab()
GOOD = check_run_factory.run(LAB)
BAD = check_run_factory.run(LAB, check_run_factory.FAILURES)
AWAY = check_run_factory.run(LAB, unreached="docker03")


def shown(run: CheckRun, *, terminal: bool) -> str:
    out = io.StringIO()
    text.show(run, Console(file=out, force_terminal=terminal, width=100, highlight=False, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize(("run", "code"), [(GOOD, 0), (BAD, 1), (AWAY, 2)])
def test_exit_codes(run: CheckRun, code: int) -> None:
    assert run.exit_code == code


def test_not_everything_run_wins_over_a_failure() -> None:
    assert check_run_factory.run(LAB, check_run_factory.FAILURES, unreached="docker03").exit_code == 2


def test_table_on_a_terminal(snapshot: SnapshotAssertion) -> None:
    assert shown(BAD, terminal=True) == snapshot


def test_lines_elsewhere(snapshot: SnapshotAssertion) -> None:
    assert shown(BAD, terminal=False) == snapshot


def test_failures_come_last_and_in_full() -> None:
    lines = shown(BAD, terminal=False).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("FAILED"))
    assert not any(line.startswith("passed") for line in lines[first:])
    for line in (
        "  output  PING 10.0.0.4: 56 data bytes",
        "  where   docker01",
        "  more    docs/cookbook.md#gossip-partition",
    ):
        assert line in lines[first:]
    assert lines[-1].startswith(f"lab seed: {len(BAD.passed)} passed, 4 failed of {len(BAD.results)} checks in 21.5 s")


def test_a_node_that_was_not_reached_is_noted() -> None:
    out = shown(AWAY, terminal=False)
    assert f"note: {check_run_factory.NODE}" in out
    assert "not run  engine:docker03" in out
    assert "2 sessions" in out


def test_output_of_others_is_never_markup() -> None:
    [one] = [v for v in BAD.results if v.id == "kv:docker02"]
    odd = BAD.model_copy(update={"results": (one.model_copy(update={"output": "[red]x[/red] [/]"}),)})
    for terminal in (True, False):
        assert "[red]x[/red] [/]" in shown(odd, terminal=terminal)


def test_json_has_everything() -> None:
    document = json.loads(json.dumps(text.as_json(BAD)))
    assert (document["failed"], document["not_run"], document["exit_code"]) == (4, 0, 1)
    assert len(document["checks"]) == len(BAD.results)
    [broken] = [check for check in document["checks"] if check["id"] == "ping-name:ov_net1:t1:t3"]
    assert broken["command"].startswith("docker exec t1 ")
    assert broken["cause"]["more"] == "docs/cookbook.md#name-not-resolved"
    assert document["checks"][0]["cause"] is None


# -- JUnit -----------------------------------------------------------------------------------------


def test_junit_is_a_suite_a_kind_with_sums_that_add_up() -> None:
    for run in (GOOD, BAD, AWAY):
        root = ET.fromstring(junit.document(run))
        assert root.tag == "testsuites"
        assert [suite.tag for suite in root] == ["testsuite"] * len({one.kind for one in run.results})
        for name, tag, expected in (
            ("tests", "testcase", run.results),
            ("failures", "failure", run.failed),
            ("errors", "error", run.not_run),
        ):
            assert int(root.attrib[name]) == sum(int(suite.attrib[name]) for suite in root) == len(expected)
            assert len(list(root.iter(tag))) == len(expected)
        for suite in root:
            assert {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"} <= set(
                suite.attrib
            )
            assert suite[0].tag == "properties"
            for case in suite.iter("testcase"):
                assert {"classname", "name", "time"} == set(case.attrib)
        cases = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
        assert len(cases) == len(set(cases))


def test_junit_failures_have_the_command_and_the_remedy() -> None:
    root = ET.fromstring(junit.document(BAD))
    [failure] = [f for f in root.iter("failure") if f.attrib["type"] == "mtu"]
    assert failure.attrib["message"] == "expected pass, got fail"
    assert failure.text is not None
    for part in (
        "where:  docker02",
        "message too long, mtu=1400",
        "likely: ",
        "more:   docs/cookbook.md#mtu-black-hole",
    ):
        assert part in failure.text


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters()), st.text(st.characters()))
def test_junit_is_xml_whatever_the_output(output: str, title: str) -> None:
    one = BAD.failed[0].model_copy(update={"output": output, "source": title, "command": output})
    run = BAD.model_copy(update={"results": (one, AWAY.not_run[0].model_copy(update={"output": output}))})
    root = ET.fromstring(junit.document(run))
    assert len(list(root.iter("testcase"))) == 2


# -- kept ------------------------------------------------------------------------------------------


def test_a_run_is_kept_and_read_back(tmp_path: Path) -> None:
    file = results.file(tmp_path, "dev")
    assert results.load(file) is None
    results.save(BAD, file)
    assert results.load(file) == BAD
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("{}")
    assert results.load(file) is None


def part(*ids: str, good: bool = True) -> CheckRun:
    source = GOOD if good else BAD
    chosen = tuple(one for one in source.results if one.id in ids)
    later = source.begun + timedelta(minutes=5)
    return source.model_copy(update={"results": chosen, "only": ids, "begun": later, "sessions": 1, "seconds": 2.0})


def test_a_part_is_laid_over_what_is_known(tmp_path: Path) -> None:
    file = results.file(tmp_path, "dev")
    results.save(BAD, file)
    merged = results.save(part("kv:docker02"), file)
    assert len(merged.results) == len(BAD.results)
    assert {one.id for one in merged.failed} == set(check_run_factory.FAILURES) - {"kv:docker02"}
    # The timing stays that of the whole matrix.
    assert (merged.seconds, merged.sessions, merged.only) == (21.5, 3, ())


def test_another_generation_of_the_lab_starts_without_results(tmp_path: Path) -> None:
    file = results.file(tmp_path, "dev")
    results.save(BAD.model_copy(update={"generation": "earlier"}), file)
    assert [one.id for one in results.save(part("kv:docker02"), file).results] == ["kv:docker02"]


def test_a_complete_run_replaces_everything(tmp_path: Path) -> None:
    file = results.file(tmp_path, "dev")
    results.save(BAD, file)
    assert results.save(GOOD, file).failed == []


def up_found() -> list[dict[str, object]]:
    return [one.model_dump(mode="json") for one in GOOD.results]


def test_without_a_test_the_last_up_speaks(tmp_path: Path) -> None:
    matrix = checks.matrix(LAB)
    found = check_run_factory.outputs(LAB)
    with_checks = Outputs(**{**found.__dict__, "checks": up_found()})
    known = history.known(matrix, with_checks, tmp_path / "none.json")
    assert (len(known.results), known.run) == (len(matrix), None)
    results.save(BAD, tmp_path / "some.json")
    assert len(history.known(matrix, with_checks, tmp_path / "some.json").results) == len(matrix)
    assert history.known(matrix, with_checks, tmp_path / "some.json").run == BAD
    results.save(BAD.model_copy(update={"generation": "earlier"}), tmp_path / "old.json")
    assert history.known(matrix, with_checks, tmp_path / "old.json").run is None


def test_checks_that_nobody_asks_for_any_more_are_forgotten(tmp_path: Path) -> None:
    results.save(BAD, tmp_path / "x.json")
    few = checks.matrix(LAB)[:3]
    assert [one.id for one in history.known(few, check_run_factory.outputs(LAB), tmp_path / "x.json").results] == [
        c.id for c in few
    ]


def test_outputs_of_another_version_are_passed_over() -> None:
    assert results.from_up([{"id": "engine:docker01", "novel": 1}], checks.matrix(LAB)) == []


# -- watched ---------------------------------------------------------------------------------------


def watched(rounds: list[CheckRun | OverlabError], wanted: CheckOptions | None = None) -> tuple[int, str, list[float]]:
    out, pauses = io.StringIO(), list[float]()
    left = iter(rounds)

    def look() -> CheckRun:
        found = next(left)
        if isinstance(found, OverlabError):
            raise found
        return found

    console = Console(file=out, width=100, highlight=False)
    code = execution.watch(look, wanted or CheckOptions(), console, 7, pause=pauses.append, rounds=len(rounds))
    return code, out.getvalue(), pauses


def test_a_watch_shows_all_once_and_then_what_changed() -> None:
    code, out, pauses = watched([GOOD, GOOD, BAD, GOOD])
    assert (code, pauses) == (0, [7, 7, 7])
    tail = out.splitlines()[len(GOOD.results) + 1 :]
    assert tail[0].endswith("; nothing changed")
    changed = [line for line in tail if line.startswith("  ")]
    assert len(changed) == 2 * len(check_run_factory.FAILURES)
    assert any(
        line.startswith("  passed -> failed: docker02 kv (on docker02): the store has no key") for line in changed
    )
    assert any("remedy:" in line for line in changed)
    assert changed[-1].startswith("  failed -> passed:")


def test_a_watch_goes_on_when_a_round_cannot_be_run() -> None:
    code, out, _ = watched([GOOD, OverlabError("the lab is not up"), GOOD])
    assert code == 0
    assert "could not run: the lab is not up" in out
    assert watched([OverlabError("away")])[0] == 2


def test_a_watch_for_programs_is_a_document_a_line() -> None:
    code, out, _ = watched([GOOD, OverlabError("away"), BAD], CheckOptions(as_json=True))
    documents = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [document.get("exit_code", document.get("error")) for document in documents] == [0, "away", 1]


def test_a_watch_ends_with_an_interrupt_and_the_last_code() -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    assert execution.watch(lambda: BAD, CheckOptions(), Console(file=io.StringIO()), 1, pause=interrupt) == 1


def test_checks_that_come_and_go_are_changes() -> None:
    fewer = GOOD.model_copy(update={"results": GOOD.results[1:]})
    assert text.changes(GOOD, fewer) == ["gone: docker01 engine"]
    assert text.changes(fewer, GOOD) == ["new -> passed: docker01 engine (on docker01)"]


def test_files_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    wanted = CheckOptions(junit=tmp_path / "a.xml", html=tmp_path / "never.html")
    assert wanted.junit is not None
    wanted.junit.write_text("old")
    wanted.forget()
    assert not wanted.junit.exists()


@pytest.mark.parametrize("find", [lambda v: v.workloads, lambda v: (v.node,)])
def test_results_name_what_they_are_about(find: Callable[[CheckResult], tuple[str, ...]]) -> None:
    for one in GOOD.results:
        assert all(name and "/" not in name for name in find(one))


# -- reproduced-------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id_", "expected"),
    [
        ("ping-ip:ov_net1:t1:t2", "docker exec t1 ping -c 1 -W 2 10.0.0.3"),
        ("http:ov_net2:t3:web1", "docker exec t3 sh -c 'printf "),
        ("mtu:ov_net1:t1:t2", "-n ping -n -M do -c 1 -W 2 -s 1422 10.0.0.3"),
        ("interface:ov_net1:t1", "sh -c 'nsenter -t $(docker inspect -f {{.State.Pid}} t1) -n ip -4 addr show'"),
        ("kv:docker01", "/usr/local/sbin/overlab-store keys docker"),
        ("network:ov_net1:docker01", "docker network inspect -f '{{.Name}} {{.Scope}} {{.Driver}}' aaaa"),
    ],
)
def test_a_check_can_be_reproduced(id_: str, expected: str) -> None:
    [one] = [result for result in GOOD.results if result.id == id_]
    command = reproduce_command(one)
    assert command.startswith(f"overlab exec {one.node} -- ")
    assert expected in command.replace("""'"'"'""", "'")


def test_every_check_of_a_node_can_be_reproduced_and_only_once_it_ran() -> None:
    for one in GOOD.results:
        # Bulk needs a listener, and outside is no node.
        assert bool(reproduce_command(one)) == (one.kind not in ("tcp", "http-external")), one.id
        shlex.split(reproduce_command(one))
    assert {reproduce_command(one) for one in AWAY.not_run} == {""}


@given(st.sampled_from(GOOD.results), st.text())
def test_whatever_was_run_is_quoted(one: CheckResult, command: str) -> None:
    words = shlex.split(reproduce_command(one.model_copy(update={"command": command})))
    assert not words or words[:2] == ["overlab", "exec"]
