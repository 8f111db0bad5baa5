"""``command:local:Command``: a command on the machine that runs Pulumi."""

from __future__ import annotations

import os
from typing import Any

from bundled_plugins.command import process
from bundled_plugins.command.client import Running
from bundled_plugins.command.commands import Command, CommandInputs, Result, failure
from bundled_plugins.command.output import Capture, Display
from bundled_plugins.runtime.errors import ProviderError

DEFAULT_INTERPRETER = ("/bin/sh", "-c")


class LocalCommandInputs(CommandInputs):
    """Inputs of ``command:local:Command``."""

    unsupported = ("archivePaths", "assetPaths")

    dir: str | None = None
    interpreter: list[str] | None = None


class LocalCommand(Command):
    """A command in a new session, so that ending it ends its children."""

    token = "command:local:Command"
    model = LocalCommandInputs

    def run(self, run: Running, inputs: Any, command: str, previous: dict[str, str]) -> Result:
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
            raise ProviderError(failure(run, process.describe_exit(status), command, capture))
        return Result(capture.stdout, capture.stderr)
