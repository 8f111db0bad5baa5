"""How the tutorial is read and compared: what a page means, and which outputs are of its shape."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.tutorial import PAGE, Runner, Shapes, Step, normal, parse


def one(command: str, *expected: str, may_fail: bool = False) -> Step:
    return Step("", 1, command, expected, may_fail=may_fail)


def test_a_page_is_its_commands_with_their_outputs() -> None:
    page = "\n".join(
        [
            "# Title",
            "## First",
            "```console",
            "$ one a \\",
            "  b",
            "out",
            "",
            "out 2",
            "$ two",
            "```",
            "```yaml",
            "$ not a command",
            "```",
            "## Second",
            "```console changes",
            "$ three",
            "$ echo $?",
            "1",
            "```",
        ]
    )
    assert parse(page) == [
        Step("First", 4, "one a \\\n  b", ("out", "", "out 2")),
        Step("First", 9, "two", ()),
        Step("Second", 16, "three", (), changes=True, may_fail=True),
        Step("Second", 17, "echo $?", ("1",), changes=True),
    ]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("```console\nout\n```", "begins with '\\$ command'"),
        ("```console changed\n$ x\n```", "plain, or 'changes'"),
        ("```console\n$ x", "never closed"),
    ],
)
def test_a_page_that_means_nothing_is_refused(page: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(page)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ([], ""),
        (["a b"], "a    b  \n\n"),
        (["  a"], "\ta\n"),
        (["<id> up <ago>"], "538297d2119a up About a minute"),
        (["<id> up <ago>"], f"{'0a' * 32} up 3 seconds"),
        (["<mac> <ip> <veth>@if<index>:"], "02:42:0a:00:00:02 10.0.0.2 veth0a1b2c3@if17:"),
        (["time=<ms>"], "time=1.207 ms"),
        (["a ... z"], "a b c z"),
        (["a...", "z"], "a\nz"),
        (["...", "z"], "a\n\nb\nz"),
        (["a", "...", "z"], "a\nz"),
        (["a", "...", "m", "...", "z"], "a\nm\nm\nx\nz\nz"),
        (["...", "a", "b", "..."], "a\na\nb\nc"),
        (["<h1>Welcome</h1>"], "<h1>Welcome</h1>"),
        (["[x] (y) $z ^"], "[x] (y) $z ^"),
        (["<ip:a> <mac:a>", "<ip:a>"], "10.0.0.2 02:42:0a:00:00:02\n10.0.0.2"),
        (["<id:a>", "<id:b>", "<id:a>"], "aaaaaaaaaaaa\nbbbbbbbbbbbb\naaaaaaaaaaaa"),
    ],
)
def test_of_the_shape(expected: list[str], printed: str) -> None:
    assert Shapes().mismatch(tuple(expected), printed) is None


@pytest.mark.parametrize(
    ("expected", "printed", "why"),
    [
        ([], "x", "more was printed"),
        (["a"], "", "no line for: a"),
        (["a"], "ab", "no line for: a"),
        (["a"], "b a", "no line for: a"),
        (["a", "b"], "a\nb\nc", "more was printed"),
        (["a", "b", "c"], "a\nx\nc", "no line for: b"),
        (["<id>"], "ov_net1", "no line for: <id>"),
        (["<mac>"], "02:42:0a:00:00", "no line for: <mac>"),
        (["<nothing>"], "x", "no line for: <nothing>"),
        (["a...z"], "a\nz", "no line for: a...z"),
        (["<id:a>", "<id:a>"], "aaaaaaaaaaaa\nbbbbbbbbbbbb", "no line for: <id:a>"),
        (["a.c"], "abc", "no line for: a.c"),
    ],
)
def test_not_of_the_shape(expected: list[str], printed: str, why: str) -> None:
    found = Shapes().mismatch(tuple(expected), printed)
    assert found is not None
    assert why in found


def test_a_long_output_is_reported_soon() -> None:
    printed = "\n".join(f"line {number}" for number in range(20_000))
    found = Shapes().mismatch(("...", "line 5", "...", "line 15000", "...", "line 3", "...", "no such", "..."), printed)
    assert found == "no line for: line 3"


def test_a_name_stands_for_the_same_in_later_outputs() -> None:
    shapes = Shapes()
    assert shapes.mismatch(("<id:net> here",), "aaaaaaaaaaaa here") is None
    assert shapes.mismatch(("<id:net>... there",), "aaaaaaaaaaaa0123 there") is None
    assert shapes.mismatch(("<id:net> there",), "bbbbbbbbbbbb there") == "no line for: aaaaaaaaaaaa there"
    assert shapes.bound == {"id_net": "aaaaaaaaaaaa"}


def test_what_did_not_fit_binds_nothing() -> None:
    shapes = Shapes()
    assert shapes.mismatch(("<id:net>", "b"), "aaaaaaaaaaaa\nc") is not None
    assert shapes.bound == {}


def test_normal() -> None:
    assert normal("a \t b\r\n\nc   \n\n") == "a b\n\nc\n"


# -- running


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner("ci", {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, tmp_path)


def test_output_and_errors_are_one(runner: Runner) -> None:
    assert runner.run(one("echo out; echo err >&2", "out", "err")) == ("out\nerr\n", None)


def test_a_failure_is_reported_unless_the_page_asks_for_the_code(runner: Runner) -> None:
    assert runner.run(one("exit 3"))[1] == "exit code 3"
    assert runner.run(one("exit 3", may_fail=True))[1] is None
    assert runner.run(one("echo $?", "3"))[1] is None
    assert runner.run(one("echo $?", "0"))[1] is None


def test_a_command_does_not_read_the_terminal(runner: Runner) -> None:
    assert runner.run(one("cat")) == ("", None)


def test_a_command_that_hangs_is_ended(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.e2e.tutorial.LIMIT_S", 1)
    assert runner.run(one("echo begun; sleep 60 & sleep 60")) == ("begun\n", "did not end within 1 s")


def test_overlab_is_that_of_the_stack(runner: Runner) -> None:
    assert "--stack ci" in (runner.tools / "overlab").read_text()
    assert runner.run(one("command -v overlab", f"{runner.tools}/overlab"))[1] is None
    assert runner.run(one("echo /run/netns/overlab-dev", "/run/netns/overlab-dev")) == ("/run/netns/overlab-ci\n", None)


# -- the page itself


def test_the_page_can_be_read() -> None:
    steps = parse(PAGE.read_text("utf-8"))
    assert len(steps) > 40
    assert all(step.section for step in steps)
    assert any(step.changes for step in steps)


def test_what_changes_the_lab_is_marked() -> None:
    """A block that is not marked may be run on a lab in use: it touches only its own containers."""
    words = ("docker rm ", "docker stop ", "docker start ", "docker restart ", "overlab up", "overlab refresh")
    for step in parse(PAGE.read_text("utf-8")):
        if any(word in step.command for word in words) and not step.changes:
            assert "tmp-" in step.command, f"{PAGE.name}:{step.line}: {step.command}"
