"""`exec` against a real sshd in the lab's namespace: streams, exit code and every character pass through."""

from __future__ import annotations

import pytest

from overlab import openssh
from overlab.core.errors import OverlabError
from tests.unit import ssh_lab
from tests.unit.ssh_lab import Lab

pytestmark = ssh_lab.NEEDS
lab = ssh_lab.lab


def test_streams_and_exit_code_pass_through(lab: Lab) -> None:
    done = lab.run("sh", "-c", "cat; echo err >&2; exit 42", stdin=b"\x00binary\xff\n")
    assert (done.stdout, done.stderr, done.returncode) == (b"\x00binary\xff\n", b"err\n", 42)


def test_it_is_root(lab: Lab) -> None:
    assert lab.run("id", "-u").stdout == b"0\n"


@pytest.mark.parametrize(
    "word",
    [
        "",
        "two words",
        "a'b",
        'a"b',
        "$HOME",
        "`id`",
        "a;b",
        "a\nb",
        "*",
        "~",
        "\\",
        "-x",
        "--",
        "ü",
        "a&b|c>d",
        "!x",
        "#",
    ],
)
def test_every_word_arrives_as_given(lab: Lab, word: str) -> None:
    assert lab.run("printf", "[%s]", word, "end").stdout == f"[{word}][end]".encode()


def test_tilde_lines_of_the_input_are_no_escapes(lab: Lab) -> None:
    assert lab.run("cat", stdin=b"\n~.\nstill here\n").stdout == b"\n~.\nstill here\n"


def test_a_host_key_that_is_not_the_pinned_one_is_refused(lab: Lab) -> None:
    done = lab.run("true", node="docker02")
    assert done.returncode == 255
    assert b"Host key verification failed" in done.stderr


def test_unknown_node_lists_the_known_ones(lab: Lab) -> None:
    with pytest.raises(OverlabError, match=r"has no node docker09\n.*docker01, docker02"):
        openssh.command(lab.settings, lab.platform, "docker09", ["true"], terminal=False)
