"""Editing a YAML file's text: what is asked for changes, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import yaml_reader
from overlab.config import edit
from overlab.core.errors import OverlabError

FILE = """\
# top
config:
  # why
  lab:
    machine: {kind: vm}   # flow
    # about the engine
    engine:
      version: "20.10"  # quoted
      # the last one
    # nodes
    nodes:
      docker01:
      docker02: {}

    ports: ["90:80", {target: 80}]
    checks:
      - kind: ping   # a list
        from: a
  # at the end
"""


def lines_changed(after: str) -> tuple[list[str], list[str]]:
    old, new = FILE.splitlines(), after.splitlines()
    return [one for one in old if one not in new], [one for one in new if one not in old]


@pytest.mark.parametrize(
    ("path", "value", "gone", "come"),
    [
        ("machine.kind", "container", "    machine: {kind: vm}   # flow", "    machine: {kind: container}   # flow"),
        ("machine.vcpu", "2", "    machine: {kind: vm}   # flow", "    machine: {kind: vm, vcpu: 2}   # flow"),
        ("engine.version", "'19.03'", '      version: "20.10"  # quoted', "      version: '19.03'  # quoted"),
        ("engine.api", "tls", None, "      api: tls"),
        ("nodes.docker01", "{machine: {vcpu: 2}}", "      docker01:", "      docker01: {machine: {vcpu: 2}}"),
        ("nodes.docker01.machine.vcpu", "2", "      docker01:", "      docker01: {machine: {vcpu: 2}}"),
        ("nodes.docker02.address", "10.0.0.5", "      docker02: {}", "      docker02: {address: 10.0.0.5}"),
        ("nodes.docker03", "{}", None, "      docker03: {}"),
        ("ports[0]", '"91:80"', '    ports: ["90:80", {target: 80}]', '    ports: ["91:80", {target: 80}]'),
        ("ports[1].target", "81", '    ports: ["90:80", {target: 80}]', '    ports: ["90:80", {target: 81}]'),
        ("checks[0].kind", "dns", "      - kind: ping   # a list", "      - kind: dns   # a list"),
    ],
)
def test_one_line_changes(path: str, value: str, gone: str | None, come: str) -> None:
    after = edit.assign(FILE, ["config", "lab", *edit.parse_path(path)], value)
    assert lines_changed(after) == ([gone] if gone else [], [come])


def test_a_section_that_does_not_exist_is_written_at_the_end_of_its_parent() -> None:
    after = edit.assign(FILE, ["config", "lab", "store", "acl"], "true")
    assert "        from: a\n    store:\n      acl: true\n  # at the end\n" in after


def test_a_text_that_cannot_stand_in_a_flow_mapping_is_quoted() -> None:
    after = edit.assign(FILE, ["config", "lab", "machine", "note"], "one, two")
    assert '{kind: vm, note: "one, two"}   # flow' in after


def test_a_block_is_replaced_whole() -> None:
    after = edit.assign(FILE, ["config", "lab", "engine"], "{api: tls}")
    assert lines_changed(after) == (
        ["    engine:", '      version: "20.10"  # quoted'],
        ["    engine: {api: tls}  # quoted"],
    )


@pytest.mark.parametrize(
    ("path", "gone", "come"),
    [
        ("machine.kind", ["    machine: {kind: vm}   # flow"], ["    machine: {}   # flow"]),
        ("nodes.docker02", ["      docker02: {}"], []),
        ("engine.version", ["    engine:", '      version: "20.10"  # quoted'], ["    engine: {}  # quoted"]),
        ("ports", ['    ports: ["90:80", {target: 80}]'], []),
        ("nothing.here", [], []),
    ],
)
def test_a_key_is_removed_with_its_line(path: str, gone: list[str], come: list[str]) -> None:
    assert lines_changed(edit.remove(FILE, ["config", "lab", *edit.parse_path(path)])) == (gone, come)


@pytest.mark.parametrize(
    ("path", "why"), [("machine.kind.x", "machine.kind is no mapping"), ("ports[7]", r"ports\[7\] does not exist")]
)
def test_a_path_through_what_is_no_mapping_is_refused(path: str, why: str) -> None:
    with pytest.raises(OverlabError, match=why):
        edit.assign(FILE, ["config", "lab", *edit.parse_path(path)], "1")


def test_what_an_alias_shares_is_not_changed() -> None:
    with pytest.raises(OverlabError, match="cannot be changed without touching other parts"):
        edit.assign("a: &x {k: 1}\nb: *x\n", ["b", "k"], "2")


KEYS = st.sampled_from(["machine", "engine", "nodes", "docker01", "docker02", "kind", "new key", "version"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text("ab,:#{}[]\"' -", max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(KEYS, min_size=1, max_size=3), VALUES)
def test_the_result_reads_as_asked_and_every_comment_outside_survives(path: list[str], value: Any) -> None:
    import json

    try:
        after = edit.assign(FILE, ["config", "lab", *path], json.dumps(value))
    except OverlabError:
        return
    content = yaml_reader.read(after)[0]["config"]["lab"]
    for key in path:
        content = content[key]
    assert content == value
    for comment in ("# top", "# why", "# about the engine", "# nodes", "# a list", "# at the end"):
        assert comment in after
