"""Starts a Pulumi program and reports how it ended."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pulumi.runtime.proto import language_pb2

from bundled_plugins.language_host.interpreter import interpreter_for
from bundled_plugins.language_host.process import Child, describe_exit
from bundled_plugins.language_host.runner import EXIT_REPORTED


def start_program(request: language_pb2.RunRequest, engine: str) -> Child:
    """The program's child process; its stdout and stderr are this process's own, so they reach the user as they come.

    Config travels in the environment, never in the arguments: secrets are among it, in clear.
    Raises ``OptionError`` without an interpreter, ``OSError`` when it cannot be started.
    """
    info = request.info
    settings = {
        "monitor": request.monitor_address,
        "engine": engine,
        "project": request.project,
        "stack": request.stack,
        "organization": request.organization,
        "root-directory": info.root_directory,
        "pwd": request.pwd,
        "parallel": str(request.parallel),
    }
    # As --name=value, so that an empty value or one with a leading dash stays a value.
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    if request.dryRun:
        arguments.append("--dry-run")
    entry = os.path.normpath(Path(info.program_directory, info.entry_point or "."))
    return Child(
        interpreter_for(info),
        ["program", *arguments, entry, *request.args],
        directory=request.pwd,
        environment={
            **os.environ,
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        },
        piped=False,
    )


def outcome(child: Child) -> language_pb2.RunResponse:
    """How the program ended, once it has. Nothing is added to what was reported already, nor to a ^C."""
    code = child.wait()
    if code == 0:
        return language_pb2.RunResponse()
    if code == EXIT_REPORTED or child.was_stopped:
        return language_pb2.RunResponse(bail=True)
    return language_pb2.RunResponse(error=f"program {describe_exit(code)}")
