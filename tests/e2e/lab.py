"""A lab, driven as a user would: through the command line, inspected through libvirt, Docker and SSH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
OVERLAB = Path(sys.executable).with_name("overlab")
_LINES_OF_A_FAILURE = 30


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    command: list[str]
    code: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)

    @property
    def text(self) -> str:
        return self.stdout + self.stderr

    def ok(self) -> Done:
        last = "\n".join(self.text.splitlines()[-_LINES_OF_A_FAILURE:])
        assert self.code == 0, f"{' '.join(self.command)}: exit code {self.code}; its last lines:\n{last}"
        return self


ON_CONTAINERS = ("    machine:\n", "    machine:\n      kind: container\n")
"""A replacement in a stack file: nodes as containers instead of machines."""


def settings_of(stack: str, *replacements: tuple[str, str]) -> str:
    """The settings of a stack of this checkout, with texts replaced that occur in it once."""
    text = (PROJECT / f"Pulumi.{stack}.yaml").read_text("utf-8")
    for old, new in replacements:
        assert text.count(old) == 1, f"{stack}: {old!r}"
        text = text.replace(old, new)
    return text


@contextmanager
def stack_file(stack: str, text: str) -> Iterator[None]:
    """A stack of this checkout with these settings, until the block ends."""
    file = PROJECT / f"Pulumi.{stack}.yaml"
    with file.open("x", encoding="utf-8") as out:
        out.write(text)
    try:
        yield
    finally:
        file.unlink()


@contextmanager
def lab_of(stack: str, text: str, state: Path) -> Iterator[RealLab]:
    """A lab with these settings, not yet up; removed with its platform when the block ends."""
    with stack_file(stack, text):
        lab = RealLab(stack, state)
        try:
            yield lab
        finally:
            lab.overlab("down", "--platform", "--force")


@dataclass(frozen=True)
class RealLab:
    """One stack of this checkout."""

    stack: str
    state: Path
    """``XDG_STATE_HOME`` of the lab."""
    network: str | None = None
    """Network namespace in which commands on it run; None: this process's own."""
    exported: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the shell in which commands on it run."""

    @property
    def file(self) -> Path:
        """The stack's settings."""
        return PROJECT / f"Pulumi.{self.stack}.yaml"

    @property
    def environment(self) -> dict[str, str]:
        """Of every command on the lab."""
        return os.environ | self.exported | {"XDG_STATE_HOME": str(self.state)}

    def overlab(self, *arguments: str, limit_s: int = 2700, stdin: str | None = None) -> Done:
        """Run ``overlab --stack STACK ARGUMENTS``."""
        inside = [] if self.network is None else ["nsenter", f"--net=/run/netns/{self.network}", "--"]
        command = [*inside, str(OVERLAB), "--stack", self.stack, *arguments]
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=self.environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        print(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}", flush=True)
        return Done(command, done.returncode, done.stdout, done.stderr)

    def pulumi(self, *arguments: str) -> Done:
        """Run the plain CLI on the lab."""
        return self.overlab("pulumi", "--", *arguments)

    def on(self, node: str, script: str) -> str:
        """Standard output of a shell script that runs as root on a node."""
        return self.overlab("exec", node, "--", "sh", "-c", script).ok().stdout

    def until(self, node: str, condition: str, limit_s: int = 120) -> None:
        """Wait on a node until a shell condition holds there."""
        self.on(node, f"for n in $(seq {limit_s}); do {{ {condition}; }} && exit 0; sleep 1; done; exit 1")

    def until_reachable(self, node: str, limit_s: int = 600) -> None:
        """Wait until a node answers over SSH."""
        deadline = time.monotonic() + limit_s
        while self.overlab("exec", node, "--", "true").code != 0:
            assert time.monotonic() < deadline, f"{node} does not answer within {limit_s} s"
            time.sleep(5)

    def record(self) -> dict[str, Any]:
        """The platform record."""
        path = self.state / "overlab" / "labs" / self.stack / "platform.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def in_network(self, *command: str) -> Done:
        """Run a command at the platform's end of the lab network."""
        full = ["nsenter", f"--net=/run/netns/overlab-{self.stack}", *command]
        done = subprocess.run(full, capture_output=True, text=True, timeout=120, check=False)
        print(f"$ {' '.join(full)}\n{done.stdout}{done.stderr}", flush=True)
        return Done(full, done.returncode, done.stdout, done.stderr)

    def operations(self, *arguments: str) -> tuple[Done, Counter[str]]:
        """Run an update with ``--json`` events; what was done, counted by operation (``same`` left out)."""
        done = self.pulumi(*arguments, "--json")
        counts: Counter[str] = Counter()
        for line in done.stdout.splitlines():
            event = json.loads(line) if line.startswith("{") else {}
            summary = event.get("summaryEvent")
            if summary:
                counts = Counter({op: n for op, n in summary["resourceChanges"].items() if op != "same"})
        return done, counts

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        outputs: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json").ok().stdout)
        return outputs

    def resources(self) -> list[dict[str, Any]]:
        """What the state holds."""
        deployment = json.loads(self.pulumi("stack", "export").ok().stdout)["deployment"]
        found: list[dict[str, Any]] = deployment.get("resources") or []
        return found

    def urn(self, name: str) -> str:
        """The URN of the resource with this logical name."""
        (urn,) = [r["urn"] for r in self.resources() if r["urn"].rsplit("::", 1)[1] == name]
        return str(urn)
