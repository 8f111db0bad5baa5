"""What containers may do to their node, use of it, and how they come back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.evaluate import GOOD, UNKNOWN, UNSEEN, judge


@pytest.mark.parametrize("props", [{}, {"privileged": False}])
def test_not_privileged(props: dict[str, Any]) -> None:
    assert judge("container-unprivileged", **props) == GOOD


def test_privileged() -> None:
    assert judge("container-unprivileged", privileged=True).problems == ["the container is privileged"]
    assert judge("container-unprivileged", privileged=UNKNOWN) == UNSEEN


def bind(source: str) -> list[dict[str, Any]]:
    return [{"containerPath": "/data", "volumeName": "data"}, {"containerPath": "/x", "hostPath": source}]


@pytest.mark.parametrize(
    "source", ["/srv/data", "/var/lib/app", "/run/app", "/var/run/app.sock", "/home/docker.socket"]
)
def test_mount_without_the_engines_socket(source: str) -> None:
    assert judge("container-engine-socket", volumes=bind(source)) == GOOD
    assert judge("container-engine-socket", mounts=[{"type": "bind", "source": source, "target": "/x"}]) == GOOD


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
    assert f"'{source}'" in judge("container-engine-socket", volumes=bind(source)).text
    assert judge("container-engine-socket", mounts=[{"type": "bind", "source": source, "target": "/x"}]).problems


def test_unknown_mount_hides_no_other() -> None:
    verdict = judge("container-engine-socket", volumes=[UNKNOWN, {"hostPath": UNKNOWN}, {"hostPath": "/run"}])
    assert len(verdict.problems) == 1
    assert verdict.unknown


@pytest.mark.parametrize("props", [{}, {"capabilities": {"drops": ["ALL"]}}, {"capabilities": {"adds": ["NET_ADMIN"]}}])
def test_narrow_capabilities(props: dict[str, Any]) -> None:
    assert judge("container-capabilities", **props) == GOOD


@pytest.mark.parametrize("name", ["SYS_ADMIN", "CAP_SYS_ADMIN", "sys_module", "ALL", "DAC_READ_SEARCH"])
def test_capability_that_leads_out(name: str) -> None:
    assert judge("container-capabilities", capabilities={"adds": ["NET_RAW", name]}).problems == [
        f"the capability {name} is added"
    ]


def test_unknown_capability() -> None:
    assert judge("container-capabilities", capabilities={"adds": [UNKNOWN]}) == UNSEEN


def test_memory() -> None:
    assert judge("container-memory-limit", memory=64.0) == GOOD
    assert judge("container-memory-limit").problems == ["no memory limit is set"]
    assert judge("container-memory-limit", memory=0.0).problems
    assert judge("container-memory-limit", memory=UNKNOWN) == UNSEEN


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
def test_restart_that_ends_or_waits(props: dict[str, Any]) -> None:
    assert judge("container-restart", **props) == GOOD


@pytest.mark.parametrize(
    "props", [{}, {"restart": "no"}, {"restart": "no", "mustRun": True}, {"restart": "on-failure", "maxRetryCount": 0}]
)
def test_restart_that_does_neither(props: dict[str, Any]) -> None:
    assert len(judge("container-restart", **props).problems) == 1


def test_unknown_restart() -> None:
    assert judge("container-restart", restart=UNKNOWN) == UNSEEN
    assert judge("container-restart", restart="on-failure", maxRetryCount=UNKNOWN) == UNSEEN
