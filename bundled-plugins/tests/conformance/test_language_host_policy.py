"""The bundled language host under the real CLI: policy packs, and plugins written in Python."""

from __future__ import annotations

import signal

import pytest

from conformance.engine import Home, Project, Result

pytestmark = pytest.mark.bundled_only("language host")

PROGRAM = """
import pulumi

class Thing(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("test:index:Thing", name)
        self.register_outputs({})

Thing("good")
Thing(pulumi.Config().get("other") or "other")
"""

PACK = """
import sys
import time
import pulumi
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy, StackValidationPolicy

print("printed before the pack serves")
print("on the pack's stderr", file=sys.stderr)

def names(args, report):
    print("analyzing", args.name)
    if args.name == "hang":
        time.sleep(3600)
    if args.name == "crash":
        raise ValueError("the policy is broken")
    if args.name == "bad":
        known = pulumi.Config(pulumi.get_project())
        report("|".join([
            pulumi.get_project(), pulumi.get_stack(), pulumi.get_organization(), str(pulumi.runtime.is_dry_run()),
            known.require("other"), str(known.get("absent")),
        ]))

def count(args, report):
    report(f"{len(args.resources)} resources")

PolicyPack("pack", enforcement_level=EnforcementLevel.MANDATORY, policies=[
    ResourceValidationPolicy("names", "Names are good.", names),
    StackValidationPolicy("count", "Resources are counted.", count, enforcement_level=EnforcementLevel.ADVISORY),
])
"""


@pytest.fixture(scope="module")
def project(pulumi_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A stack that only previews are made of, so that it stays empty, and ``pack`` beside the program."""
    project = Project(pulumi_home, tmp_path_factory.mktemp("policy") / "project", name="policed").create()
    project.write("__main__.py", PROGRAM)
    return project


@pytest.fixture(autouse=True)
def good_pack(project: Project) -> None:
    project.write("pack/PulumiPolicy.yaml", f"runtime: {project.runtime}\nversion: 1.2.3\n")
    project.write("pack/__main__.py", PACK)


def test_good_pack_lets_the_program_pass_and_its_output_is_shown(project: Project) -> None:
    shown = preview(project, "fine").passed()

    for line in (
        "printed before the pack serves",
        "on the pack's stderr",
        "analyzing fine",
        "[advisory]  count",
        "pack@v1.2.3",
        "+ 3 to create",
    ):
        assert line in shown
    project.home.wait_until_idle()


def test_mandatory_violation_fails_and_the_pack_knows_its_stack(project: Project) -> None:
    shown = preview(project, "bad").failed()

    assert "[mandatory]  names  (test:index:Thing: bad)" in shown
    assert "policed|dev|organization|True|bad|None" in shown
    project.home.wait_until_idle()


def test_violation_in_up_ends_the_program_that_still_runs(project: Project) -> None:
    project.run("config", "set", "other", "bad").passed()

    # Without its preview `up` registers the resource first, and the SDK then waits for the program's death.
    shown = project.run("up", "--yes", "--skip-preview", "--policy-pack", "pack").failed()

    assert "policed|dev|organization|False|bad|None" in shown
    assert "KeyboardInterrupt" not in shown
    project.home.wait_until_idle()
    project.run("destroy", "--yes", "--skip-preview").passed()


def test_import_error_in_the_pack_is_shown(project: Project) -> None:
    project.write("pack/__main__.py", "import no_such_module\n")

    shown = preview(project, "fine").failed()

    assert "ModuleNotFoundError: No module named 'no_such_module'" in shown
    assert f"policy pack {project.directory}/pack exited with non-zero exit code: 1 before it served" in shown
    project.home.wait_until_idle()


def test_pack_without_its_environment_is_reported(project: Project) -> None:
    project.write("pack/PulumiPolicy.yaml", "runtime: {name: python, options: {virtualenv: env}}\nversion: 1.2.3\n")

    shown = preview(project, "fine").failed()

    assert f"virtualenv {project.directory}/pack/env has no bin/python" in shown


def test_exception_in_a_policy_fails(project: Project) -> None:
    assert "the policy is broken" in preview(project, "crash").failed()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_hanging_policy_dies_with_the_cli(project: Project, number: signal.Signals) -> None:
    project.run("config", "set", "other", "hang").passed()
    with project.started("preview", "--policy-pack", "pack") as command:
        command.wait_for("analyzing hang")
        command.send(number)
        assert command.result(20).code != 0
    project.home.wait_until_idle()


def test_pack_that_never_serves_is_interrupted(project: Project) -> None:
    project.write("pack/__main__.py", "import time\nprint('pack is loading')\ntime.sleep(3600)\n")
    with project.started("preview", "--policy-pack", "pack") as command:
        command.wait_for("pack is loading")
        command.send(signal.SIGKILL)
        command.result(5)
    project.home.wait_until_idle()


def preview(project: Project, other: str) -> Result:
    """A preview with the pack of a program whose second resource is called ``other``."""
    project.run("config", "set", "other", other).passed()
    return project.run("preview", "--policy-pack", "pack")
