"""A session over real ssh, with the lab's pinned keys, in the lab's namespace."""

from __future__ import annotations

import json

from overlab.checks import runner
from overlab.checks.results import CheckResult
from overlab.checks.session import ON_NODE, ExternalSession, Session
from overlab.diagnosis import causes
from tests.unit import check_run_factory, ssh_lab
from tests.unit.ssh_lab import Lab

pytestmark = ssh_lab.NEEDS
lab = ssh_lab.lab


def session(lab: Lab, node: str) -> Session:
    return Session(
        node, runner.ways(lab.settings, lab.platform).to_node(node, ["sh", "-c", ON_NODE, "overlab-test", "0"])
    )


def test_a_script_runs_with_its_exit_code_and_streams(lab: Lab) -> None:
    one = session(lab, "docker01")
    one.open()
    assert one.problem == ""
    ended = one.run("echo 'a b'; echo err >&2; exit 3", 60)
    assert (ended.code, ended.stdout, ended.stderr) == (3, "a b\n", "err\n")


def test_a_large_matrix_is_no_argument_that_is_too_long(lab: Lab) -> None:
    one = session(lab, "docker01")
    one.open()
    line = f": {'x' * 100}\n"
    assert one.run(f"{line * 20_000}echo end", 60).stdout == "end\n"


def test_somebody_in_the_middle_is_not_talked_to(lab: Lab) -> None:
    one = session(lab, "docker02")
    one.open()
    assert "Host key verification failed" in one.problem
    known = check_run_factory.run(check_run_factory.lab(), unreached="docker03").not_run[0]
    told = CheckResult.model_validate(known.model_dump() | {"output": f"docker02 was not reached: {one.problem}"})
    cause = causes.find(told)
    assert cause is not None
    assert cause.id == "host-key-changed"


def test_the_platforms_end_is_in_the_labs_namespace(lab: Lab) -> None:
    # Only there has anyone this address: the connection is refused, not lost.
    task = {
        "id": "x",
        "kind": "http-external",
        "title": "t",
        "expect": "fail",
        "timeout_s": 1,
        "url": "http://10.96.0.11:1/",
    }
    ended = ExternalSession(runner.ways(lab.settings, lab.platform).to_platform).run([task], 60)
    assert "Connection refused" in ended.stdout
    assert json.dumps(ended.code) == "0"


def test_a_node_that_dies_in_the_middle_is_noticed(lab: Lab) -> None:
    """Else its session would last until the limit of the whole matrix."""
    command = runner.ways(lab.settings, lab.platform).to_node("docker01", ["true"])
    asked = dict(word.split("=", 1) for word in command if word.startswith("ServerAlive"))
    assert 30 <= int(asked["ServerAliveInterval"]) * int(asked["ServerAliveCountMax"]) <= 180
