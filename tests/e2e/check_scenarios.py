"""``overlab test``, ``graph`` and ``report`` on a lab that is up; each leaves it as it was."""

from __future__ import annotations

import contextlib
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components import checks
from components.config.settings import parse, read_stack_file
from tests.e2e.lab import PROJECT, Done, RealLab
from tests.unit import browser


def document(done: Done) -> dict[str, Any]:
    """What ``overlab test --json`` printed."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def all_pass_with_one_session_a_node(lab: RealLab, directory: Path) -> None:
    settings = parse(read_stack_file(PROJECT, lab.stack), lab.stack)
    junit, page = directory / "junit.xml", directory / "test.html"
    found = document(lab.overlab("test", "--json", "--junit", str(junit), "--html", str(page)).ok())
    assert {check["id"] for check in found["checks"]} == {check.id for check in checks.matrix(settings)}
    assert (found["failed"], found["not_run"], found["sessions"]) == (0, 0, len(settings.nodes))
    assert int(ET.parse(junit).getroot().attrib["tests"]) == len(found["checks"])
    assert f"{len(found['checks'])} passed" in page.read_text()
    lines = lab.overlab("test", "--only", "engine").ok().stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["passed", f"engine:{node}"] for node in settings.nodes]


def a_failure_reports_what_was_run_where_and_why(lab: RealLab) -> None:
    lab.on("docker02", "docker pause t2")
    try:
        done = lab.overlab("test", "--only", "ping-name:ov_net1:t2:t1", "--only", "engine:docker02", "--within", "5")
    finally:
        lab.on("docker02", "docker unpause t2")
    assert done.code == 1
    assert "passed   engine:docker02" in done.stdout
    for part in (
        "FAILED  t2 -> t1 ping-name on ov_net1",
        "where   docker02",
        "is paused",
        "remedy  overlab exec docker02 -- docker unpause t2",
        "more    docs/cookbook.md#workload-paused",
    ):
        assert part in done.stdout
    # The picture shows it until the next test.
    drawn = lab.overlab("graph").ok().stdout
    box = re.search(r'(w\d+)\["t2<br/>', drawn)
    assert box
    assert f"class {box[1]} failed" in drawn
    lab.overlab("test", "--only", "t2").ok()
    assert "failed" not in lab.overlab("graph").ok().stdout.split("classDef unknown")[1]


def checks_on_an_unreachable_node_are_not_run(lab: RealLab) -> None:
    with without_ssh(lab, "docker03"):
        done = lab.overlab("test", "--only", "engine", "--json")
    found = document(done)
    assert done.code == 2
    assert {check["id"]: check["status"] for check in found["checks"]} == {
        "engine:docker01": "passed",
        "engine:docker02": "passed",
        "engine:docker03": "not run",
    }
    assert found["sessions"] == 2
    assert "docker03 was not reached: ssh: connect to host" in found["notes"][0]
    lab.overlab("test", "--only", "engine").ok()


def the_report_shows_the_lab_in_a_browser(lab: RealLab, directory: Path) -> browser.Seen:
    page = directory / "report.html"
    lab.overlab("report", "--html", str(page)).ok()
    seen = browser.load(page, directory)
    assert seen.console == []
    for address in (known["address"] for known in lab.outputs()["nodes"].values()):
        assert address in seen.dom
    assert 'class="failure' not in seen.dom
    assert len(seen.screenshot) > 50_000
    return seen


@contextlib.contextmanager
def without_ssh(lab: RealLab, node: str) -> Iterator[None]:
    """The hypervisor's end refuses to connect to the node's sshd."""
    settings = parse(read_stack_file(PROJECT, lab.stack), lab.stack)
    rule = ["OUTPUT", "-d", str(settings.nodes[node].address), "-p", "tcp", "--dport", "22", "-j", "REJECT"]
    lab.in_network("iptables", "-I", *rule).ok()
    try:
        yield
    finally:
        lab.in_network("iptables", "-D", *rule).ok()
