"""A real docker-registry in a private namespace: serves, is adopted, ends, and another lab's is never adopted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.process import ProcessRecord, end, spawn
from overlab.platform import oci
from overlab.platform.namespace import Namespace
from overlab.platform.registry import Registry

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
]

_FETCH = """
import sys, urllib.request, urllib.error
request = urllib.request.Request("http://127.0.0.1:5000" + sys.argv[2], method=sys.argv[1])
request.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
try:
    answer = urllib.request.urlopen(request, timeout=10)
    print(answer.status, answer.headers.get("Docker-Content-Digest"))
except urllib.error.HTTPError as error:
    print(error.code, None)
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> oci.ContainerImage:
    directory = tmp_path_factory.mktemp("image")
    (directory / "tree").mkdir()
    (directory / "tree/hello").write_text("hello")
    return oci.build(directory / "tree", directory / "layer.tar", oci.Run(command=("/hello",)))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, image: oci.ContainerImage) -> Path:
    directory = tmp_path_factory.mktemp("storage")
    oci.store(image, "library/tiny:1.0", directory)
    return directory


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabPaths]:
    """A lab with its namespace; what runs in it at the end is ended."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths = LabPaths(f"t-registry-{os.getpid()}")
    namespace = Namespace(paths.namespace, claim=paths.run / "namespace.json", owner=str(paths.state))
    namespace.ensure()
    yield paths
    namespace.remove()
    for name in ("registry.json", "registry.yml"):
        assert not (paths.run / name).exists(), "stop() left it"
    paths.run.rmdir()


@pytest.fixture
def registry(paths: LabPaths, storage: Path) -> Iterator[Registry]:
    registry = Registry(paths, storage)
    yield registry
    registry.stop()


def fetch(paths: LabPaths, method: str, path: str) -> list[str]:
    command = ["ip", "netns", "exec", paths.namespace, sys.executable, "-c", _FETCH, method, path]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()


def process(registry: Registry) -> ProcessRecord:
    record = ProcessRecord.load(registry.paths.run / "registry.json")
    assert record is not None
    return record


def files(directory: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in directory.rglob("*")}


def test_serves_the_stored_image_and_writes_nothing(
    registry: Registry, image: oci.ContainerImage, storage: Path
) -> None:
    before = files(storage)
    registry.ensure()
    assert registry.alive()
    assert fetch(registry.paths, "GET", "/v2/library/tiny/manifests/1.0") == ["200", image.digest]
    assert fetch(registry.paths, "GET", f"/v2/library/tiny/blobs/{image.layer_digest}")[0] == "200"
    assert fetch(registry.paths, "GET", "/v2/library/tiny/manifests/2.0")[0] == "404"
    assert fetch(registry.paths, "POST", "/v2/library/tiny/blobs/uploads/")[0] == "405"
    registry.stop()
    assert files(storage) == before


def test_what_it_serves_is_known_by_digest(
    registry: Registry, image: oci.ContainerImage, storage: Path, tmp_path: Path
) -> None:
    assert registry.digests() == {"library/tiny:1.0": image.digest}
    shutil.copytree(storage, tmp_path / "storage")
    oci.store(image, "other/place/tiny:2", tmp_path / "storage")
    digests = Registry(registry.paths, tmp_path / "storage").digests()
    assert digests == {"library/tiny:1.0": image.digest, "other/place/tiny:2": image.digest}
    registry.ensure()
    assert fetch(registry.paths, "GET", f"/v2/library/tiny/manifests/{image.digest}") == ["200", image.digest]


def test_a_running_one_is_adopted_and_a_killed_one_replaced(registry: Registry) -> None:
    registry.ensure()
    first = process(registry)
    Registry(registry.paths, registry.images).ensure()
    assert process(registry) == first
    end([first], grace_s=0)
    assert not registry.alive()
    registry.ensure()
    assert registry.alive()
    assert process(registry) != first


def test_one_that_serves_another_directory_is_replaced(registry: Registry, tmp_path: Path) -> None:
    registry.ensure()
    first = process(registry)
    other = Registry(registry.paths, tmp_path)
    assert not other.alive()
    other.ensure()
    assert not first.alive()
    assert other.alive()


def test_stop_ends_it_but_not_another_process_with_its_pid(registry: Registry, tmp_path: Path) -> None:
    registry.ensure()
    ours = process(registry)
    other = spawn(["sleep", "60"], tmp_path / "log")
    try:
        registry.stop()
        assert not ours.alive()
        # the pid file of a dead run, whose pid is another process's now
        ours.model_copy(update={"pid": other.pid}).save(registry.paths.run / "registry.json")
        assert not registry.alive()
        registry.stop()
        assert other.alive()
    finally:
        end([other], grace_s=0)


def test_one_whose_pid_file_is_lost_is_ended_too(registry: Registry) -> None:
    registry.ensure()
    ours = process(registry)
    (registry.paths.run / "registry.json").unlink()
    registry.stop()
    assert not ours.alive()


def test_a_failing_start_shows_the_registrys_log(registry: Registry, paths: LabPaths) -> None:
    taken = spawn(
        ["ip", "netns", "exec", paths.namespace, "busybox", "nc", "-l", "-p", "5000"], paths.logs / "listener.log"
    )
    try:
        with pytest.raises(OverlabError, match=r"(?s)docker-registry exited at start.*address already in use"):
            registry.ensure()
    finally:
        end([taken], grace_s=0)
    registry.stop()
