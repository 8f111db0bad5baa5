"""A lab of node containers after kills and removals by hand: up and down converge, and a refresh loses nothing.

Every command runs in a shell that exports what would break a lab (``hostile.py``).
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import docker
import pytest

from overlab.core.process import descendants
from tests.e2e import hostile
from tests.e2e.lab import OVERLAB, PROJECT, Done, RealLab, stack_file

STACK = "leftovers"
SETTINGS = """\
config:
  overlab:lab:
    # Less than Docker assumes: every check is then one of all bridges and overlays following it, too.
    underlay: {cidr: 10.97.15.0/24, mtu: 1400}
    machine: {kind: container, memory_mib: 1024}
    nodes: {docker01: {}, docker02: {}}
    networks:
      ov_net1: {created_on: docker02, subnet: 10.0.0.0/24}
    workloads:
      t1: {node: docker01, networks: [ov_net1]}
      t2: {node: docker02, networks: [ov_net1], image: "docker.io/library/busybox:1.35"}
"""
CONTAINER = "overlab-leftovers-docker02"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    lab = RealLab(
        STACK, tmp_path_factory.mktemp(STACK), exported=hostile.environment(tmp_path_factory.mktemp("hostile"))
    )
    with stack_file(STACK, SETTINGS):
        try:
            yield lab
        finally:
            lab.overlab("down", "--platform", "--force")


@pytest.fixture
def standing(lab: RealLab) -> RealLab:
    """The lab, up."""
    lab.overlab("up").ok()
    return lab


@contextlib.contextmanager
def outer_engine() -> Iterator[docker.DockerClient]:
    with contextlib.closing(docker.DockerClient(base_url=f"unix:///run/overlab/{STACK}/docker/docker.sock")) as client:
        yield client


def objects() -> list[str]:
    """The lab's objects on the engine that runs its nodes."""
    with outer_engine() as client:
        names = [one["Names"][0].lstrip("/") for one in client.api.containers(all=True)]
        names += [one["Name"] for one in [*(client.api.volumes()["Volumes"] or ()), *client.api.networks()]]
        return sorted(name for name in names if name.startswith(f"overlab-{STACK}"))


def kill_up_at(lab: RealLab, text: str) -> None:
    """Start an ``up``, and kill the command, the CLI and every plugin when ``text`` is in the output."""
    command = [str(OVERLAB), "--stack", STACK, "up"]
    process = subprocess.Popen(command, cwd=PROJECT, env=lab.environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as out:
        seen = any(text in line for line in out)
        for one in descendants(process.pid):
            one.signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert seen, f"the up ended without {text}"


def remedy(done: Done) -> str:
    """What a command printed to its error."""
    [found] = re.findall(r"^  remedy:? +(.*)$", done.stderr, re.MULTILINE)
    return str(found)


def converged(lab: RealLab) -> None:
    """Everything works, and nothing is left to do."""
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}
    lab.overlab("test").ok()
    assert [name for name in objects() if name in (CONTAINER, CONTAINER.replace("02", "01"))] == [
        CONTAINER.replace("02", "01"),
        CONTAINER,
    ]
    assert len(objects()) == 5


@pytest.mark.parametrize(
    "moment", ["docker02-container creating", "docker01-dockerd creating", "Container t1 creating"]
)
def test_an_up_after_a_killed_up_converges_and_a_down_leaves_nothing(lab: RealLab, moment: str) -> None:
    kill_up_at(lab, moment)
    time.sleep(0.5)  # what an engine has begun, it ends
    lab.overlab("up").ok()
    converged(lab)
    lab.overlab("down").ok()
    assert objects() == []


def test_a_down_after_a_killed_up_leaves_nothing(lab: RealLab) -> None:
    kill_up_at(lab, "docker01-container creating")
    done = lab.overlab("down").ok()
    assert objects() == [], done.text


def test_a_node_that_the_state_does_not_have_is_replaced(standing: RealLab) -> None:
    standing.pulumi("state", "delete", "--yes", "--target-dependents", standing.urn("docker02-container")).ok()
    done = standing.overlab("up").ok()
    assert f"removed container {CONTAINER} on unix://" in done.stderr
    converged(standing)


def test_a_node_that_was_removed_by_hand_is_created_again(standing: RealLab) -> None:
    with outer_engine() as client:
        client.containers.get(CONTAINER).remove(force=True)
    done = standing.overlab("up").ok()
    assert "its container is gone" in done.stderr
    converged(standing)


def test_a_refresh_loses_nothing_of_an_engine_that_is_down(standing: RealLab) -> None:
    before = {one["urn"] for one in standing.resources()}
    standing.on("docker02", "systemctl stop docker.socket docker.service")
    done = standing.overlab("refresh")
    assert done.code == 1
    assert "10.97.15.12: Cannot connect to the Docker daemon" in done.stderr
    command = remedy(done).split("on a node: ")[1]
    standing.on("docker02", f"(sleep 10; {command}) >/dev/null 2>&1 &")
    standing.overlab("refresh").ok()
    assert {one["urn"] for one in standing.resources()} == before


def test_a_down_finds_what_a_lost_state_does_not_have(standing: RealLab) -> None:
    state = standing.state / "overlab" / "labs" / STACK / "backend" / ".pulumi" / "stacks" / "overlab" / f"{STACK}.json"
    standing.on("docker01", "docker pause t1")
    state.unlink()
    assert len(objects()) == 5
    with outer_engine() as client:
        image = client.api.inspect_container(CONTAINER)["Image"]
        client.containers.run(
            image, ["600"], entrypoint="sleep", name="helper", network=f"overlab-{STACK}", detach=True
        )
    refused = standing.overlab("down")
    assert refused.code == 1
    assert f"network overlab-{STACK} on unix://" in refused.stderr
    subprocess.run(["sh", "-c", remedy(refused)], check=True)
    standing.overlab("down").ok()
    assert objects() == []


def test_a_node_that_was_stopped_is_started(standing: RealLab) -> None:
    with outer_engine() as client:
        client.containers.get(CONTAINER).stop()
    done = standing.overlab("refresh")
    assert done.code == 1
    assert "docker02-container does not run" in done.stderr
    standing.overlab("up").ok()
    standing.overlab("refresh").ok()
    assert standing.on("docker02", "hostname") == "docker02\n"
    # Its workloads are not asserted: an engine that starts after a power cut may start none on an overlay.
