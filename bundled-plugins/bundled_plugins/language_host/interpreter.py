"""Which Python runs a program: the ``runtime.options`` of Pulumi.yaml or PulumiPolicy.yaml."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import json_format
from pulumi.runtime.proto import language_pb2

_OPTIONS = {"toolchain", "virtualenv"}
_TOOLCHAINS = {"pip", "uv"}
_UV_ENVIRONMENT = ".venv"


class OptionError(Exception):
    """A runtime option that cannot be honored; the text names it, its file, and the remedy."""


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter and the virtual environment it belongs to, if one was asked for."""

    executable: Path
    virtualenv: Path | None

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` as it is inside the activated virtual environment."""
        environment = dict(base)
        if self.virtualenv is None:
            return environment
        environment["VIRTUAL_ENV"] = str(self.virtualenv)
        environment["PATH"] = os.pathsep.join(filter(None, [str(self.executable.parent), base.get("PATH")]))
        environment.pop("PYTHONHOME", None)
        return environment


def virtualenv_of(info: language_pb2.ProgramInfo) -> Path | None:
    """The directory the options name, relative to the one of Pulumi.yaml; it need not exist yet.

    ``toolchain: uv`` without ``virtualenv`` means ``.venv``. Raises ``OptionError`` for an option or a toolchain
    that this language host does not know: it is refused, never ignored.
    """
    options = json_format.MessageToDict(info.options)
    where = f"runtime options of {info.root_directory}"
    for name in sorted(options.keys() - _OPTIONS):
        raise OptionError(
            f"{where}: {name!r} is not supported by the bundled Python language host "
            f"(supported: {', '.join(sorted(_OPTIONS))}); remove it, or use the official language host"
        )
    for name, value in options.items():
        if not isinstance(value, str):
            raise OptionError(f"{where}: {name} is {value!r}, must be text")
    toolchain = options.get("toolchain") or "pip"
    named = options.get("virtualenv") or ""
    if not named and toolchain not in _TOOLCHAINS:
        raise OptionError(
            f"{where}: toolchain is {toolchain!r}, the bundled Python language host knows "
            f"{' and '.join(sorted(_TOOLCHAINS))}; name the environment with 'virtualenv', or use the official one"
        )
    if not named and toolchain == "uv":
        named = _UV_ENVIRONMENT
    return Path(os.path.normpath(Path(info.root_directory) / named)) if named else None


def interpreter_for(info: language_pb2.ProgramInfo) -> Interpreter:
    """The interpreter of the virtual environment that the options name, else the one of the PATH.

    Raises ``OptionError`` when there is none.
    """
    virtualenv = virtualenv_of(info)
    if virtualenv is not None:
        executable = virtualenv / "bin" / "python"
        if not os.access(executable, os.X_OK):
            raise OptionError(
                f"runtime options of {info.root_directory}: virtualenv {virtualenv} has no bin/python; make it "
                f"with `python3 -m venv {virtualenv}` and install the program's packages"
            )
        return Interpreter(executable, virtualenv)
    return interpreter_on_path()


def interpreter_on_path() -> Interpreter:
    """``PULUMI_PYTHON_CMD``, ``python3`` or ``python``. Raises ``OptionError`` when there is none."""
    stated = os.environ.get("PULUMI_PYTHON_CMD")
    candidates = [stated] if stated else ["python3", "python"]
    for name in candidates:
        found = shutil.which(name)
        if found:
            return Interpreter(Path(found), None)
    source = "PULUMI_PYTHON_CMD" if stated else "PATH"
    raise OptionError(
        f"no Python interpreter: {source} gives no executable {' or '.join(candidates)}; "
        "set the runtime option 'virtualenv' in Pulumi.yaml"
    )
