"""Remedies of failures that no lab on this machine shows: each is followed on a real engine, registry or emulator."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.diagnosis import failures
from overlab.platform import acceleration, oci
from overlab.platform.namespace import Namespace
from overlab.platform.private_dockerd import PrivateDockerd
from overlab.platform.registry import Registry

FACTS = {"stack": "dev", "lab": "dev", "node": "docker01"}
_EMULATOR = shutil.which(acceleration.QEMU)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network, PID and mount namespaces")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateDockerd]:
    """An engine whose registry, at 127.0.0.1:5000, has library/tiny:1.0 and nothing else."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/hello").write_text("hello")
    image = oci.build(tmp_path / "tree", tmp_path / "layer.tar", oci.Run(command=("/hello",)))
    oci.store(image, "library/tiny:1.0", tmp_path / "storage")
    paths = LabPaths(f"t-remedy-{os.getpid()}")
    engine, registry = PrivateDockerd(paths), Registry(paths, tmp_path / "storage")
    try:
        engine.ensure(Progress(quiet=True))
        registry.ensure()
        yield engine
    finally:
        registry.stop()
        engine.remove()
        Namespace.of(paths).remove()
        paths.run.rmdir()
        gc.collect()


def pull(engine: PrivateDockerd, image: str) -> str:
    """What the engine answers, in the form of the provider."""
    command = ["docker", "-H", engine.host, "pull", f"127.0.0.1:5000/library/{image}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else f"unable to pull image {image}: {done.stderr}"


@pytest.mark.root
@pytest.mark.slow
@needs_root
# Docker's client closes no socket whose connection was refused.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("missing", ["tiny:2.0", "other:1.0"])
def test_an_image_that_the_registry_does_not_have(engine: PrivateDockerd, missing: str) -> None:
    found = failures.diagnose(
        "NodeImages", f"docker01-{missing}", pull(engine, missing), FACTS | {"images": "tiny:1.0"}
    )
    assert found.id == "image-not-found"
    offered = re.search(r"\((.*?)\)", found.remedy)
    assert offered
    assert pull(engine, offered[1]) == ""


@pytest.mark.skipif(_EMULATOR is None, reason="no emulator installed")
def test_a_machine_that_is_larger_than_the_memory() -> None:
    def machine(mib: int) -> str:
        options = ["-machine", "none", "-m", str(mib), "-nodefaults", "-display", "none"]
        command = [str(_EMULATOR), *options, "-monitor", "stdio"]
        done = subprocess.run(command, input="quit\n", capture_output=True, text=True, timeout=60, check=False)
        return "" if done.returncode == 0 else done.stderr

    found = failures.diagnose("Machine", "docker01-domain", machine(1 << 26), FACTS)
    assert found.id == "out-of-memory"
    shown = subprocess.run(["sh", "-c", "free -m"], capture_output=True, text=True, check=True).stdout
    assert "`free -m`" in found.remedy
    free = int(shown.splitlines()[1].split()[-1])
    assert machine(free // 2) == ""
