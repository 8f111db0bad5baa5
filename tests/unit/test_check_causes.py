"""Every failed check has a first likely cause, by its kind and output."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from components import checks
from components.checks import EXTERNAL, CheckResult
from components.checks.kinds import KINDS
from overlab import cli
from overlab.diagnosis import catalogue, causes
from tests.unit import check_run_factory


def check_result(kind: str, output: str, status: str = "failed", got: str = "fail") -> CheckResult:
    return CheckResult.model_validate(
        {
            "id": "x",
            "kind": kind,
            "title": "t",
            "node": EXTERNAL if kind == "http-external" else "docker01",
            "source": "t1",
            "target": "t3",
            "network": "ov_net1",
            "expect": "fail" if kind == "isolation" else "pass",
            "got": got,
            "status": status,
            "output": output,
        }
    )


@pytest.mark.parametrize(
    ("kind", "output", "id_"),
    [
        ("ping-ip", "1 packets transmitted, 0 packets received, 100% packet loss", "gossip-partition"),
        ("ping-ip", "ping: sendto: Network is unreachable", "workload-not-attached"),
        ("ping-ip", "Error response from daemon: Container 0f is not running", "workload-not-running"),
        ("ping-ip", "Error: No such container: t1", "workload-not-running"),
        ("http", "Error response from daemon: Container t1 is paused, unpause the container", "workload-paused"),
        ("ping-name", "ping: bad address 't3'", "name-not-resolved"),
        ("ping-name", "100% packet loss", "gossip-partition"),
        ("dns", "Server: 127.0.0.11|** server can't find t3: NXDOMAIN", "name-not-resolved"),
        ("dns", "Name: t3|Address 1: 10.0.0.9 t3", "name-address-mismatch"),
        ("http", "wget: bad address 'web1:80'", "name-not-resolved"),
        ("http", "wget: can't connect to remote host (10.0.1.2): Connection refused", "http-error"),
        ("http", "wget: server returned error: HTTP/1.1 404 Not Found", "http-error"),
        ("http", "wget: download timed out", "gossip-partition"),
        ("http", "HTTP/1.1 500 Internal Server Error|Server: nginx", "http-error"),
        ("http", "", "http-error"),
        ("shared", "has 172.19.0.55|Segmentation fault (core dumped)", "tool-crashed"),
        (
            "http-published",
            "curl: (7) Failed to connect to 10.99.0.11 port 90: Connection refused",
            "port-not-published",
        ),
        ("http-published", "curl: (28) Connection timed out after 10001 milliseconds", "port-filtered"),
        (
            "http-published",
            "curl: (7) Failed to connect to 10.99.0.12 port 0: Connection refused",
            "port-not-published",
        ),
        ("http-external", "<urlopen error [Errno 111] Connection refused>", "port-not-published"),
        ("http-external", "<urlopen error timed out>", "port-filtered"),
        ("http-external", "HTTP Error 502: Bad Gateway", "http-error"),
        ("tcp", "wanted 0b -, got d41d8cd98f00b204e9800998ecf8427e  -", "transfer-empty"),
        ("tcp", "10000000 bytes: wanted 0b -, got 1c  -", "transfer-truncated"),
        ("mtu", "ping: local error: message too long, mtu=1400", "mtu-black-hole"),
        ("mtu", "1 packets transmitted, 0 received, 100% packet loss, time 0ms", "mtu-black-hole"),
        ("mtu", "one byte more passed too: 1 received", "mtu-mismatch"),
        ("interface", "no interface has 10.0.0.2/24; found:|1: lo", "address-changed"),
        ("interface", "eth0 has 10.0.0.2/24, mtu 1500", "mtu-mismatch"),
        ("interface", "t1 does not run on docker01", "workload-not-running"),
        ("gateway-bridge", "the default route's interface has another MTU than 1400", "mtu-mismatch"),
        ("gateway-bridge", "the default route is on 'nothing', expected eth1", "gateway-endpoint-missing"),
        ("no-egress", "default via 172.18.0.1 dev eth1", "internal-network-egress"),
        ("isolation", "1 packets received, 0% packet loss", "networks-not-isolated"),
        ("control-plane", "22/tcp of 10.99.0.12 accepts a connection", "control-plane-reachable"),
        ("control-plane", "4789/udp of 10.99.0.12 does not refuse a packet", "control-plane-reachable"),
        ("control-plane", "1 packets transmitted, 0 received, 100% packet loss", "control-plane-not-probed"),
        ("control-plane", "the probe does not work: 127.0.0.11:53 does not answer", "control-plane-not-probed"),
        ("shared", "no interface has 172.19.0.55; found: 1: lo", "shared-sandbox-stale"),
        ("shared", "has 172.19.0.55|wget: can't connect to remote host: Connection refused", "http-error"),
        ("network", "", "network-not-found"),
        ("network", '"Name":"ov_net1"|"Scope":"local"', "network-duplicate"),
        ("kv", "the store has no key docker/nodes/10.99.0.13:2376", "node-not-registered"),
        ("kv", "the store has no key docker/network/v1.0/network/ff/", "store-data-lost"),
        ("kv", "curl: (7) Failed to connect to 10.99.0.11 port 8500", "store-down"),
        ("kv", "curl: (22) The requested URL returned error: 500 Internal Server Error", "store-no-leader"),
        ("kv", "curl: (22) The requested URL returned error: 403 Forbidden", "store-acl-denied"),
        ("engine", '"ClusterStore":""|"ClusterAdvertise":""', "engine-store-mismatch"),
        ("engine", "curl: (7) Couldn't connect to server: /var/run/docker.sock", "engine-down"),
        ("ping-ip", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "engine-down"),
        ("ping-ip", "endpoint with name t1 already exists in network ov_net1", "endpoint-exists"),
        ("ping-ip", "dial tcp 10.99.0.11:8500: connect: network is unreachable", "engine-in-removed-namespace"),
    ],
)
def test_an_output_leads_to_its_cause(kind: str, output: str, id_: str) -> None:
    cause = causes.find(check_result(kind, output))
    assert cause is not None
    assert cause.id == id_


@pytest.mark.parametrize(
    ("output", "id_"),
    [
        ("docker03 was not reached: ssh: connect to host 10.99.0.13 port 22: No route to host", "node-unreachable"),
        ("docker03 was not reached: Host key verification failed.", "host-key-changed"),
        ("docker03 was not reached: root@10.99.0.13: Permission denied (publickey).", "ssh-permission-denied"),
        ("the node's script did not end in time; its last output: none", "node-timeout"),
        ("the connection broke; last output: Connection reset by peer", "node-unreachable"),
        ("the node's script ended with exit code 2 before this check; its last output: none", "anything-else"),
    ],
)
@pytest.mark.parametrize("kind", ["kv", "ping-ip"])
def test_a_check_that_was_not_run_points_at_the_node(kind: str, output: str, id_: str) -> None:
    cause = causes.find(check_result(kind, output, "not run", got=""))
    assert cause is not None
    assert cause.id == id_


@pytest.mark.parametrize("kind", ["tcp", "dns", "isolation", "network"])
@pytest.mark.parametrize(
    ("output", "id_"),
    [
        ("Error response from daemon: No such exec instance: 67f28b11", "engine-restarted"),
        ("Error response from daemon: Container 0f is not running", "workload-not-running"),
        ("t3 has no address on ov_net1: it does not run there, and no up has recorded one", "workload-not-running"),
        ("no node knows the overlay ov_net1, and no up has recorded it", "network-not-found"),
        ("something new", "anything-else"),
    ],
)
def test_a_check_that_could_not_be_tried_is_no_evidence_about_its_kind(kind: str, output: str, id_: str) -> None:
    cause = causes.find(check_result(kind, output, got=""))
    assert cause is not None
    assert cause.id == id_


def test_a_check_that_passed_has_no_cause() -> None:
    assert causes.find(check_result("ping-ip", "100% packet loss", "passed")) is None


def test_cause_and_remedy_are_in_the_checks_own_names() -> None:
    cause = causes.find(check_result("ping-ip", "Network is unreachable"))
    assert cause is not None
    assert cause.message == "t1 has no interface on ov_net1"
    assert "overlab exec docker01 -- docker network connect ov_net1 t1" in cause.remedy


@given(
    st.sampled_from([*KINDS, "unheard-of"]),
    st.text(),
    st.sampled_from(["failed", "not run"]),
    st.sampled_from(["", "fail"]),
)
def test_every_failure_has_a_cause_without_an_open_template(kind: str, output: str, status: str, got: str) -> None:
    cause = causes.find(check_result(kind, output, status, got))
    assert cause is not None
    assert not re.search(r"[{}]", cause.message + cause.impact + cause.remedy)
    assert cause.link.startswith("docs/cookbook.md#")


def test_every_kind_has_a_specific_cause_for_some_output() -> None:
    kinds = {kind for _, of, _ in catalogue.MATCHES for kind in of}
    assert set(KINDS) <= kinds
    assert {check.kind for check in checks.matrix(check_run_factory.lab())} <= set(KINDS)


def test_every_command_of_a_remedy_exists() -> None:
    remedies = " ".join(entry.remedy for entry in catalogue.ENTRIES.values())
    named = set(re.findall(r"\boverlab ([a-z-]+)", remedies))
    assert named >= {"up", "exec"}
    unknown = [name for name in named if CliRunner().invoke(cli.app, [name, "--help"]).exit_code != 0]
    assert unknown == []
    verbs = set(re.findall(r"sbin/dockerd-watchdog ([a-z-]+)", remedies))
    assert verbs == {"repair"}


def test_every_cause_of_a_failed_check_has_a_section_of_the_cookbook() -> None:
    assert [id_ for id_, _, _ in catalogue.MATCHES if not catalogue.link(id_)] == []


def test_a_section_is_the_entrys_own_or_that_of_another() -> None:
    sections = {section for group in catalogue.SECTIONS.values() for section in group}
    others = {id_: entry.section for id_, entry in catalogue.ENTRIES.items() if entry.section}
    assert set(others.values()) <= sections
    assert not others.keys() & sections
    assert catalogue.link("machine-down") == "docs/cookbook.md#node-unreachable"
    assert catalogue.link("vni-mismatch") == ""
