"""One small lab under the real CLI: up, no change, changed trigger, a long error, destroy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.engine import Home, Project
from conformance.sshd import Sshd

pytestmark = [pytest.mark.root, pytest.mark.slow]

PROGRAM = """
import json
import pulumi
from pulumi_command import local, remote

given = json.loads(open("given.json").read())
connection = remote.ConnectionArgs(**given["connection"])
made = local.Command("made", create="echo local", delete=f"echo deleted >> {given['log']}")
copied = remote.CopyToRemote(
    "copied", connection=connection, source=pulumi.StringAsset(given["text"]), remote_path=given["log"] + ".copy"
)
ran = remote.Command(
    "ran",
    connection=connection,
    create=pulumi.Output.concat("cat ", copied.remote_path, "; echo ran >> ", given["log"]),
    stdin=pulumi.Output.secret("t0ps3cret"),
    triggers=given["triggers"],
    add_previous_output_in_env=False,
)
if given["fail"]:
    local.Command("failing", create=given["fail"], logging="none")
pulumi.export("local", made.stdout)
pulumi.export("remote", ran.stdout)
"""


@pytest.fixture(scope="module")
def project(pulumi_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    pulumi_home.add_plugin("resource", "command", "1.2.1", "bundled_plugins.command")
    project = Project(pulumi_home, tmp_path_factory.mktemp("project") / "commands").create()
    yield project
    project.run("destroy", "--yes", "--skip-preview")
    pulumi_home.wait_until_idle()


def test_the_lifecycle_of_a_program(project: Project, sshd: Sshd, tmp_path: Path) -> None:
    log = tmp_path / "log"
    snake = {"privateKey": "private_key", "hostKey": "host_key", "dialErrorLimit": "dial_error_limit",
             "perDialTimeout": "per_dial_timeout"}  # fmt: skip
    connection = {snake.get(name, name): value for name, value in sshd.connection().items()}
    given: dict[str, object] = {
        "connection": connection,
        "log": str(log),
        "text": "copied text",
        "triggers": ["1"],
        "fail": "",
    }

    def up(**changed: object) -> str:
        given.update(changed)
        project.write("given.json", json.dumps(given))
        return project.up(PROGRAM).passed()

    first = up()
    assert "+ 4 created" in first
    assert json.loads(project.run("stack", "output", "--json").passed()) == {"local": "local", "remote": "copied text"}
    state = project.run("stack", "export").passed()
    assert sshd.client_key.private.splitlines()[1] not in state
    assert "t0ps3cret" not in state
    assert "t0ps3cret" not in first

    assert "4 unchanged" in up()
    assert "4 unchanged" in project.run("refresh", "--yes", "--skip-preview").passed()
    preview = project.run("preview", "--expect-no-changes")
    assert preview.code == 0, preview.text

    assert "+-1 replaced" in up(triggers=["2"])
    changed = up(text="other text")
    assert "~ 1 updated" in changed
    assert Path(f"{log}.copy").read_text() == "other text"

    # An error far longer than gRPC's usual limit for what it travels in.
    project.write("given.json", json.dumps(given | {"fail": "seq 1 200000; exit 7 #" + "x" * 100_000}))
    failed = project.up(PROGRAM).failed()
    assert 'exit status 7: running "seq 1 200000; exit 7 #xxx' in failed
    assert "199999\n" in failed

    destroyed = project.run("destroy", "--yes", "--skip-preview").passed()
    assert "- 4 deleted" in destroyed
    assert log.read_text().splitlines() == ["ran", "ran", "deleted"]
