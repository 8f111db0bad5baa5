"""The program itself, with the stacks that come with it, passes under the pack and the stack's policy configuration.

Nothing is created: the platform record names libvirt's own test driver, or an engine that answers pings alone, and a
preview contacts no node.
"""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
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


@pytest.mark.parametrize(("stack", "kind"), [("dev", "vm"), ("ci", "vm"), ("site", "vm"), ("dev", "container")])
def test_the_stack_passes(policed_home: Home, tmp_path: Path, engine: str, stack: str, kind: str) -> None:
    result = _preview(policed_home, tmp_path, engine, stack, kind)

    result.passed()
    assert mandatory(result) == set()
    assert {one.rule for one in reported(result)} <= USUAL_ADVICE, result.text
    assert ("overlab:index:NodeContainer" in result.text) is (kind == "container")


class _Pinged(BaseHTTPRequestHandler):
    """An engine that answers, as the provider asks when it is configured, and does nothing else."""

    def do_GET(self) -> None:  # the base class's name
        self.send_response(200 if self.path.endswith("/_ping") else 500)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "engine"), _Pinged) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{tmp_path}/engine"
        server.shutdown()


def _preview(home: Home, directory: Path, engine: str, stack: str, kind: str) -> Result:
    """A preview of the program in a project of its own, so that the stack's file in the checkout stays as it is."""
    project = Project(home, directory / "project", name="overlab")
    project.directory.mkdir()
    for name in _LINKED:
        (project.directory / name).symlink_to(ROOT / name)
    settings = (ROOT / f"Pulumi.{stack}.yaml").read_text()
    settings = re.sub(r"(?m)^encryptionsalt:.*\n", "", settings)  # another backend's
    settings = re.sub(r"(?m)^    machine:\n", f"    machine:\n      kind: {kind}\n", settings)
    project.write(f"Pulumi.{stack}.yaml", settings)
    (directory / "platform").mkdir()
    found = parse(read_stack_file(project.directory, stack), stack)
    platform = platform_for(found, directory / "platform").model_dump_json()
    record = directory / "platform.json"
    platform = re.sub(r'"uri":"[^"]*"', '"uri":"test:///default"', platform)
    record.write_text(re.sub(r'"docker_host":"[^"]*"', f'"docker_host":"{engine}"', platform))
    project.run("stack", "init", stack).passed()
    configuration = str(PACK / f"{stack}.json")
    arguments = ["preview", "--stack", stack, "--policy-pack", str(PACK), "--policy-pack-config", configuration]
    result = project.run(*arguments, limit_s=LIMIT_S, **{RECORD_ENV: str(record)})
    project.run("stack", "rm", "--yes", stack).passed()
    return result
