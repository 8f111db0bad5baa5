"""A real lab, driven as a person would: through the command line, looked at through libvirt and SSH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
OVERLAB = Path(sys.executable).with_name("overlab")
_LINES_OF_A_FAILURE = 30


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    command: list[str]
    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr

    def ok(self) -> Done:
        last = "\n".join(self.text.splitlines()[-_LINES_OF_A_FAILURE:])
        assert self.code == 0, f"{' '.join(self.command)}: exit code {self.code}; its last words:\n{last}"
        return self


@contextmanager
def stack_file(stack: str, text: str) -> Iterator[None]:
    """A stack of this checkout with these settings, for a while."""
    file = PROJECT / f"Pulumi.{stack}.yaml"
    with file.open("x", encoding="utf-8") as out:
        out.write(text)
    try:
        yield
    finally:
        file.unlink()


@dataclass(frozen=True)
class RealLab:
    """One stack of this checkout."""

    stack: str
    state: Path
    """``XDG_STATE_HOME`` of the lab."""
    network: str | None = None
    """Network namespace in which a person would sit who drives it; None: this one."""

    @property
    def file(self) -> Path:
        """The stack's settings."""
        return PROJECT / f"Pulumi.{self.stack}.yaml"

    @property
    def environment(self) -> dict[str, str]:
        """Of every command on the lab."""
        return os.environ | {"XDG_STATE_HOME": str(self.state)}

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
