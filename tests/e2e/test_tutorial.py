"""The tutorial's commands on a lab of its settings, with node containers; what they print has the page's shape."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from components.node_container import NodeContainer
from tests.e2e import tutorial
from tests.e2e.lab import ON_CONTAINERS, RealLab, lab_of, settings_of
from tests.e2e.tutorial import STACK_OF_PAGE, Runner

STACK = "e2e-tutorial"
# The underlay is the page's too: each lab is in a network namespace of its own.
SETTINGS = settings_of(STACK_OF_PAGE, ON_CONTAINERS)
STEPS = tutorial.parse(tutorial.PAGE.read_text("utf-8"))
SECTIONS = list(dict.fromkeys(step.section for step in STEPS))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The tutorial's lab, up; gone, platform and all, at the end."""
    with lab_of(STACK, SETTINGS, tmp_path_factory.mktemp(STACK)) as lab:
        lab.overlab("up").ok()
        yield lab


@pytest.fixture(scope="module")
def runner(lab: RealLab, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    environment = os.environ | {"XDG_STATE_HOME": str(lab.state)}
    return Runner(STACK, environment, tmp_path_factory.mktemp("tools"), NodeContainer.interface)


@pytest.mark.parametrize("section", SECTIONS)
def test_each_command_prints_what_the_page_shows(runner: Runner, section: str) -> None:
    failed = []
    for step in (step for step in STEPS if step.section == section):
        printed, why = runner.run(step)
        print(f"$ {step.command}\n{printed}")
        if why is not None:
            failed.append(tutorial.describe_failure(step, printed, why))
    assert not failed, "\n" + "\n".join(failed)


def test_the_lab_is_left_as_it_was(lab: RealLab) -> None:
    """What the page created outside of Pulumi is removed, and every check passes."""
    for node in ("docker01", "docker02", "docker03"):
        assert "tmp-" not in lab.on(node, "docker ps -a --format '{{.Names}}'; docker network ls")
    lab.overlab("test").ok()
    assert lab.file.read_text("utf-8") == SETTINGS, "Pulumi wrote into the stack file"
