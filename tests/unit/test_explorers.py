"""The explorers' own parts: what they draw, what they hold a lab against, how they shrink what fails."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from components.config import settings as lab_settings
from tests.explorers import histories, records, shrink, stack_files, timeline
from tests.explorers.histories import KINDS, NOT_GREEN, Step
from tests.explorers.invariants import Declared, too_many, violations
from tests.explorers.timeline import Entry

# -- histories -------------------------------------------------------------------------------------


def test_a_seed_draws_the_same_history_each_time() -> None:
    kinds = KINDS.keys() - NOT_GREEN
    drawn = {seed: histories.draw(seed, kinds) for seed in range(100)}
    assert drawn == {seed: histories.draw(seed, sorted(kinds)) for seed in range(100)}
    assert {len(one) for one in drawn.values()} == set(range(2, 9))
    assert {step.kind for one in drawn.values() for step in one} == set(kinds)
    assert all(step.node != step.peer for one in drawn.values() for step in one)


def test_there_are_as_many_kinds_as_the_explorer_is_to_have() -> None:
    assert len(KINDS) >= 25
    assert KINDS.keys() > NOT_GREEN


# -- invariants ------------------------------------------------------------------------------------

DECLARED = Declared({"a1": "n1", "b1": "n2"}, frozenset({("ov", "a1"), ("ov", "b1")}), frozenset({"ov"}))
_NODE = {"machine": "running", "engine": "20.10.5", "error": None, "registered": True, "watchdog": "healthy"}
STATUS: dict[str, Any] = {
    "findings": [],
    "store": {"leader": "10.0.0.1:8300"},
    "nodes": [_NODE | {"name": "n1", "members": {"n2": True}}, _NODE | {"name": "n2", "members": {"n1": True}}],
    "networks": [
        {
            "name": "ov",
            "id": "1f",
            "endpoints": [
                {
                    "name": "a1",
                    "address": "10.1.0.2",
                    "mac": "02:42:0a:01:00:02",
                    "node": "n1",
                    "kernel": {"n1": "local", "n2": "resolved"},
                },
                {
                    "name": "b1",
                    "address": "10.1.0.3",
                    "mac": "02:42:0a:01:00:03",
                    "node": "n2",
                    "kernel": {"n1": "unresolved", "n2": "local"},
                },
            ],
        }
    ],
}


def endpoint(status: dict[str, Any], number: int) -> dict[str, Any]:
    found: dict[str, Any] = status["networks"][0]["endpoints"][number]
    return found


def test_a_lab_that_is_as_declared_violates_nothing() -> None:
    assert violations(STATUS, DECLARED) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda one: one["findings"].append(
                {"id": "engine-down", "severity": "down", "subject": "n1", "evidence": "why"}
            ),
            "finding: engine-down: n1: why",
        ),
        (lambda one: one["store"].update(leader=None), "the store has no leader"),
        (lambda one: one["nodes"][0].update(machine="exited"), "n1: its machine is exited"),
        (lambda one: one["nodes"][1].update(engine=None, error="refused"), "n2: no engine: refused"),
        (lambda one: one["nodes"][1].update(registered=None), "n2: not in docker/nodes"),
        (lambda one: one["nodes"][0]["members"].update(n2=False), "n1: no gossip member n2"),
        (lambda one: one["nodes"][0].update(watchdog="inactive"), "n1: its watchdog is inactive"),
        (lambda one: endpoint(one, 1).update(address="10.1.0.2"), "ov: address 10.1.0.2: 2 times"),
        (lambda one: endpoint(one, 1).update(mac="02:42:0a:01:00:02"), "MAC 02:42:0a:01:00:02: 2 times"),
        (lambda one: one["networks"][0].update(id=None), "network ov: declared: True, in the store: False"),
        (lambda one: endpoint(one, 0)["kernel"].update(n1="wrong"), "ov/a1 on n1: wrong"),
        (lambda one: endpoint(one, 0)["kernel"].update(n2="unknown"), "ov/a1 on n2: unknown"),
        (lambda one: endpoint(one, 0)["kernel"].update(n2="local"), "ov/a1 on n2: local"),
    ],
)
def test_each_thing_that_is_wrong_is_said(change: Callable[[dict[str, Any]], object], said: str) -> None:
    status = copy.deepcopy(STATUS)
    change(status)
    assert violations(status, DECLARED) == [said]


def test_endpoints_are_those_of_the_declared_workloads() -> None:
    status = copy.deepcopy(STATUS)
    endpoint(status, 0)["node"] = "n2"
    endpoint(status, 0)["kernel"] = {"n1": "absent", "n2": "local"}
    status["networks"][0]["endpoints"].append(endpoint(copy.deepcopy(STATUS), 1) | {"address": "10.1.0.9", "mac": "x"})
    assert violations(status, DECLARED) == [
        "ov/a1 is on n2, declared on n1",
        "ov/b1: 2 endpoints in the store, 1 declared",
    ]
    del status["networks"][0]["endpoints"][1:]
    assert "ov/b1: 0 endpoints in the store, 1 declared" in violations(status, DECLARED)


def test_notes_are_no_violation() -> None:
    status = copy.deepcopy(STATUS)
    status["findings"].append({"id": "x", "severity": "note", "subject": "n1", "evidence": ""})
    assert violations(status, DECLARED) == []


def test_only_what_is_new_is_too_many() -> None:
    before, after = Counter({"mount": 2, "gone": 1}), Counter({"mount": 3, "container b1": 1})
    assert too_many(before, after) == ["too many: 1 x container b1", "too many: 1 x mount"]
    assert too_many(after, after) == []


# -- pairs of stack files ---------------------------------------------------------------------------


def test_a_seed_draws_the_same_pair_of_valid_files_each_time() -> None:
    drawn = [stack_files.pair(seed, "10.9.0.0/24") for seed in range(60)]
    assert drawn == [stack_files.pair(seed, "10.9.0.0/24") for seed in range(60)]
    for pair in drawn:
        assert pair[0] != pair[1]
        for raw in pair:
            settings = lab_settings.parse(copy.deepcopy(raw), "explore")
            assert settings.networks
            assert settings.workloads


def test_every_edit_is_drawn() -> None:
    """An edit that never leads to a valid file would never be tried."""
    own = random.Random(1)
    for edit in stack_files.EDITS:
        changed = 0
        for seed in range(40):
            raw = stack_files.pair(seed, "10.9.0.0/24")[0]
            before = copy.deepcopy(raw)
            edit(own, raw)
            changed += raw != before and stack_files.is_valid(raw)
        assert changed > 0, edit


def test_a_pair_is_shrunk_to_the_edit_that_matters() -> None:
    seed = next(n for n in range(200) if len(stack_files.pair(n, "10.9.0.0/24")[0]["workloads"]) == 4)
    first = stack_files.pair(seed, "10.9.0.0/24")[0]
    second = copy.deepcopy(first)
    name = next(name for name, spec in first["workloads"].items() if "networks" in spec)
    for spec in second["workloads"].values():
        spec["labels"] = {"org.example.x": "1"}
    second["workloads"][name]["memory_mib"] = 48

    def fails(pair: stack_files.Pair) -> bool:
        return "memory_mib" in pair[1]["workloads"].get(name, {})

    smallest = shrink.smallest((first, second), stack_files.smaller, fails, tries=100)
    assert [list(raw["workloads"]) for raw in smallest] == [[name], [name]]
    assert len(smallest[0]["networks"]) == 1


# -- shrinking -------------------------------------------------------------------------------------


def test_a_history_is_shrunk_to_the_steps_that_matter() -> None:
    steps = tuple(Step(kind) for kind in "abcdefgh")

    def fails(part: tuple[Step, ...]) -> bool:
        return {"b", "g"} <= {step.kind for step in part}

    found = shrink.smallest(steps, shrink.without_chunks, fails, tries=100)
    assert [step.kind for step in found] == ["b", "g"]


def test_shrinking_stops_after_its_tries() -> None:
    tried = []

    def fails(part: tuple[int, ...]) -> bool:
        tried.append(part)
        return True

    assert len(shrink.smallest(tuple(range(64)), shrink.without_chunks, fails, tries=3)) == 8
    assert len(tried) == 3


# -- records ---------------------------------------------------------------------------------------


def test_a_timeline_shows_each_step_and_escapes_its_text() -> None:
    page = timeline.page("faults 7", [Entry(0, 2, "a <fault>"), Entry(2, 4, "up", "said & done", bad=True)], ["x < y"])
    assert "a &lt;fault&gt;" in page
    assert "said &amp; done" in page
    assert "x &lt; y" in page
    assert "margin-left: 50.0%; width: 50.0%" in page
    assert "<script" not in page
    assert "Every invariant holds" in timeline.page("faults 8", [], [])


def test_figures_count_what_was_green() -> None:
    lines = [
        '{"violations": [], "green_s": 10}',
        '{"violations": [], "green_s": 30}',
        '{"violations": ["x"], "green_s": 9}',
    ]
    assert records.figures(lines) == "3 cases, 2 green; 10 to 30 s to green, 20 s in the median"
    assert records.figures(lines[2:]) == "1 cases, 0 green"
