"""A lab on the machine's own Docker, for which a private one stands, with a node image that Docker built."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from overlab.core.paths import LabPaths, run_root
from overlab.core.progress import Progress
from overlab.platform import container_images, rootfs, system_docker
from overlab.platform.private_dockerd import PrivateDockerd
from overlab.platform.registry import Registry
from tests.e2e.lab import RealLab, lab_of

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it starts a dockerd"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

STACK = "owndocker"
BASE = "overlab-test/base:1"
LAB = """\
config:
  overlab:lab:
    underlay: {{cidr: 10.98.13.0/24}}
    machine: {{kind: container}}
    platform: {{docker_host: "{host}", registry_mirror: "http://10.98.13.1:5000"}}
    nodes: {{docker01: , docker02: }}
    store: {{kind: consul, node: docker01}}
    networks: {{ov_net1: {{created_on: docker02}}}}
    workloads:
      t1: {{node: docker01, networks: [ov_net1]}}
      t2: {{node: docker02, networks: [ov_net1]}}
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateDockerd]:
    """What stands for the machine's own Docker, with a registry beside it, and Debian's image."""
    progress, paths = Progress(quiet=True), LabPaths("owner", tmp_path_factory.mktemp("owner"))
    engine = PrivateDockerd(paths)
    try:
        engine.ensure(progress)
        Registry(paths, container_images.ensure(progress)).ensure()
        import_base(engine, tmp_path_factory.mktemp("base"), progress)
        yield engine
    finally:
        Registry(paths, Path()).stop()
        engine.remove()
        engine.namespace.remove()
        paths.remove(paths.run)


def import_base(engine: PrivateDockerd, directory: Path, progress: Progress) -> None:
    """The machines' root file system in place of Debian's image; in it, apt has the engine's packages."""
    source = rootfs.ensure(progress)
    repository = directory / "repository"
    repository.mkdir()
    index = ""
    for deb in source.engine_debs:
        content = deb.read_bytes()
        (repository / deb.name).write_bytes(content)
        control = subprocess.run(["dpkg-deb", "--field", deb], capture_output=True, text=True, check=True).stdout
        digest = hashlib.sha256(content).hexdigest()
        index += f"{control}Filename: ./{deb.name}\nSize: {len(content)}\nSHA256: {digest}\n\n"
    (repository / "Packages").write_text(index)
    sources = directory / "sources.list"
    sources.write_text("deb [trusted=yes] file:///repository ./\n")
    with engine.client() as client:
        tree = directory / "tree.tar"
        subprocess.run(["cp", source.tar, tree], check=True)
        subprocess.run(["tar", "--delete", "--file", tree, "./etc/apt/sources.list"], check=False)
        with tarfile.open(tree, "a") as tar:
            tar.add(repository, "./repository")
            tar.add(sources, "./etc/apt/sources.list")
        client.api.import_image_from_file(str(tree), *BASE.split(":"))


def objects(engine: PrivateDockerd) -> list[str]:
    """Every container, volume and network there, but for the engine's own networks."""
    with contextlib.closing(docker.DockerClient(base_url=engine.host)) as client:
        found = [*client.containers.list(all=True), *client.volumes.list(), *client.networks.list()]
    return sorted({str(one.attrs["Name"]).lstrip("/") for one in found} - {"bridge", "host", "none"})


def test_a_lab_on_the_machines_own_docker(engine: PrivateDockerd, tmp_path: Path) -> None:
    with lab_of(STACK, LAB.format(host=engine.host), tmp_path) as made:
        lab = RealLab(STACK, tmp_path, network=engine.namespace.name, exported={"OVERLAB_NODE_BASE": BASE})
        done = lab.overlab("up").ok()
        assert "node image, built by Docker" in done.text
        record = lab.record()
        assert (record["kind"], record["node_engine"]["docker_host"]) == ("system", engine.host)
        assert "2 nodes, 2 engines" in done.text
        assert "unchanged" in lab.overlab("up").ok().text
        lab.overlab("test").ok()
        # what a prune took, and a reboot of the machine
        lab.overlab("down").ok()
        assert objects(engine) == []
        with system_docker.client(engine.host) as client:
            client.images.remove(record["node_engine"]["image"])
        LabPaths(STACK).remove(LabPaths(STACK).run)
        lab.overlab("up").ok()
        assert "the machines of lab" in lab.overlab("down", "--platform", "--force").text
        lab.overlab("down", "--platform").ok()
        assert objects(engine) == []
        assert not made.state.joinpath("overlab", "labs", STACK).exists()
        assert not run_root().joinpath(STACK).exists()
