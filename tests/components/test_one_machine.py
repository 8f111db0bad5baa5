"""The example program: components without a lab's settings."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pulumi
import pytest

from tests.components.recorder import Recorder, run_program

EXAMPLE = Path(__file__).parents[2] / "examples" / "one_machine"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    for name in ("client", "client.pub", "host", "host.pub", "known_hosts"):
        (tmp_path / name).write_text(f"PRIVATE {name}" if "." not in name else f"ssh-ed25519 {name} comment")
    values = {"keys": str(tmp_path), "image": "/debian-11.qcow2", "uri": "qemu:///system"}
    monkeypatch.setattr(pulumi.Config, "require", lambda _, key: values[key])
    monkeypatch.setattr(pulumi, "export", lambda name, value: exported.update({name: value}))
    exported: dict[str, Any] = {}

    def program() -> dict[str, Any]:
        runpy.run_path(str(EXAMPLE / "__main__.py"), run_name="__main__")
        return exported

    return run_program(program)


def test_it_declares_a_machine_and_an_engine(example: Recorder) -> None:
    components = {
        item.type.rpartition(":")[2]: item.name for item in example.declared.values() if "overlab:" in item.type
    }
    assert components == {
        "Storage": "storage",
        "Underlay": "underlay",
        "Machine": "docker01",
        "DockerEngine": "docker01-engine",
    }
    [domain] = example.of("libvirt:index/domain:Domain")
    assert (domain.inputs["name"], domain.inputs["memory"]) == ("one-machine", 2048)
    [engine] = [item for item in example.declared.values() if item.name == "docker01-dockerd"]
    assert "consul://192.168.123.10:8500" in engine.inputs["stdin"]


def test_no_key_is_in_a_plain_input(example: Recorder) -> None:
    for item in example.declared.values():
        assert "PRIVATE" not in str({key: value for key, value in item.inputs.items() if key not in item.secrets})
