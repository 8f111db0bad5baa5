"""The archive of a lab: what is in it, within its limit, and no secret."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.config.platform import Platform
from components.config.settings import Settings, parse
from overlab import openssh
from overlab.core.files import write_private
from overlab.core.paths import LabPaths
from overlab.inspect import diagnostics, machines, redaction
from overlab.platform import identity
from overlab.platform.manifest import PlatformManifest
from overlab.stack import stack as stack_module
from overlab.stack.stack import Stack
from tests.components.recorder import make_platform

RAW: dict[str, Any] = {
    "name": "t-diag",
    "underlay": {"cidr": "10.97.0.0/24"},
    "nodes": {"docker01": {}, "docker02": {}},
    "store": {"node": "docker01"},
    "networks": {"ov_net1": {"created_on": "docker01", "subnet": "10.0.0.0/24"}},
    "workloads": {"t1": {"node": "docker01", "networks": ["ov_net1"], "environment": {"PIN": "4711-very-private"}}},
}
TOOLS = {
    "journalctl": "echo dockerd says hello with 4711-very-private",
    "docker": 'cat >/dev/null; echo "docker $*"',
    "iptables-save": "echo '*filter'",
    "ip6tables-save": "echo '*filter'",
    "overlab-store": """echo '{"leader": "x", "keys": {"docker/nodes/10.97.0.11:2376": "MTAuOTcuMC4xMToyMzc2"}}'""",
    **dict.fromkeys(("dmesg", "systemctl", "ip", "ss", "nsenter"), "echo text"),
}
"""Of a node."""


@pytest.fixture
def settings() -> Settings:
    return parse(RAW, "t-diag")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> tuple[Platform, Stack]:
    """A lab with its keys, on this machine, whose nodes are shells with a node's tools."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(stack_module, "checkout", lambda: tmp_path)
    (tmp_path / "Pulumi.t-diag.yaml").write_text("config:\n  overlab:lab:\n    token: {secure: v1:abcdefgh}\n")
    paths = LabPaths("t-diag")
    identity.ensure(paths.identity, "t-diag", {"docker01": "10.97.0.11", "docker02": "10.97.0.12"}, ["docker01"])
    identity.ensure_passphrase(paths.passphrase)
    manifest = PlatformManifest(
        checkout=tmp_path,
        inputs="",
        files={},
        cli=tmp_path,
        cli_version="",
        sources={"pulumi": "3.1, found"},
        bundled_plugins=True,
        images=None,
    )
    resources = [{"urn": "urn:pulumi:s::p::t::n", "type": "t", "inputs": {"a": "input-of-a-resource"}}]
    stack = Stack("t-diag", paths, manifest)
    write_private(stack.state_file, json.dumps({"checkpoint": {"latest": {"resources": resources}}}).encode())
    monkeypatch.setattr(machines, "states", lambda *_: {"docker01": "running"})
    monkeypatch.setattr(diagnostics, "_console", lambda *_: "login:")

    def local(_settings: Settings, _platform: Platform, node: str, cmd: Sequence[str], **_: object) -> list[str]:
        assert list(cmd) == ["sh", "-s"]
        return ["env", f"PATH={tmp_path}/bin:/usr/bin:/bin", "sh", "-s"] if node == "docker01" else ["sleep", "60"]

    (tmp_path / "bin").mkdir()
    for name, text in TOOLS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setattr(openssh, "command", local)
    return make_platform(tmp_path, settings), stack


def unpacked(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        return {
            one.name.removeprefix("t-diag/"): data.read().decode()
            for one in archive
            if (data := archive.extractfile(one)) is not None
        }


def test_everything_is_in_it_and_a_silent_node_costs_no_more_than_the_limit(
    settings: Settings, lab: tuple[Platform, Stack], tmp_path: Path
) -> None:
    platform, stack = lab
    stack.paths.logs.mkdir(parents=True)
    (stack.paths.logs / "dockerd.log").write_text("x" * 300_000 + "the end")
    begun = time.monotonic()
    diagnostics.write(tmp_path / "a.tar.gz", settings, platform, stack, "up failed", limit_s=4)
    assert time.monotonic() - begun < 8
    assert (tmp_path / "a.tar.gz").stat().st_mode & 0o777 == 0o600
    found = unpacked(tmp_path / "a.tar.gz")
    assert found["reason.txt"] == "up failed\n"
    assert json.loads(found["versions.json"])["pulumi"] == "3.1, found"
    assert json.loads(found["state.json"])["resources"][0]["urn"] == "urn:pulumi:s::p::t::n"
    assert len(found["logs/dockerd.log"]) == 200_000
    assert found["logs/dockerd.log"].endswith("the end")
    keys = {"docker/nodes/10.97.0.11:2376": "10.97.0.11:2376"}
    assert json.loads(found["docker01/store.json"]) == {"leader": "x", "keys": keys}
    assert found["docker01/packet-filter.txt"] == "*filter\n*filter\n"
    assert found["docker01/store.log"] == "docker logs --tail 300 consul\n"
    assert found["docker02/ended.txt"] == "no answer within 4 s"
    assert found["docker02/console.log"] == "login:"


def test_no_secret_is_in_it(settings: Settings, lab: tuple[Platform, Stack], tmp_path: Path) -> None:
    platform, stack = lab
    paths = stack.paths
    stack.paths.logs.mkdir(parents=True)
    secret = [paths.identity / name for name in ("client", "gossip", "store/management", "tls/ca-key.pem")]
    values = [line for file in [*secret, paths.passphrase] for line in file.read_text().splitlines() if line]
    (paths.logs / "any.txt").write_text("\n".join([*values, "X-Consul-Token: qwertzuiop", "-u https://me:pw@host/"]))
    diagnostics.write(tmp_path / "a.tar.gz", settings, platform, stack, limit_s=3)
    found = unpacked(tmp_path / "a.tar.gz")
    whole = "\n".join(found.values())
    for value in [
        *(one for one in values if not one.startswith("---")),
        "4711-very-private",
        "abcdefgh",
        "pw@",
        "qwertzuiop",
    ]:
        assert value not in whole
    assert "input-of-a-resource" not in whole
    assert found["docker01/journal-engine.log"] == f"dockerd says hello with {redaction.MARK}\n"
    # What is public stays readable.
    assert "X-Consul-Token: [redacted]" in whole


def test_a_key_that_is_cut_off_is_redacted_too() -> None:
    text = "a\n-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBBBB"
    assert redaction.redacted(text, ()) == f"a\n-----BEGIN OPENSSH PRIVATE KEY-----{redaction.MARK}"


def test_a_lab_without_a_platform_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from overlab import cli
    from overlab.cli import maintenance

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(maintenance, "load_settings", lambda stack: parse(RAW, "t-diag"))
    done = CliRunner().invoke(cli.app, ["diag"])
    assert done.exit_code == 1
    assert done.stderr == "error: the lab t-diag has no platform\n  remedy: overlab up --stack t-diag\n"
