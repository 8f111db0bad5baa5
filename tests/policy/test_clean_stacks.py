"""The program itself, with the stacks that come with it, passes under the pack and the stack's policy configuration.

Nothing is made: the platform record names libvirt's own test driver, and a preview contacts no node.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conformance.engine import Home, Project, Result

from components.config.platform import RECORD_ENV
from components.config.settings import parse, read_stack_file
from tests.policy.platform import platform_for
from tests.policy.previewing import LIMIT_S, PACK, ROOT, mandatory, reported

_LINKED = ("Pulumi.yaml", "__main__.py", "components", ".venv")

USUAL_ADVICE = {"engine-end-of-life", "store-gossip-key", "store-single-server", "overlay-subnet-stated"}
"""Advice that these stacks may get."""


@pytest.mark.parametrize("stack", ["dev", "ci", "site"])
def test_the_stack_passes(policed_home: Home, tmp_path: Path, stack: str) -> None:
    result = _preview(policed_home, tmp_path, stack)

    result.passed()
    assert mandatory(result) == set()
    assert {one.rule for one in reported(result)} <= USUAL_ADVICE, result.text


def _preview(home: Home, directory: Path, stack: str) -> Result:
    """A preview of the program in a separate project, so that the stack's file in the checkout stays as it is."""
    project = Project(home, directory / "project", name="overlab")
    project.directory.mkdir()
    for name in _LINKED:
        (project.directory / name).symlink_to(ROOT / name)
    settings = (ROOT / f"Pulumi.{stack}.yaml").read_text()
    project.write(f"Pulumi.{stack}.yaml", re.sub(r"(?m)^encryptionsalt:.*\n", "", settings))  # another backend's
    (directory / "platform").mkdir()
    platform = platform_for(parse(read_stack_file(ROOT, stack), stack), directory / "platform").model_dump_json()
    record = directory / "platform.json"
    record.write_text(re.sub(r'"uri":"[^"]*"', '"uri":"test:///default"', platform))
    project.run("stack", "init", stack).passed()
    configuration = str(PACK / f"{stack}.json")
    arguments = ["preview", "--stack", stack, "--policy-pack", str(PACK), "--policy-pack-config", configuration]
    return project.run(*arguments, limit_s=LIMIT_S, **{RECORD_ENV: str(record)})
