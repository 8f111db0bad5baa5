"""The tutorial's commands, run on a lab of the settings that it is about; what they print has the page's shape."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e import tutorial
from tests.e2e.lab import PROJECT, RealLab, stack_file
from tests.e2e.tutorial import STACK_OF_PAGE, Runner

STACK = "tutorial"
STEPS = tutorial.parse(tutorial.PAGE.read_text("utf-8"))
SECTIONS = list(dict.fromkeys(step.section for step in STEPS))


def _settings() -> str:
    """The page's settings. The lab network is that stack's too: each lab is in a network namespace of its own."""
    return (PROJECT / f"Pulumi.{STACK_OF_PAGE}.yaml").read_text("utf-8")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The tutorial's lab, up; gone, platform and all, at the end."""
    with stack_file(STACK, _settings()):
        lab = RealLab(STACK, tmp_path_factory.mktemp(STACK))
        try:
            lab.overlab("up").ok()
            yield lab
        finally:
            lab.overlab("down", "--platform", "--force")


@pytest.fixture(scope="module")
def runner(lab: RealLab, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    environment = os.environ | {"XDG_STATE_HOME": str(lab.state)}
    return Runner(STACK, environment, tmp_path_factory.mktemp("tools"))


@pytest.mark.parametrize("section", SECTIONS)
def test_each_command_prints_what_the_page_says(runner: Runner, section: str) -> None:
    failed = []
    for step in (step for step in STEPS if step.section == section):
        printed, why = runner.run(step)
        print(f"$ {step.command}\n{printed}")
        if why is not None:
            failed.append(tutorial.told(step, printed, why))
    assert not failed, "\n" + "\n".join(failed)


def test_the_lab_is_left_as_it_was(lab: RealLab) -> None:
    """What the page made by hand is gone again, and every check passes."""
    for node in ("docker01", "docker02", "docker03"):
        assert "tmp-" not in lab.on(node, "docker ps -a --format '{{.Names}}'; docker network ls")
    lab.overlab("test").ok()
    assert (PROJECT / f"Pulumi.{STACK}.yaml").read_text("utf-8") == _settings(), "Pulumi wrote into the stack file"
