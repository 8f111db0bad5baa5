"""`exec` against a real sshd in the lab's namespace: streams, exit code and every character pass through."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from components.ground import Ground, Hypervisor, Image
from components.settings import Settings, parse
from overlab import remote
from overlab.ground import identity
from overlab.ground.embedded import EmbeddedLibvirt
from overlab.ground.errors import GroundError
from overlab.ground.paths import LabPaths
from overlab.ground.process import spawn
from overlab.ground.progress import output
from overlab.ground.wait import NotYet, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
    pytest.mark.skipif(shutil.which("sshd", path="/usr/sbin") is None, reason="needs openssh-server"),
]

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
    settings: Settings
    ground: Ground

    def run(self, *words: str, stdin: bytes = b"", node: str = "docker01") -> subprocess.CompletedProcess[bytes]:
        cmd = remote.command(self.settings, self.ground, node, words, terminal=False)
        return subprocess.run(cmd, input=stdin, capture_output=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    patch = pytest.MonkeyPatch()
    root = tmp_path_factory.mktemp("remote")
    patch.setenv("XDG_STATE_HOME", str(root))
    raw = {
        "name": f"t-r{os.getpid()}",
        "network": {"cidr": "10.96.0.0/24"},
        "nodes": {"docker01": {}, "docker02": {}},
        "store": {"node": "docker01"},
        "overlays": {"ov_net1": {"made_from": "docker01", "subnet": "10.0.0.0/24"}},
        "workloads": {"t1": {"node": "docker01", "overlays": ["ov_net1"]}},
    }
    settings = parse(raw, "t")
    paths = LabPaths(settings.name)
    keys = identity.ensure(paths.identity, settings.name, {key: str(n.address) for key, n in settings.nodes.items()})
    libvirt = EmbeddedLibvirt(paths)
    ground = Ground(
        lab=settings.name,
        kind="embedded",
        hypervisor=Hypervisor(uri=libvirt.uri, pool_path=str(paths.pool), domain_type="qemu"),
        image=Image(source="", content=""),
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
        yield Lab(settings, ground)
    finally:
        namespace.remove()
        shutil.rmtree(paths.run, ignore_errors=True)
        patch.undo()


def _listens(daemon: object, address: object, libvirt: EmbeddedLibvirt, log: Path) -> None:
    listed = output(libvirt.namespace.command(["ss", "-Hltn", "src", str(address)]))
    if f"{address}:22" not in listed:
        raise NotYet(f"{daemon}: {log.read_text()[-300:]}")


def test_streams_and_exit_code_pass_through(lab: Lab) -> None:
    done = lab.run("sh", "-c", "cat; echo err >&2; exit 42", stdin=b"\x00binary\xff\n")
    assert (done.stdout, done.stderr, done.returncode) == (b"\x00binary\xff\n", b"err\n", 42)


def test_it_is_root(lab: Lab) -> None:
    assert lab.run("id", "-u").stdout == b"0\n"


@pytest.mark.parametrize(
    "word",
    [
        "",
        "two words",
        "a'b",
        'a"b',
        "$HOME",
        "`id`",
        "a;b",
        "a\nb",
        "*",
        "~",
        "\\",
        "-x",
        "--",
        "ü",
        "a&b|c>d",
        "!x",
        "#",
    ],
)
def test_every_word_arrives_as_given(lab: Lab, word: str) -> None:
    assert lab.run("printf", "[%s]", word, "end").stdout == f"[{word}][end]".encode()


def test_tilde_lines_of_the_input_are_no_escapes(lab: Lab) -> None:
    assert lab.run("cat", stdin=b"\n~.\nstill here\n").stdout == b"\n~.\nstill here\n"


def test_a_host_key_that_is_not_the_pinned_one_is_refused(lab: Lab) -> None:
    done = lab.run("true", node="docker02")
    assert done.returncode == 255
    assert b"Host key verification failed" in done.stderr


def test_unknown_node_lists_the_known_ones(lab: Lab) -> None:
    with pytest.raises(GroundError, match=r"has no node docker09\n.*docker01, docker02"):
        remote.command(lab.settings, lab.ground, "docker09", ["true"], terminal=False)
