"""``overlab test``, ``graph`` and ``report`` on a lab that is up; each leaves it as it was."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components import checks
from components.config import addressing
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


def workloads_reach_no_control_port(lab: RealLab) -> None:
    """With an image's own tools, from an overlay and the engine's bridges. Another node's published port answers."""
    settings = parse(read_stack_file(PROJECT, lab.stack), lab.stack)
    own, other = (settings.nodes[node].address for node in ("docker01", "docker02"))
    platform = addressing.gateway(settings.underlay.cidr)
    ports = [f"{address} {port}" for address in (own, other) for port in settings.control_ports]
    tries = " ".join(f"'{port}'" for port in [*ports, f"{platform} 22", f"{platform} 5000", "169.254.254.1 5000"])
    inside = f'for at in {tries}; do nc -w 2 $at </dev/null >/dev/null 2>&1 && echo "$at"; done; true'
    bridged = "docker run --rm --network {} busybox:1.35 sh -c {}"
    script = [f"docker exec t1 sh -c {shlex.quote(inside)}", bridged.format("bridge", shlex.quote(inside))]
    script += ["docker network create own >&2", bridged.format("own", shlex.quote(inside)), "docker network rm own >&2"]
    assert lab.on("docker01", "\n".join(script)) == ""
    web = f"docker exec t1 sh -c {shlex.quote(f'nc -w 5 {other} 90 </dev/null >/dev/null')}"
    lab.on("docker01", web)


def an_open_control_plane_is_reported_and_its_remedy_works(lab: RealLab) -> None:
    started = "docker inspect -f '{{.State.StartedAt}}' t1"
    before = lab.on("docker01", started)
    lab.on("docker01", "iptables -D DOCKER-USER -j OVERLAB-WORKLOADS; iptables -D INPUT -j OVERLAB")
    only = ("test", "--only", "control-plane:t1:*", "--within", "1")
    done = lab.overlab(*only)
    assert done.code == 1
    assert len(re.findall("^FAILED", done.stdout, re.MULTILINE)) == 4
    for part in ("8301/tcp of", "22/tcp of", "4789/udp of", "5000/tcp of", "docs/cookbook.md#control-plane-reachable"):
        assert part in done.stdout
    remedy = re.search(r"remedy +overlab (exec docker01 -- [a-z-]+ restart [a-z.-]+)", done.stdout)
    assert remedy
    lab.overlab(*remedy[1].split()).ok()
    lab.overlab(*only).ok()
    assert lab.on("docker01", started) == before


def an_engine_starts_only_with_its_firewall(lab: RealLab) -> None:
    started = "docker inspect -f '{{.State.StartedAt}}' t3"
    before = lab.on("docker03", started)
    try:
        lab.on("docker03", "sed -i 's/-j REJECT/-j REJEKT/' /etc/overlab/firewall.rules")
        lab.on("docker03", "! systemctl restart overlab-firewall.service && ! systemctl restart docker.service")
        assert lab.on("docker03", "systemctl is-active docker.service || true").strip() == "inactive"
    finally:
        lab.on("docker03", "sed -i 's/REJEKT/REJECT/' /etc/overlab/firewall.rules; systemctl start docker.service")
    assert lab.on("docker03", started) == before
    lab.overlab("test", "--only", "control-plane:t3:*").ok()


def a_container_that_ends_again_and_again_stops_no_engine(lab: RealLab, network: str) -> None:
    """The caller names a network of which docker03 has no container."""
    started = "docker inspect -f '{{.State.StartedAt}}' t3"
    before = lab.on("docker03", started)
    end = f"docker run -d --rm --name ends$n --network {network} busybox:1.35 sleep 1 || true; sleep 6"
    lab.on("docker03", f"for n in $(seq 8); do {end}; systemctl is-failed -q docker.service && exit 1; done >&2; true")
    restarts = lab.on("docker03", "journalctl -q -u overlab-dockerd-watchdog -o cat | grep -c 'restarting it'")
    assert int(restarts) >= 2, "the containers provoked no restarts"
    lab.on("docker03", "/usr/local/sbin/dockerd-watchdog repair; docker info >/dev/null")
    assert lab.on("docker03", started) == before
    lab.overlab("test", "--only", "ping-name:ov_net1:t1:t3", "--only", "ping-name:ov_net1:t3:t1").ok()


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
