"""`pulumi install`: makes the virtual environment and installs ``requirements.txt``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pulumi.runtime.proto import language_pb2

from bundled_plugins.language_host.interpreter import Interpreter, interpreter_for, interpreter_on_path, virtualenv_of
from bundled_plugins.language_host.output import Output
from bundled_plugins.language_host.process import Child, Children, describe_exit

Responses = Iterator[language_pb2.InstallDependenciesResponse]


class InstallError(Exception):
    """A step failed; what it printed was streamed before."""


def install_dependencies(info: language_pb2.ProgramInfo, children: Children) -> Responses:
    """Stream what the steps print. An existing environment is kept. Raises ``OptionError`` or ``InstallError``."""
    virtualenv = virtualenv_of(info)
    if virtualenv is not None and not (virtualenv / "bin" / "python").exists():
        yield _line(f"Making the virtual environment {virtualenv}")
        yield from _run(interpreter_on_path(), ["venv", str(virtualenv)], info.program_directory, children)
    requirements = Path(info.program_directory) / "requirements.txt"
    if not requirements.exists():
        yield _line(f"Nothing to install: there is no {requirements}")
        return
    interpreter = interpreter_for(info)
    yield _line(f"Installing {requirements} with {interpreter.executable}")
    yield from _run(
        interpreter, ["pip", "install", "--requirement", str(requirements)], info.program_directory, children
    )


def _run(interpreter: Interpreter, module: list[str], directory: str, children: Children) -> Responses:
    child = Child(interpreter, ["module", *module], directory=directory, environment=os.environ, piped=True)
    children.add(child)
    output = Output()
    output.pump("stdout", child.stdout)
    output.pump("stderr", child.stderr)
    output.close_after(child)
    try:
        for stream, chunk in output:
            if stream == "stdout":
                yield language_pb2.InstallDependenciesResponse(stdout=chunk)
            else:
                yield language_pb2.InstallDependenciesResponse(stderr=chunk)
        code = child.wait()
        if code:
            raise InstallError(f"`{interpreter.executable} -m {' '.join(module)}` {describe_exit(code)}")
    finally:
        child.stop()
        children.discard(child)


def _line(text: str) -> language_pb2.InstallDependenciesResponse:
    return language_pb2.InstallDependenciesResponse(stdout=f"{text}\n".encode())
