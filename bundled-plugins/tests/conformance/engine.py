"""The real Pulumi CLI with a private home, backend and bundled plugins, for tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from conformance.harness import ROOT, other_plugins, until

RUN_LIMIT_S = 90.0


@dataclass(frozen=True)
class Result:
    """How a command ended; ``text`` is stdout and stderr as they came."""

    code: int
    text: str

    def passed(self) -> str:
        assert self.code == 0, self.text
        return self.text

    def failed(self) -> str:
        assert self.code != 0, self.text
        return self.text


class Home:
    """A PULUMI_HOME with bundled plugins, a ``file://`` backend beside it, and the CLI in a separate directory."""

    def __init__(self, directory: Path, cli: Path) -> None:
        self.directory = directory
        (directory / "backend").mkdir(parents=True)
        (directory / "bin").mkdir()
        # A language host beside the CLI's real file would win over the one in the home.
        _link_or_copy(cli.resolve(), directory / "bin" / "pulumi")
        self.environment = {
            # PYTHONUNBUFFERED, for one, hides what is not flushed.
            **{name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "PYTHON"))},
            "PATH": os.pathsep.join([str(directory / "bin"), os.environ["PATH"]]),
            "PULUMI_HOME": str(directory / "home"),
            "PULUMI_BACKEND_URL": f"file://{directory / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        }

    def add_plugin(self, kind: str, name: str, version: str, module: str) -> None:
        """A launcher as it is installed for the product, or the plugin that is tested in place of the bundled one."""
        launcher = self.directory / "home" / "plugins" / f"{kind}-{name}-v{version}" / f"pulumi-{kind}-{name}"
        launcher.parent.mkdir(parents=True)
        others = other_plugins()
        if others is not None and kind == "resource":
            launcher.symlink_to(others / launcher.name)
            return
        launcher.write_text(
            f"#!/bin/sh\n'''exec' '{sys.executable}' \"$0\" \"$@\"\n' '''\n"
            f"import sys\nsys.path[0] = {str(ROOT)!r}\n"
            f"from {module}.__main__ import main\nsys.exit(main())\n"
        )
        launcher.chmod(0o755)

    def processes(self) -> dict[int, str]:
        """Ids and command lines of all living processes that were started, at any remove, with this home."""
        mark = f"PULUMI_HOME={self.environment['PULUMI_HOME']}".encode()
        found = {}
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                variables = (process / "environ").read_bytes().split(b"\0")
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue  # ended meanwhile
            if mark in variables:
                found[int(process.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found

    def close(self) -> None:
        """Kill what a failed test did not end."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_until_idle(self, limit_s: float = 15) -> None:
        """No process of this home is left."""
        until(lambda: not self.processes(), limit_s, lambda: f"still running: {self.processes()}")


@dataclass
class Project:
    """A Pulumi project with one stack, ``dev``."""

    home: Home
    directory: Path
    name: str = "proj"
    runtime: str = field(default_factory=lambda: f"{{name: python, options: {{virtualenv: {sys.prefix}}}}}")

    def create(self) -> Project:
        self.directory.mkdir(parents=True)
        self.write("Pulumi.yaml", f"name: {self.name}\nruntime: {self.runtime}\n")
        self.run("stack", "init", "dev").passed()
        return self

    def write(self, name: str, text: str) -> Path:
        """A file of the project; the text is dedented."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    def run(self, *arguments: str, limit_s: float = RUN_LIMIT_S, **variables: str) -> Result:
        """Run ``pulumi ARGUMENTS`` to its end."""
        with self.started(*arguments, **variables) as command:
            return command.result(limit_s)

    def up(self, text: str, *arguments: str) -> Result:
        """``pulumi up`` without the preview, of a program with this text."""
        self.write("__main__.py", text)
        return self.run("up", "--yes", "--skip-preview", *arguments)

    @contextmanager
    def started(self, *arguments: str, **variables: str) -> Iterator[Command]:
        """Run ``pulumi ARGUMENTS`` while the block runs; killed at its end if it still runs."""
        process = subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.directory,
            env={**self.home.environment, **variables},
            executable=str(self.home.directory / "bin" / "pulumi"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        command = Command(process)
        try:
            yield command
        finally:
            if process.poll() is None:
                process.kill()
            command.result(10)


class Command:
    """A running CLI and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._printed = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return self._printed.decode(errors="replace")

    def wait_for(self, text: str, limit_s: float = 60) -> None:
        """The CLI has printed ``text``."""
        until(lambda: text in self.text, limit_s, lambda: f"no {text!r} in what was printed:\n{self.text}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def result(self, limit_s: float) -> Result:
        try:
            code = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"pulumi still ran after {limit_s:.0f} s; it printed:\n{self.text}") from None
        self._reader.join(10)
        return Result(code, self.text)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while chunk := os.read(stream.fileno(), 65536):
                self._printed += chunk


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
