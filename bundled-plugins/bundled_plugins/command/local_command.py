"""``command:local:Command`` and ``command:local:run``: a command on the machine that runs Pulumi."""

from __future__ import annotations

import os
from typing import Any

from bundled_plugins.command import process
from bundled_plugins.command.assets import Globs
from bundled_plugins.command.client import Running, running
from bundled_plugins.command.commands import Command, Lifecycle, Result, Shell, failure
from bundled_plugins.command.output import Capture, Display
from bundled_plugins.runtime.errors import CheckFailure, ProviderError
from bundled_plugins.runtime.resource import Function, Operation
from bundled_plugins.runtime.values import Properties

DEFAULT_INTERPRETER = ("/bin/sh", "-c")


class LocalShell(Shell):
    """Inputs of a local command, whatever starts it."""

    dir: str | None = None
    interpreter: list[str] | None = None
    asset_paths: list[str] | None = None
    archive_paths: list[str] | None = None


class LocalCommandInputs(LocalShell, Lifecycle):
    """Inputs of ``command:local:Command``."""


class RunInputs(LocalShell):
    """Arguments of ``command:local:run``."""

    command: str


class LocalCommand(Command):
    """A command in a session of its own, so that ending it ends its children."""

    token = "command:local:Command"
    model = LocalCommandInputs

    def run(self, run: Running, inputs: Any, command: str, previous: dict[str, str]) -> Result:
        return run_local(run, inputs, command, previous)

    def nothing(self, inputs: Any) -> Result:
        return Result(extra=_collected(inputs))

    def outputs_only(self, inputs: Properties) -> tuple[str, ...]:
        globs = {"assetPaths": "assets", "archivePaths": "archive"}
        return ("stdout", "stderr", *(output for name, output in globs.items() if inputs.get(name) is not None))


class Run(Function):
    """Runs at once, in previews too."""

    token = "command:local:run"

    def check(self, args: Properties) -> list[CheckFailure]:
        return RunInputs.failures(args, self.token)

    def call(self, op: Operation, args: Properties) -> Properties:
        inputs = RunInputs.parse(args)
        with running(op, args) as run:
            return args | run_local(run, inputs, inputs.command, {}).outputs


def run_local(run: Running, inputs: LocalShell, command: str, previous: dict[str, str]) -> Result:
    """Run one command; ProviderError if it fails."""
    display = Display(run.op.log, run.mask, inputs.logging)
    capture = Capture(display)
    invocation = process.Invocation(
        argv=[*(inputs.interpreter or DEFAULT_INTERPRETER), command],
        directory=inputs.dir,
        environment={**os.environ, **(inputs.environment or {}), **previous},
        stdin=inputs.stdin,
    )
    try:
        status = process.run(invocation, capture, run.stop)
    except ProviderError as error:
        raise type(error)(failure(run, str(error), command, capture)) from None
    finally:
        display.close()
    if status != 0:
        raise ProviderError(failure(run, process.ending(status), command, capture))
    return Result(capture.stdout, capture.stderr, _collected(inputs))


def _collected(inputs: LocalShell) -> Properties:
    """The files that the globs name, after the command ran."""
    found: Properties = {}
    if inputs.asset_paths is not None:
        found["assets"] = Globs(inputs.asset_paths).assets(inputs.dir or ".")
    if inputs.archive_paths is not None:
        found["archive"] = Globs(inputs.archive_paths).archive(inputs.dir or ".")
    return found
