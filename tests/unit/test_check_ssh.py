"""A session over real ssh, with the lab's pinned keys, in the lab's namespace."""

from __future__ import annotations

from ipaddress import IPv4Address

from components import checks
from components.checks.checked_lab import CheckedWorkload
from components.checks.model import CheckResult
from overlab.checks import runner
from overlab.checks.session import Session, session_command
from overlab.diagnosis import causes
from tests.unit import check_run_factory, ssh_lab
from tests.unit.ssh_lab import Lab

pytestmark = ssh_lab.NEEDS
lab = ssh_lab.lab


def session(lab: Lab, node: str) -> Session:
    return Session(node, runner.transport(lab.settings, lab.platform).to_node(node, session_command("")))


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
    result = CheckResult.model_validate(known.model_dump() | {"output": f"docker02 was not reached: {one.problem}"})
    cause = causes.find(result)
    assert cause is not None
    assert cause.id == "host-key-changed"


def test_checks_from_outside_are_in_the_labs_namespace(lab: Lab) -> None:
    # Only there has anyone this address: the connection is refused, not lost.
    address = IPv4Address("10.96.0.11")
    web = CheckedWorkload("docker01", (), 1)
    checked = checks.CheckedLab(
        {"docker01": address}, address, cluster_store="", control_ports=(), workloads={"web": web}, mtu={}
    )
    check = checks.Check(id="x", kind="http-external", node=checks.EXTERNAL, target="web", expect="fail", timeout_s=1)
    facts = checks.Facts(ports={"web": {"1/tcp": 1}})
    prefix = runner.transport(lab.settings, lab.platform).to_outside
    one = Session(checks.EXTERNAL, [*prefix, *session_command("")])
    one.open()
    ended = one.run(checks.node_script(checks.EXTERNAL, [check], checked, facts), 60)
    assert "Connection refused" in ended.stdout
    assert ended.code == 0


def test_a_node_that_dies_in_the_middle_is_noticed(lab: Lab) -> None:
    """Else its session would last until the limit of the whole matrix."""
    command = runner.transport(lab.settings, lab.platform).to_node("docker01", ["true"])
    asked = dict(word.split("=", 1) for word in command if word.startswith("ServerAlive"))
    assert 30 <= int(asked["ServerAliveInterval"]) * int(asked["ServerAliveCountMax"]) <= 180
