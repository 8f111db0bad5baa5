"""A private dockerd really started, adopted, killed and stopped: nothing is left, nothing else is touched."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.config.platform import Identity, NodeEngine, Platform
from components.config.settings import parse
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.process import ProcessRecord, end, spawn
from overlab.core.progress import Progress
from overlab.core.tools import output
from overlab.inspect import machines
from overlab.platform import node_image
from overlab.platform.namespace import Namespace
from overlab.platform.node_image import NodeImage
from overlab.platform.private_dockerd import PrivateDockerd
from overlab.stack import docker_objects
from overlab.stack.lab_object import REMOVAL_ORDER, LabObject
from overlab.stack.state import State

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network, PID and mount namespaces"),
    # Docker's client closes no socket whose connection was refused.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

IMAGE = "busybox:1"
CGROUPS = Path("/sys/fs/cgroup")
Make = Callable[..., PrivateDockerd]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield
    gc.collect()


@pytest.fixture
def progress() -> Progress:
    return Progress(quiet=True)


@pytest.fixture
def make(progress: Progress) -> Iterator[Make]:
    """Running engines whose names are free of any other run's, all removed at the end with their namespace."""
    made: list[PrivateDockerd] = []

    def make_one(name: str = "one") -> PrivateDockerd:
        made.append(PrivateDockerd(LabPaths(f"t-{name}-{os.getpid()}")))
        made[-1].ensure(progress)
        return made[-1]

    yield make_one
    for one in made:
        one.remove()
        Namespace.of(one.paths).remove()
        one.paths.run.rmdir()


@pytest.fixture(scope="module")
def root_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of one busybox."""
    path = tmp_path_factory.mktemp("busybox") / "root.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(os.path.realpath("/usr/bin/busybox"), "bin/busybox")
        for name in ("bin/sleep", "bin/sh"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return path


def run(one: PrivateDockerd, root_tar: Path, name: str = "node", command: str = "sleep 600") -> None:
    """A container as nodes are: it starts again with its engine, and ends by no TERM."""
    with one.client() as client:
        client.api.import_image_from_file(str(root_tar), *IMAGE.split(":"))
        policy = {"Name": "unless-stopped"}
        host = client.api.create_host_config(network_mode="none", restart_policy=policy)
        created = client.api.create_container(IMAGE, command, name=name, host_config=host)
        client.api.start(created["Id"])


def state_of(one: PrivateDockerd, name: str = "node") -> str:
    with one.client() as client:
        return str(client.containers.get(name).status)


def trees(one: PrivateDockerd) -> list[Path]:
    """The cgroups of its containers."""
    return [*CGROUPS.glob(f"*/{one.paths.namespace}"), *CGROUPS.glob(one.paths.namespace)]


def processes(one: PrivateDockerd) -> dict[str, list[ProcessRecord]]:
    """Everything of it by name: the engine's own in its network namespace, and its containers' by their cgroups."""
    pids = {int(pid) for tree in trees(one) for file in tree.rglob("cgroup.procs") for pid in file.read_text().split()}
    records = [*Namespace.of(one.paths).processes(), *(ProcessRecord.of(pid) for pid in pids)]
    found: dict[str, list[ProcessRecord]] = {}
    for record in records:
        if record is not None:
            found.setdefault(record.name(), []).append(record)
    return found


def everything(found: dict[str, list[ProcessRecord]]) -> list[ProcessRecord]:
    return [record for records in found.values() for record in records]


def mounts(one: PrivateDockerd) -> list[str]:
    """Of it in this machine's own mount namespace, beside its network namespace."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if one.paths.lab in line and "/run/netns/" not in line]


def gone(records: list[ProcessRecord], limit_s: float = 10) -> bool:
    deadline = time.monotonic() + limit_s
    while any(record.alive() for record in records) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(record.alive() for record in records)


def test_starts_runs_a_container_and_leaves_nothing(make: Make, root_tar: Path) -> None:
    links, rules = output(["ip", "-brief", "link"]), output(["iptables-save"])
    one = make()
    run(one, root_tar, command="sh -c 'trap : TERM; while :; do sleep 1; done'")
    before = processes(one)
    assert before.keys() >= {"unshare", "dockerd", "containerd", "sh"}
    assert trees(one)
    assert output(["ip", "-brief", "link"]) == links
    assert output(["iptables-save"]) == rules
    assert mounts(one) == []
    begun = time.monotonic()
    one.remove()
    assert time.monotonic() - begun < 20  # the container's process, which ends by no TERM, is not waited for
    assert not any(record.alive() for record in everything(before))
    assert trees(one) == []
    assert mounts(one) == []
    assert not one.paths.docker.exists()
    assert [path.name for path in one.paths.run.iterdir()] == ["namespace.json"]


def test_frames_between_nodes_pass_whatever_their_addresses_and_the_rule_is_there_once(
    make: Make, progress: Progress
) -> None:
    """Those of a macvlan network are of another subnet than the nodes' internal network."""
    one = make()
    one._pass_bridged_frames()
    one.ensure(progress)
    rules = output(one.namespace.command(["iptables", "-S", "DOCKER-USER"])).splitlines()
    assert rules.count("-A DOCKER-USER -i br-+ -o br-+ -j ACCEPT") == 1
    assert rules[1] == "-A DOCKER-USER -i br-+ -o br-+ -j ACCEPT"


def test_what_it_stored_outlives_a_stop(make: Make, root_tar: Path, progress: Progress) -> None:
    one = make()
    run(one, root_tar)
    one.stop()
    assert not one.alive()
    assert trees(one) == []
    assert [path.name for path in one.paths.run.iterdir()] == ["namespace.json"]
    one.ensure(progress)
    assert state_of(one) == "running"


def test_a_running_one_is_adopted(make: Make, root_tar: Path, progress: Progress) -> None:
    one = make()
    run(one, root_tar)
    before = processes(one)
    PrivateDockerd(one.paths).ensure(progress)
    assert processes(one) == before


@pytest.mark.parametrize("victim", ["unshare", "private shell", "dockerd"])
def test_a_kill_ends_all_of_it_and_the_next_command_starts_it_again(
    make: Make, root_tar: Path, progress: Progress, victim: str
) -> None:
    """``unshare`` is what is recorded, the shell is the first process of the PID namespace."""
    one = make()
    run(one, root_tar)
    before = processes(one)
    [unshare] = before["unshare"]
    [shell] = [record for record in everything(before) if _parent(record.pid) == unshare.pid]
    [dockerd] = before["dockerd"]
    killed = {"unshare": unshare, "private shell": shell, "dockerd": dockerd}[victim]
    os.kill(killed.pid, signal.SIGKILL)
    end([unshare])
    assert gone(everything(before))
    assert not one.alive()
    assert mounts(one) == []
    one.ensure(progress)
    assert state_of(one) == "running"
    assert not {record.pid for record in everything(processes(one))} & {record.pid for record in everything(before)}


def test_a_kill_and_a_removal_leave_nothing(make: Make, root_tar: Path) -> None:
    one = make()
    run(one, root_tar)
    [unshare] = processes(one)["unshare"]
    before = everything(processes(one))
    os.kill(unshare.pid, signal.SIGKILL)
    one.remove()
    assert not any(record.alive() for record in before)
    assert trees(one) == []
    assert not one.paths.docker.exists()
    assert not one.paths.docker_socket.exists()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_one_whose_start_was_not_recorded_is_replaced(make: Make, root_tar: Path, progress: Progress) -> None:
    one = make()
    run(one, root_tar)
    before = everything(processes(one))
    (one.paths.run / "dockerd.json").unlink()
    assert {record.name() for record in one.processes()} >= {"unshare", "sh", "dockerd", "containerd"}
    one.ensure(progress)
    assert not any(record.alive() for record in before)
    assert len(processes(one)["dockerd"]) == 1


def test_what_else_runs_in_the_labs_network_namespace_is_not_ended(make: Make, tmp_path: Path) -> None:
    one = make()
    [dockerd] = processes(one)["dockerd"]
    shell = spawn(Namespace.of(one.paths).command(["sh", "-c", "sleep 600; true"]), tmp_path / "log")
    try:
        one.stop()
        assert shell.alive()
        assert not dockerd.alive()
    finally:
        end([shell])


def test_a_recycled_pid_is_not_trusted(make: Make) -> None:
    one = make()
    other = ProcessRecord.of(os.getpid())
    assert other is not None
    other.model_copy(update={"started": other.started - 1}).save(one.paths.run / "dockerd.json")
    one.stop()  # would kill this very process
    assert processes(one) == {}


def test_another_labs_engine_is_not_touched(make: Make, root_tar: Path) -> None:
    first, second = make("one"), make("two")
    for one in (first, second):
        run(one, root_tar)  # of the same name in both
    before = processes(first)
    second.remove()
    assert processes(first) == before
    assert trees(first)
    assert state_of(first) == "running"


def test_a_lab_of_the_same_name_with_another_state_directory_is_not_touched(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, progress: Progress
) -> None:
    theirs = make()
    before = processes(theirs)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "ours"))
    with pytest.raises(OverlabError, match="is not this lab's own"):
        PrivateDockerd(LabPaths(theirs.paths.lab)).ensure(progress)
    PrivateDockerd(LabPaths(theirs.paths.lab)).remove()
    assert theirs.alive()
    assert processes(theirs) == before


def test_the_machines_own_docker_is_hidden_from_it(make: Make) -> None:
    one = make()
    [dockerd] = processes(one)["dockerd"]
    listed = output(["nsenter", "--mount", "--target", str(dockerd.pid), "ls", "-A", "/etc/docker", "/run/docker"])
    own = sorted(path.name for path in (one.paths.docker / "etc").iterdir())
    assert listed.split() == ["/etc/docker:", *own, "/run/docker:", "plugins"]


def test_it_says_why_dockerd_does_not_start(
    tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = PrivateDockerd(LabPaths(f"t-none-{os.getpid()}"))
    monkeypatch.setattr(PrivateDockerd, "_configuration", lambda _: {"no-such-setting": 1})
    try:
        with pytest.raises(OverlabError, match=r"(?s)dockerd exited at start.*no-such-setting.*remedy"):
            one.ensure(progress)
    finally:
        one.remove()
        Namespace.of(one.paths).remove()
        one.paths.run.rmdir()
    assert processes(one) == {}


# -- what others do with it ------------------------------------------------------------------------


def test_the_nodes_image_is_imported_once(make: Make, root_tar: Path) -> None:
    one, image = make(), NodeImage(root_tar, "0123456789abcdef")
    assert image.reference == "overlab/node:0123456789abcdef"
    created = []
    for _ in range(2):
        with one.client() as client:
            node_image.load(image, client)
            found = client.images.get(image.reference)
            created.append(found.attrs["Created"])
    assert created[0] == created[1]
    assert found.attrs["Config"]["Entrypoint"] == ["/sbin/init"]
    assert "container=docker" in found.attrs["Config"]["Env"]


def test_states_of_nodes_are_those_of_their_containers(make: Make, root_tar: Path) -> None:
    one = make()
    raw: dict[str, Any] = {
        "name": "t",
        "machine": {"kind": "container"},
        "nodes": {f"docker0{n}": {} for n in (1, 2, 3)},
    }
    settings = parse(raw, "t")
    run(one, root_tar, "overlab-t-docker01")
    run(one, root_tar, "overlab-t-docker02")
    run(one, root_tar, "not-overlab-t-docker03")
    with one.client() as client:
        client.containers.get("overlab-t-docker02").kill()
        client.containers.get("overlab-t-docker02").stop()
    platform = record(one)
    assert machines.states(settings, platform) == {"docker01": "running", "docker02": "exited", "docker03": "missing"}
    with one.client() as client:
        client.containers.get("overlab-t-docker01").pause()
    assert machines.states(settings, platform)["docker01"] == "paused"
    one.stop()
    assert {state.partition(":")[0] for state in machines.states(settings, platform).values()} == {"unknown"}


def record(one: PrivateDockerd) -> Platform:
    nowhere = Path("/nowhere")
    return Platform(
        kind="bundled",
        node_engine=NodeEngine(
            docker_host=one.host, image=IMAGE, privileged=True, capabilities=(), cgroup_namespace="host"
        ),
        identity=Identity(client_key=nowhere, client_public_key=nowhere, known_hosts=nowhere, host_keys={}),
        run_dir=one.paths.run,
    )


def test_an_engine_that_does_not_answer_in_time_makes_states_unknown(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        settings = parse({"name": "t", "machine": {"kind": "container"}, "nodes": {"docker01": {}}}, "t")
        one = PrivateDockerd(LabPaths("t"))
        platform = record(one)
        assert platform.node_engine is not None
        engine = platform.node_engine.model_copy(update={"docker_host": f"unix://{path}"})
        begun = time.monotonic()
        found = machines.states(settings, platform.model_copy(update={"node_engine": engine}), limit_s=1)
        assert time.monotonic() - begun < 5
    assert found["docker01"].startswith("unknown: ")


# -- the lab's objects on it -----------------------------------------------------------------------


def put_lab(one: PrivateDockerd, root_tar: Path) -> None:
    """A node with its network and volume, and a container of the user's that uses both."""
    name = f"overlab-{one.paths.lab}"
    with one.client() as client:
        client.api.import_image_from_file(str(root_tar), *IMAGE.split(":"))
        client.networks.create(name)
        for container in (f"{name}-docker01", "helper"):
            volumes = [f"{name}-docker01-data:/data"]
            client.containers.run(IMAGE, "sleep 600", name=container, network=name, volumes=volumes, detach=True)


def lab_objects(one: PrivateDockerd) -> list[LabObject]:
    return docker_objects.find(one.host, one.paths.lab, State())


def follow(remedy: str | None) -> None:
    """Run the commands of a remedy as they are printed."""
    assert remedy
    subprocess.run(["sh", "-c", remedy], check=True, timeout=60)


def test_the_command_of_each_object_removes_it(make: Make, root_tar: Path) -> None:
    one = make()
    put_lab(one, root_tar)
    found = sorted(lab_objects(one), key=lambda one: REMOVAL_ORDER.index(one.kind))
    assert [each.kind for each in found] == ["container", "network", "volume"]
    for number, each in enumerate(found):
        follow(each.remedy)
        assert {left.kind for left in lab_objects(one)} == {left.kind for left in found[number + 1 :]}


def test_what_is_in_use_is_named_with_the_command_that_removes_it(make: Make, root_tar: Path) -> None:
    one = make()
    put_lab(one, root_tar)
    for kind, error in (("network", "has active endpoints"), ("volume", "volume is in use")):
        found = [each for each in lab_objects(one) if each.kind in ("container", kind)]
        with pytest.raises(
            OverlabError, match=rf"{kind} overlab-.* on unix://.* cannot be removed: .*{error}"
        ) as raised:
            docker_objects.remove(one.host, found)
        if kind == "volume":
            follow(raised.value.remedy)
    docker_objects.remove(one.host, lab_objects(one))
    assert lab_objects(one) == []


def test_frozen_containers_of_a_node_are_thawed(make: Make, root_tar: Path) -> None:
    one = make()
    run(one, root_tar)
    with one.client() as client:
        paused = client.containers.get("node")
        paused.pause()
        node = str(paused.id)
    assert not one.thaw("another")
    assert one.thaw(node) == bool(list(CGROUPS.glob("freezer")))
    assert not one.thaw()


def test_an_engine_that_is_gone_is_named_with_what_starts_it(make: Make, root_tar: Path, progress: Progress) -> None:
    one = make()
    put_lab(one, root_tar)
    os.kill(processes(one)["unshare"][0].pid, signal.SIGKILL)
    with pytest.raises(OverlabError, match=r"the engine unix://.* that runs the nodes: ") as raised:
        lab_objects(one)
    assert raised.value.remedy == "overlab up, or overlab down: each starts it again"
    one.ensure(progress)
    assert len(lab_objects(one)) == 3
