"""Clusters that overlab did not create: what can be attached, how ssh is called, and what is shown of them."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from overlab import cli
from overlab.core.errors import OverlabError
from overlab.core.paths import state_root
from overlab.inspect import attached
from overlab.inspect.attached import AttachedCluster
from overlab.inspect.status import LabStatus


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def overlab(*args: str) -> Result:
    return CliRunner().invoke(cli.app, list(args))


def test_it_is_recorded_for_its_user_alone_and_forgotten() -> None:
    assert overlab("attach", "prod", "ssh://root@a", "ssh://b:2222").exit_code == 0
    file = state_root() / "clusters" / "prod.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = attached.find("prod")
    assert found is not None
    assert list(found.nodes) == ["a", "b:2222"]
    assert "is a cluster prod already" in overlab("attach", "prod", "ssh://c").stderr
    assert attached.names() == ["prod"]
    assert overlab("detach", "prod").exit_code == 0
    assert attached.find("prod") is None
    assert "attached clusters: none" in overlab("detach", "prod").stderr


@pytest.mark.parametrize(
    "url",
    [
        "root@a",
        "http://a",
        "ssh://",
        "ssh://-oProxyCommand=touch%20x",
        "ssh://-l@a",
        "ssh://a/path",
        "ssh://a:99999",
        "ssh://root:secret@a",
        "ssh://a b",
        "ssh://[",
    ],
)
def test_what_is_no_address_of_a_node_is_refused(url: str) -> None:
    with pytest.raises(OverlabError, match=r"ssh://\[USER@\]HOST\[:PORT\]"):
        attached.parse("prod", [url], None, None)


@pytest.mark.parametrize("name", ["", "../x", "A", "-a", "a" * 41])
def test_a_name_that_could_leave_its_directory_is_refused(name: str) -> None:
    with pytest.raises(OverlabError):
        attached.parse(name, ["ssh://a"], None, None)
    assert attached.find(name) is None


def test_a_stack_of_the_project_keeps_its_name() -> None:
    assert "dev is a stack of this project" in overlab("attach", "dev", "ssh://a").stderr


def test_a_node_is_named_once_and_files_exist(tmp_path: Path) -> None:
    with pytest.raises(OverlabError, match="named twice"):
        attached.parse("prod", ["ssh://root@a", "ssh://a"], None, None)
    with pytest.raises(OverlabError, match="--known-hosts"):
        attached.parse("prod", ["ssh://a"], tmp_path / "none", None)


def test_host_keys_are_always_checked(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.touch()
    cluster = attached.parse("prod", ["ssh://root@a:2222"], known, None)
    ssh = cluster.command("a:2222", ["echo", "a b"])
    assert "StrictHostKeyChecking=yes" in ssh
    assert f"UserKnownHostsFile={known}" in ssh
    assert ssh[-7:] == ["-p", "2222", "-l", "root", "--", "a", "echo 'a b'"]


def test_an_unreachable_cluster_is_shown_with_the_reason_of_each_node(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = attached.parse("prod", ["ssh://a", "ssh://b"], None, None)
    monkeypatch.setattr(AttachedCluster, "command", lambda *_, **__: ["sh", "-c", "echo refused >&2; exit 255"])
    status = LabStatus.of(cluster.take_snapshot())
    assert [(node.name, node.error) for node in status.nodes] == [("a", "refused"), ("b", "refused")]
    assert {finding.id for finding in status.findings} == {"node-unreachable"}
    assert status.exit_code == 2


def test_the_doctors_commands_need_neither_pulumi_nor_libvirt() -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['pulumi', 'libvirt', 'docker', 'paramiko']));"
        "from overlab.cli import app; from typer.testing import CliRunner;"
        "run = CliRunner().invoke;"
        "print([run(app, words.split()).exit_code for words in sys.argv[1:]])"
    )
    words = ["attach p ssh://127.0.0.1:1", "status -s p", "why -s p a b", "repair -s p", "detach p"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[0, 2, 2, 2, 0]", done.stderr
