"""Commands on a machine through the real CLI and a real sshd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.conftest import pulumi_cli, pulumi_home
from conformance.engine import Home, Project
from conformance.sshd import Sshd, private_sshd

ROOT = Path(__file__).parents[2]
__all__ = ["pulumi_cli", "pulumi_home"]
pytestmark = pytest.mark.slow

PROGRAM = f"""
import json
import sys
from ipaddress import IPv4Address
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
import pulumi
import pulumi_command as command
from components._base import Args, Component, Public
from components.config import conventions
from components.remote import RemoteHost, SshAccess

given = json.load(open("given.json"))
conventions.SSH_PORT = given["port"]


class StepArgs(Args):
    limit_s: Public[int]


class Step(Component[StepArgs]):
    TOKEN = "overlab:index:Step"


keys = Path("keys").resolve()
access = SshAccess(
    client_key=keys / "client", client_public_key=keys / "client", known_hosts=keys / "host", control_dir=keys
)
provider = command.Provider("commands")
# Stands for the machine: something with an id.
domain = command.local.Command("domain", create="true", opts=pulumi.ResourceOptions(provider=provider))
host = RemoteHost(IPv4Address("127.0.0.1"), keys / "host", access, provider, domain)
step = Step("step", StepArgs(limit_s=given["limit_s"]), None)
script = pulumi.Output.secret(given["script"]) if given["secret"] else given["script"]
ran = host.run("docker01-step", script, step.child_options(), limit_s=given["limit_s"])
pulumi.export("stdout", ran.stdout)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with private_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def project(pulumi_home: Home, server: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    pulumi_home.add_plugin("resource", "command", "1.2.1", "bundled_plugins.command")
    project = Project(pulumi_home, tmp_path_factory.mktemp("project") / "remote").create()
    project.write("__main__.py", PROGRAM)
    (project.directory / "keys").mkdir()
    (project.directory / "keys" / "client").write_text(server.client_key.private)
    (project.directory / "keys" / "host").write_text(server.host_key.public)
    yield project
    project.run("destroy", "--yes", "--skip-preview")
    pulumi_home.wait_until_idle()


def give(project: Project, server: Sshd, script: str, limit_s: int = 30, *, secret: bool = False) -> None:
    given = {"port": server.port, "script": script, "limit_s": limit_s, "secret": secret}
    (project.directory / "given.json").write_text(json.dumps(given))


def test_a_script_runs_once_and_its_output_is_valid_text(project: Project, server: Sshd) -> None:
    give(project, server, "printf 'a\\377b\\n'; printf '\\303\\n' >&2")
    assert "created" in project.up(PROGRAM).passed()
    assert json.loads(project.run("stack", "output", "--json").passed()) == {"stdout": "a?b"}
    assert "unchanged" in project.up(PROGRAM).passed()


def test_an_error_shows_the_step_and_not_its_script(project: Project, server: Sshd) -> None:
    give(project, server, "token=PRIVATE; echo no leader >&2; exit 3", secret=True)
    text = project.up(PROGRAM).failed()
    assert "exec sh -s # docker01-step" in text
    assert "no leader" in text
    assert "PRIVATE" not in text
    assert "token=" not in text


def test_a_script_that_does_not_end_is_ended_on_the_machine(project: Project, server: Sshd, tmp_path: Path) -> None:
    give(project, server, f"echo $$ >{tmp_path}/pid; sleep 80", 2)
    assert "docker01-step did not end within 2 s" in project.up(PROGRAM).failed()
    assert not Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline").exists()


def test_a_preview_shows_a_changed_input_at_the_component(project: Project, server: Sshd) -> None:
    give(project, server, "true", 30)
    project.up(PROGRAM).passed()
    give(project, server, "true", 40)
    text = project.run("preview", "--diff").passed()
    assert "overlab:index:Step: (update)" in text
    assert "limit_s: 30 => 40" in text
