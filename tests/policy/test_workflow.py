"""The workflow for a public CI is one that GitHub would run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundled_plugins import command, docker, libvirt
from conformance import harness

from overlab.core.paths import cache_root
from tests.policy.previewing import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "lab.yml"
VERSION = "v1.7.7"
INSTALL_LIMIT_S = 240


@pytest.fixture(scope="module")
def actionlint() -> Path:
    """actionlint from PATH, else built from its Go module and kept in the cache."""
    found = shutil.which("actionlint")
    if found:
        return Path(found)
    directory = cache_root() / "tools" / f"actionlint-{VERSION}"
    if not (directory / "actionlint").exists():
        _install(directory)
    return directory / "actionlint"


def _install(directory: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("NOT LINTED: neither actionlint nor go is installed")
    module = f"github.com/rhysd/actionlint/cmd/actionlint@{VERSION}"
    environment = {**os.environ, "GOBIN": str(directory), "CGO_ENABLED": "0"}
    try:
        subprocess.run(
            [go, "install", module], env=environment, capture_output=True, timeout=INSTALL_LIMIT_S, check=True
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"NOT LINTED: `go install {module}` took more than {INSTALL_LIMIT_S} s")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"NOT LINTED: `go install {module}` failed: {error.stderr.decode(errors='replace')[-300:]}")


@pytest.mark.timeout(INSTALL_LIMIT_S + 60)
def test_actionlint_accepts_the_workflow(actionlint: Path) -> None:
    done = subprocess.run([actionlint, "-no-color", WORKFLOW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    return content


def test_it_runs_the_cli_that_the_sdk_is_pinned_to(workflow: dict[str, Any]) -> None:
    assert workflow["env"]["PULUMI_VERSION"] == version("pulumi")


def test_it_uses_official_plugins_on_real_machines_and_in_previews(workflow: dict[str, Any]) -> None:
    jobs = workflow["jobs"]
    assert set(jobs) == {"check", "conformance", "try", "preview", "e2e"}
    assert all(jobs[name]["env"]["OVERLAB_PLUGINS"] == "official" for name in ("try", "preview", "e2e"))
    assert any("--policy-pack policy" in step.get("run", "") for step in jobs["preview"]["steps"])


def test_it_runs_the_conformance_tests_against_official_plugins(workflow: dict[str, Any]) -> None:
    job = workflow["jobs"]["conformance"]
    assert set(job["env"]) == {harness.PLUGINS_ENV}
    install, run = (step["run"] for step in job["steps"][-2:])
    tested = {module.__name__.rsplit(".", 1)[-1] for module in (command, docker, libvirt)}
    assert f"for name in {' '.join(sorted(tested))}; do" in install
    assert f'"${harness.PLUGINS_ENV}"' in install
    assert "pytest -n 2 bundled-plugins/tests" in run
    assert (ROOT / "bundled-plugins" / "tests").is_dir()


def test_it_calls_targets_that_exist(workflow: dict[str, Any]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    called = {target for text in commands for target in re.findall(r"\bmake ([a-z]+)", text)}
    assert {"check", "policy", "test", "try"} <= called <= targets


def test_node_containers_run_without_root(workflow: dict[str, Any]) -> None:
    commands = [step["run"] for step in workflow["jobs"]["try"]["steps"] if "run" in step]
    assert not any("sudo" in text for text in commands)


def test_actions_are_pinned_by_commit() -> None:
    used = re.findall(r"uses: (.*)", WORKFLOW.read_text())
    assert used
    for one in used:
        assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40} # v[0-9]+(\.[0-9]+)+", one), one
