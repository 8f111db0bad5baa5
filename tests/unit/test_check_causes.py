"""Every failure has a first likely cause: keyed by kind of check and output."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import checks
from components.checks import EXTERNAL
from components.checks.kinds import KINDS
from components.checks.model import CheckResult
from overlab.diagnosis import causes, cookbook
from tests.unit import check_run_factory


def failure(kind: str, output: str, status: str = "failed", got: str = "fail") -> CheckResult:
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
    ("kind", "output", "anchor"),
    [
        ("ping-ip", "1 packets transmitted, 0 packets received, 100% packet loss", "silent-split"),
        ("ping-ip", "ping: sendto: Network is unreachable", "not-on-the-overlay"),
        ("ping-ip", "Error response from daemon: Container 0f is not running", "workload-exited"),
        ("ping-ip", "Error: No such container: t1", "workload-exited"),
        ("http", "Error response from daemon: Container t1 is paused, unpause the container", "workload-paused"),
        ("ping-name", "ping: bad address 't3'", "name-not-known"),
        ("ping-name", "100% packet loss", "silent-split"),
        ("dns", "Server: 127.0.0.11|** server can't find t3: NXDOMAIN", "name-not-known"),
        ("dns", "Name: t3|Address 1: 10.0.0.9 t3", "name-with-another-address"),
        ("http", "wget: bad address 'web1:80'", "name-not-known"),
        ("http", "wget: can't connect to remote host (10.0.1.2): Connection refused", "web-server-silent"),
        ("http", "wget: server returned error: HTTP/1.1 404 Not Found", "web-server-silent"),
        ("http", "wget: download timed out", "silent-split"),
        ("http", "HTTP/1.1 500 Internal Server Error|Server: nginx", "web-server-silent"),
        ("http", "", "web-server-silent"),
        ("shared", "has 172.19.0.55|Segmentation fault (core dumped)", "tool-crashed"),
        (
            "http-published",
            "curl: (7) Failed to connect to 10.99.0.1 port 90: Connection refused",
            "port-not-published",
        ),
        ("http-published", "curl: (28) Connection timed out after 10001 milliseconds", "port-filtered"),
        (
            "http-published",
            "curl: (7) Failed to connect to 10.99.0.1 port 0: Connection refused",
            "port-not-published",
        ),
        ("http-external", "<urlopen error [Errno 111] Connection refused>", "port-not-published"),
        ("http-external", "<urlopen error timed out>", "port-filtered"),
        ("http-external", "HTTP Error 502: Bad Gateway", "web-server-silent"),
        ("tcp", "wanted 0b -, got d41d8cd98f00b204e9800998ecf8427e  -", "nothing-received"),
        ("tcp", "10000000 bytes: wanted 0b -, got 1c  -", "bulk-cut-short"),
        ("mtu", "ping: local error: message too long, mtu=1400", "mtu-black-hole"),
        ("mtu", "1 packets transmitted, 0 received, 100% packet loss, time 0ms", "mtu-black-hole"),
        ("mtu", "one byte more passed too: 1 received", "mtu-differs"),
        ("interface", "no interface has 10.0.0.2/24; found:|1: lo", "address-changed"),
        ("interface", "eth0 has 10.0.0.2/24, mtu 1500", "mtu-differs"),
        ("interface", "t1 does not run on docker01", "workload-exited"),
        ("gateway-bridge", "the default route is on 'nothing', expected eth1", "no-gateway-bridge"),
        ("no-egress", "default via 172.18.0.1 dev eth1", "internal-overlay-leaks"),
        ("isolation", "1 packets received, 0% packet loss", "overlays-reach-each-other"),
        ("shared", "no interface has 172.19.0.55; found: 1: lo", "shared-stack-left-behind"),
        ("shared", "has 172.19.0.55|wget: can't connect to remote host: Connection refused", "web-server-silent"),
        ("network", "", "network-not-found"),
        ("network", '"Name":"ov_net1"|"Scope":"local"', "network-made-twice"),
        ("kv", "the store has no key docker/nodes/10.99.0.13:2376", "node-not-registered"),
        ("kv", "the store has no key docker/network/v1.0/network/ff/", "store-lost-its-data"),
        ("kv", "curl: (7) Failed to connect to 10.99.0.11 port 8500", "store-down"),
        ("kv", "curl: (22) The requested URL returned error: 500 Internal Server Error", "store-without-a-leader"),
        ("kv", "curl: (22) The requested URL returned error: 403 Forbidden", "store-denies"),
        ("engine", '"ClusterStore":""|"ClusterAdvertise":""', "engine-has-another-store"),
        ("engine", "curl: (7) Couldn't connect to server: /var/run/docker.sock", "engine-down"),
        ("ping-ip", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "engine-down"),
        ("ping-ip", "endpoint with name t1 already exists in network ov_net1", "endpoint-exists"),
        ("ping-ip", "dial tcp 10.99.0.11:8500: connect: network is unreachable", "engine-in-a-dead-namespace"),
    ],
)
def test_what_was_said_leads_to_the_cause(kind: str, output: str, anchor: str) -> None:
    cause = causes.find(failure(kind, output))
    assert cause is not None
    assert cause.anchor == anchor


@pytest.mark.parametrize(
    ("output", "anchor"),
    [
        ("docker03 was not reached: ssh: connect to host 10.99.0.13 port 22: No route to host", "node-not-reached"),
        ("docker03 was not reached: Host key verification failed.", "host-key-changed"),
        ("docker03 was not reached: root@10.99.0.13: Permission denied (publickey).", "ssh-permission-denied"),
        ("the node's script did not end in time; its last output: none", "node-too-slow"),
        ("the connection broke; last output: Connection reset by peer", "node-not-reached"),
        ("the node's script ended with exit code 2 before this check; its last output: none", "anything-else"),
    ],
)
@pytest.mark.parametrize("kind", ["kv", "ping-ip"])
def test_a_check_that_was_not_run_points_at_the_node(kind: str, output: str, anchor: str) -> None:
    cause = causes.find(failure(kind, output, "not run", got=""))
    assert cause is not None
    assert cause.anchor == anchor


@pytest.mark.parametrize("kind", ["tcp", "dns", "isolation", "network"])
@pytest.mark.parametrize(
    ("output", "anchor"),
    [
        ("Error response from daemon: No such exec instance: 67f28b11", "engine-restarted-meanwhile"),
        ("Error response from daemon: Container 0f is not running", "workload-exited"),
        ("t3 has no address on ov_net1: it does not run there, and no up has recorded one", "workload-exited"),
        ("no node knows the overlay ov_net1, and no up has recorded it", "network-not-found"),
        ("something new", "anything-else"),
    ],
)
def test_a_check_that_could_not_be_tried_says_nothing_of_its_kind(kind: str, output: str, anchor: str) -> None:
    cause = causes.find(failure(kind, output, got=""))
    assert cause is not None
    assert cause.anchor == anchor


def test_a_check_that_passed_has_no_cause() -> None:
    assert causes.find(failure("ping-ip", "100% packet loss", "passed")) is None


def test_cause_and_remedy_are_in_the_checks_own_names() -> None:
    cause = causes.find(failure("ping-ip", "Network is unreachable"))
    assert cause is not None
    assert cause.likely == "t1 has no interface on ov_net1"
    assert "overlab exec docker01 -- docker network connect ov_net1 t1" in cause.remedy


@given(
    st.sampled_from([*KINDS, "unheard-of"]),
    st.text(),
    st.sampled_from(["failed", "not run"]),
    st.sampled_from(["", "fail"]),
)
def test_every_failure_has_a_cause_without_a_place_left_open(kind: str, output: str, status: str, got: str) -> None:
    cause = causes.find(failure(kind, output, status, got))
    assert cause is not None
    assert not re.search(r"[{}]", cause.likely + cause.remedy)
    assert cause.link.startswith("docs/cookbook.md#")


def test_every_kind_has_a_cause_of_its_own_for_some_output() -> None:
    kinds = {kind for entry in cookbook.ENTRIES for kind in entry.kinds}
    assert set(KINDS) <= kinds
    assert {check.kind for check in checks.matrix(check_run_factory.lab())} <= set(KINDS)
