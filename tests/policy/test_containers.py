"""What containers may do to their node, use of it, and how they restart."""

from __future__ import annotations

from typing import Any

import pytest
from rules import types

from tests.policy.evaluate import DEFERRED, PASSED, UNKNOWN, Declared, Evaluation, evaluate, evaluate_one


@pytest.mark.parametrize("props", [{}, {"privileged": False}])
def test_not_privileged(props: dict[str, Any]) -> None:
    assert evaluate("container-unprivileged", **props) == PASSED


def test_privileged() -> None:
    assert evaluate("container-unprivileged", privileged=True).problems == ["the container is privileged"]
    assert evaluate("container-unprivileged", privileged=UNKNOWN) == DEFERRED


def of_node(rule: str, parent: str = types.NODE_CONTAINER, **props: Any) -> Evaluation:
    """What a rule says of a component's container."""
    return evaluate_one(rule, Declared(types.CONTAINER, "docker01-container", props, parent=parent))


NOT_OF_A_NODE = [
    "",
    "overlab:index:Workload",
    "overlab:index:NodeContainerX",
    f"{types.NODE_CONTAINER}$overlab:index:Workload",  # in a workload that is a child of the node
]


@pytest.mark.parametrize(
    ("rule", "props"),
    [
        ("container-unprivileged", {"privileged": True}),
        ("container-capabilities", {"capabilities": {"adds": ["CAP_SYS_ADMIN", "CAP_SYS_MODULE"]}}),
    ],
)
def test_a_nodes_own_container_alone_may_be_privileged(rule: str, props: dict[str, Any]) -> None:
    assert of_node(rule, **props) == PASSED
    assert of_node(rule, f"overlab:index:Lab${types.NODE_CONTAINER}", **props) == PASSED
    for parent in NOT_OF_A_NODE:
        assert of_node(rule, parent, **props).problems, parent


def test_a_nodes_own_container_mounts_cgroups_and_no_engines_socket() -> None:
    assert of_node("container-engine-socket", volumes=bind("/sys/fs/cgroup")) == PASSED
    assert of_node("container-engine-socket", volumes=bind("/var/run/docker.sock")).problems


def bind(source: str) -> list[dict[str, Any]]:
    return [{"containerPath": "/data", "volumeName": "data"}, {"containerPath": "/x", "hostPath": source}]


@pytest.mark.parametrize(
    "source", ["/srv/data", "/var/lib/app", "/run/app", "/var/run/app.sock", "/home/docker.socket"]
)
def test_mount_without_the_engines_socket(source: str) -> None:
    assert evaluate("container-engine-socket", volumes=bind(source)) == PASSED
    assert evaluate("container-engine-socket", mounts=[{"type": "bind", "source": source, "target": "/x"}]) == PASSED


@pytest.mark.parametrize(
    "source",
    [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run//docker.sock/",
        "/srv/../run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/",
        "/var/run",
        "/",
        "//",
    ],
)
def test_mount_that_reaches_the_engines_socket(source: str) -> None:
    assert f"'{source}'" in evaluate("container-engine-socket", volumes=bind(source)).text
    assert evaluate("container-engine-socket", mounts=[{"type": "bind", "source": source, "target": "/x"}]).problems


def test_unknown_mount_hides_no_other() -> None:
    result = evaluate("container-engine-socket", volumes=[UNKNOWN, {"hostPath": UNKNOWN}, {"hostPath": "/run"}])
    assert len(result.problems) == 1
    assert result.unknown


@pytest.mark.parametrize("props", [{}, {"capabilities": {"drops": ["ALL"]}}, {"capabilities": {"adds": ["NET_ADMIN"]}}])
def test_narrow_capabilities(props: dict[str, Any]) -> None:
    assert evaluate("container-capabilities", **props) == PASSED


@pytest.mark.parametrize("name", ["SYS_ADMIN", "CAP_SYS_ADMIN", "sys_module", "ALL", "DAC_READ_SEARCH"])
def test_capability_that_gives_the_node(name: str) -> None:
    assert evaluate("container-capabilities", capabilities={"adds": ["NET_RAW", name]}).problems == [
        f"the capability {name} is added"
    ]


def test_unknown_capability() -> None:
    assert evaluate("container-capabilities", capabilities={"adds": [UNKNOWN]}) == DEFERRED


def test_memory() -> None:
    assert evaluate("container-memory-limit", memory=64.0) == PASSED
    assert evaluate("container-memory-limit").problems == ["no memory limit is set"]
    assert evaluate("container-memory-limit", memory=0.0).problems
    assert evaluate("container-memory-limit", memory=UNKNOWN) == DEFERRED


@pytest.mark.parametrize(
    "props",
    [
        {"restart": "always"},
        {"restart": "unless-stopped"},
        {"restart": "on-failure", "maxRetryCount": 3.0},
        {"restart": "no", "mustRun": False},
        {"mustRun": False},
    ],
)
def test_good_restart_policy(props: dict[str, Any]) -> None:
    assert evaluate("container-restart", **props) == PASSED


@pytest.mark.parametrize(
    "props", [{}, {"restart": "no"}, {"restart": "no", "mustRun": True}, {"restart": "on-failure", "maxRetryCount": 0}]
)
def test_bad_restart_policy(props: dict[str, Any]) -> None:
    assert len(evaluate("container-restart", **props).problems) == 1


def test_unknown_restart() -> None:
    assert evaluate("container-restart", restart=UNKNOWN) == DEFERRED
    assert evaluate("container-restart", restart="on-failure", maxRetryCount=UNKNOWN) == DEFERRED


# -- the node's files, devices and namespaces; confinement -------------------------------------------


@pytest.mark.parametrize(
    "source",
    ["/etc", "/etc/ssh", "/root/.ssh", "/dev/sda", "/proc", "/sys/kernel", "/var/lib/docker/volumes", "/etc/"],
)
def test_a_path_of_the_nodes_system(source: str) -> None:
    assert len(evaluate("container-host-paths", volumes=bind(source)).problems) == 1
    assert evaluate("container-host-paths", mounts=[{"source": source, "target": "/x", "type": "bind"}]).problems
    assert evaluate("container-host-paths", volumes=[{"hostPath": UNKNOWN}]) == DEFERRED
    assert evaluate("container-host-paths", volumes=[UNKNOWN, {"hostPath": source}]).problems


@pytest.mark.parametrize("source", ["/srv/data", "/var/lib/app", "/etcetera", "/var/lib/overlab/consul", "data"])
def test_another_path_of_the_node(source: str) -> None:
    assert evaluate("container-host-paths", volumes=bind(source)) == PASSED


def test_the_time_zone_may_be_read() -> None:
    mount = {"hostPath": "/etc/localtime", "containerPath": "/etc/localtime"}
    assert evaluate("container-host-paths", volumes=[mount | {"readOnly": True}]) == PASSED
    assert evaluate("container-host-paths", volumes=[mount]).problems


def test_a_nodes_own_container_mounts_cgroups_and_nothing_else_of_the_system() -> None:
    assert of_node("container-host-paths", volumes=bind("/sys/fs/cgroup")) == PASSED
    assert of_node("container-host-paths", volumes=bind("/etc")).problems
    for parent in NOT_OF_A_NODE:
        assert of_node("container-host-paths", parent, volumes=bind("/sys/fs/cgroup")).problems, parent


def test_devices() -> None:
    assert evaluate("container-devices", devices=[{"hostPath": "/dev/net/tun"}]) == PASSED
    for path in ("/dev/sda", "/dev/mem", "/dev", "/dev/net/../sda"):
        assert len(evaluate("container-devices", devices=[{"hostPath": path}]).problems) == 1
    assert evaluate("container-devices", devices=[{"hostPath": UNKNOWN}]) == DEFERRED


@pytest.mark.parametrize("key", ["pidMode", "ipcMode", "usernsMode", "networkMode"])
def test_namespaces_of_the_node(key: str) -> None:
    def found(value: Any, parent: str = "") -> Evaluation:
        return evaluate_one("container-namespaces", Declared(types.CONTAINER, "c", {key: value}, parent=parent))

    assert found("host").problems == [f"{key} is 'host': the namespace of the node"]
    for value in ("private", "container:abc", "", None):
        assert found(value) == PASSED
    assert found(UNKNOWN) == (PASSED if key == "networkMode" else DEFERRED)
    assert bool(found("host", types.STORE_AGENT).problems) == (key != "networkMode")


@pytest.mark.parametrize(
    "option",
    ["seccomp=unconfined", "apparmor:unconfined", "label=disable", "systempaths=unconfined", "no-new-privileges:false"],
)
def test_unconfined(option: str) -> None:
    assert evaluate("container-confined", securityOpts=[option]).problems == [f"the security option '{option}'"]
    assert of_node("container-confined", securityOpts=[option]) == PASSED
    for parent in NOT_OF_A_NODE:
        assert of_node("container-confined", parent, securityOpts=[option]).problems, parent
    assert evaluate("container-confined", securityOpts=UNKNOWN) == DEFERRED


@pytest.mark.parametrize("options", [[], None, ["no-new-privileges"], ["seccomp=/own.json"], ["apparmor=own"]])
def test_confined(options: list[str] | None) -> None:
    assert evaluate("container-confined", securityOpts=options) == PASSED
