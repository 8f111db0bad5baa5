"""Which interpreter the bundled language host takes, and what it finds installed there."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from bundled_plugins.language_host.interpreter import Interpreter, OptionError, interpreter_for, virtualenv_of
from bundled_plugins.language_host.packages import DescribeError, describe
from pulumi.runtime.proto import language_pb2

pytestmark = pytest.mark.bundled_only("language host")

HERE = Interpreter(Path(sys.executable), None)


def info(root: Path | str = "/lab", **options: Any) -> language_pb2.ProgramInfo:
    made = language_pb2.ProgramInfo(root_directory=str(root), program_directory=str(root), entry_point=".")
    made.options.update(options)
    return made


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"virtualenv": ".venv"}, Path("/lab/.venv")),
        ({"virtualenv": "../shared/env"}, Path("/shared/env")),
        ({"virtualenv": "/opt/env"}, Path("/opt/env")),
        ({"toolchain": "uv"}, Path("/lab/.venv")),
        ({"toolchain": "pip"}, None),
        ({"toolchain": "poetry", "virtualenv": "env"}, Path("/lab/env")),
    ],
)
def test_virtualenv_is_relative_to_the_project(options: dict[str, str], expected: Path | None) -> None:
    assert virtualenv_of(info(**options)) == expected


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"typechecker": "mypy"}, "'typechecker' is not supported by the bundled Python language host"),
        ({"toolchain": "poetry"}, "toolchain is 'poetry'"),
        ({"virtualenv": 3}, "virtualenv is 3.0, must be text"),
        ({"virtualenv": "missing"}, "/lab/missing has no bin/python"),
    ],
)
def test_option_that_cannot_be_honored_is_refused_by_name(options: dict[str, Any], reported: str) -> None:
    with pytest.raises(OptionError, match=reported) as refused:
        interpreter_for(info(**options))
    assert "/lab" in str(refused.value)


def test_without_option_the_path_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PULUMI_PYTHON_CMD", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OptionError, match="PATH gives no executable python3 or python"):
        interpreter_for(info())

    (tmp_path / "python").symlink_to(sys.executable)
    assert interpreter_for(info()).executable == tmp_path / "python"

    monkeypatch.setenv("PULUMI_PYTHON_CMD", "python3.99")
    with pytest.raises(OptionError, match=r"PULUMI_PYTHON_CMD gives no executable python3\.99"):
        interpreter_for(info())


def test_environment_is_that_of_the_activated_virtualenv() -> None:
    base = {"PATH": "/bin", "PYTHONHOME": "/wrong", "KEPT": "yes"}

    assert Interpreter(Path("/env/bin/python"), Path("/env")).environment(base) == {
        "PATH": "/env/bin:/bin",
        "VIRTUAL_ENV": "/env",
        "KEPT": "yes",
    }
    assert Interpreter(Path("/bin/python"), None).environment(base) == base


def test_plugins_of_the_installed_sdks_are_required() -> None:
    found = describe(HERE, dict(os.environ), "/")

    required = {(each.name, each.version) for each in found.plugins}
    assert {("docker", "v5.1.0"), ("command", "v1.2.1"), ("libvirt", "v0.5.4")} <= required
    assert "policy" not in {each.name for each in found.plugins}  # its marker has resource: false
    assert found.executable == sys.executable
    assert ("pulumi", "3.259.0") in found.distributions


def test_marker_without_name_and_version_follows_its_package(tmp_path: Path) -> None:
    marker = tmp_path / "pulumi_some_thing" / "pulumi-plugin.json"
    marker.parent.mkdir()
    marker.write_text(json.dumps({"resource": True, "server": "https://example.invalid"}))
    metadata = tmp_path / "pulumi_some_thing-4.5.6.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: pulumi-some-thing\nVersion: 4.5.6\n")

    found = describe(HERE, {**os.environ, "PYTHONPATH": str(tmp_path)}, "/")

    made = next(each for each in found.plugins if each.name == "some-thing")
    assert (made.version, made.server) == ("v4.5.6", "https://example.invalid")


def test_interpreter_that_fails_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 4\n")
    broken.chmod(0o755)
    with pytest.raises(DescribeError, match=f"{broken} failed to list its packages: no such luck"):
        describe(Interpreter(broken, None), dict(os.environ), "/")
