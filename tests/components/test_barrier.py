"""A barrier under the real engine: what comes after it is replaced with what came before it, and else unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.conftest import pulumi_cli, pulumi_home
from conformance.engine import Home, Project

__all__ = ["pulumi_cli", "pulumi_home"]
pytestmark = pytest.mark.slow

PROGRAM = f"""
import json
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import pulumi
import pulumi_command as command
from components.barrier import Barrier, BarrierArgs

given = json.load(open("given.json"))
provider = command.Provider("commands")
options = pulumi.ResourceOptions(provider=provider)
before = [
    command.local.Command(f"before{{n}}", create=f"echo {{text}}", triggers=[text], opts=options)
    for n, text in enumerate(given)
]
identities = tuple(one.id for one in before)
facts = {{"text": [one.stdout for one in before]}}
passed = Barrier("passed", BarrierArgs(command_provider=provider, identities=identities, facts=facts))
after = [
    command.local.Command(
        f"after{{n}}", create=passed.facts.apply(lambda facts: "echo " + " ".join(facts["text"])), triggers=[passed.id],
        opts=options,
    )
    for n in range(2)
]
pulumi.export("after", [one.stdout for one in after])
"""


@pytest.fixture(scope="module")
def project(pulumi_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    pulumi_home.add_plugin("resource", "command", "1.2.1", "bundled_plugins.command")
    project = Project(pulumi_home, tmp_path_factory.mktemp("project") / "barrier").create()
    project.write("__main__.py", PROGRAM)
    yield project
    project.run("destroy", "--yes", "--skip-preview")
    pulumi_home.wait_until_idle()


def after(project: Project) -> list[str]:
    found: list[str] = json.loads(project.run("stack", "output", "--json").passed())["after"]
    return found


def test_what_comes_after_follows_what_came_before(project: Project, tmp_path: Path) -> None:
    def up(*texts: str) -> str:
        project.write("given.json", json.dumps(texts))
        return project.up(PROGRAM).passed()

    assert "created" in up("a", "b")
    assert after(project) == ["a b", "a b"]
    assert "8 unchanged" in up("a", "b")

    project.write("given.json", json.dumps(["a", "c"]))
    preview = project.run("preview", "--diff").passed()
    assert preview.count("+-command:local:Command: (replace)") == 4, "one before, the barrier, both after"
    assert "4 replaced" in up("a", "c")
    assert after(project) == ["a c", "a c"]
    assert "unchanged" in up("a", "c")

    dependencies = {
        item["urn"].rpartition("::")[2]: item.get("dependencies", [])
        for item in json.loads(project.run("stack", "export").passed())["deployment"]["resources"]
    }
    assert len(dependencies["passed"]) == 2
    assert len(dependencies["after0"]) == 1, "the barrier stands for all that is behind it"
