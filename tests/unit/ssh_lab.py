"""A lab without machines: its namespace, its keys, and in the namespace a real sshd for each node."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from components.config.platform import Hypervisor, MachineImage, Platform
from components.config.settings import Settings, parse
from overlab import openssh
from overlab.core.paths import LabPaths
from overlab.core.process import spawn
from overlab.core.tools import output
from overlab.core.wait import NotYet, until
from overlab.platform import identity
from overlab.platform.private_libvirtd import PrivateLibvirtd

NEEDS = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(shutil.which("sshd", path="/usr/sbin") is None, reason="needs openssh-server"),
]
"""What a test that uses :func:`lab` is marked with."""

_CONFIG = """\
ListenAddress {address}
HostKey {host_key}
AuthorizedKeysFile {authorized}
PermitRootLogin prohibit-password
StrictModes no
UsePAM yes
PidFile none
"""


@dataclass(frozen=True)
class Lab:
    """``docker02`` answers with the host key of ``docker01``: somebody in the middle."""

    settings: Settings
    platform: Platform

    def run(self, *words: str, stdin: bytes = b"", node: str = "docker01") -> subprocess.CompletedProcess[bytes]:
        cmd = openssh.command(self.settings, self.platform, node, words, terminal=False)
        return subprocess.run(cmd, input=stdin, capture_output=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    patch = pytest.MonkeyPatch()
    root = tmp_path_factory.mktemp("remote")
    patch.setenv("XDG_STATE_HOME", str(root))
    raw = {
        "name": f"t-r{os.getpid()}",
        "underlay": {"cidr": "10.96.0.0/24"},
        "nodes": {"docker01": {}, "docker02": {}},
        "store": {"node": "docker01"},
        "networks": {"ov_net1": {"created_on": "docker01", "subnet": "10.0.0.0/24"}},
        "workloads": {"t1": {"node": "docker01", "networks": ["ov_net1"]}},
    }
    settings = parse(raw, "t")
    paths = LabPaths(settings.name)
    keys = identity.ensure(paths.identity, settings.name, {key: str(n.address) for key, n in settings.nodes.items()})
    libvirt = PrivateLibvirtd(paths)
    platform = Platform(
        kind="bundled",
        hypervisor=Hypervisor(uri=libvirt.uri, pool_path=libvirt.pool_path, domain_type="qemu"),
        image=MachineImage(source="", content_hash=""),
        identity=keys,
        run_dir=paths.run,
    )
    namespace = libvirt.namespace
    try:
        namespace.ensure()
        for node in settings.nodes.values():
            output(["ip", "-n", namespace.name, "address", "add", f"{node.address}/32", "dev", "lo"])
        # docker02 answers with docker01's host key: somebody in the middle
        for node in settings.nodes.values():
            config = root / f"sshd-{node.key}"
            host_key = keys.host_keys["docker01"].private
            config.write_text(
                _CONFIG.format(address=node.address, host_key=host_key, authorized=keys.client_public_key)
            )
            hidden = "mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -e -f"
            enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{hidden} "$1"', "sh", str(config)]
            daemon = spawn(namespace.command(enter), root / "log")
            until(f"sshd of {node.key}", partial(_listens, daemon, node.address, libvirt, root / "log"), 20)
        yield Lab(settings, platform)
    finally:
        namespace.remove()
        shutil.rmtree(paths.run, ignore_errors=True)
        patch.undo()


def _listens(daemon: object, address: object, libvirt: PrivateLibvirtd, log: Path) -> None:
    listed = output(libvirt.namespace.command(["ss", "-Hltn", "src", str(address)]))
    if f"{address}:22" not in listed:
        raise NotYet(f"{daemon}: {log.read_text()[-300:]}")
