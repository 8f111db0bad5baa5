"""What a program's environment has installed: the plugins its SDKs need, and its dependencies."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundled_plugins.language_host.interpreter import Interpreter

_DESCRIBE = Path(__file__).with_name("describe.py")
_TIMEOUT_S = 60


class DescribeError(Exception):
    """The program's interpreter could not list its packages; the text holds which and what it printed."""


@dataclass(frozen=True)
class Plugin:
    """A resource plugin that an installed SDK asks for. ``version`` has a leading ``v``; ``server`` may be empty."""

    name: str
    version: str
    server: str


@dataclass(frozen=True)
class Environment:
    """What ``describe.py`` found with a program's interpreter."""

    executable: str
    version: str
    distributions: tuple[tuple[str, str], ...]
    plugins: tuple[Plugin, ...]


def describe(interpreter: Interpreter, base: dict[str, str], directory: str) -> Environment:
    """Ask ``interpreter``, started in ``directory`` with the environment ``base``. Raises ``DescribeError``."""
    command = [str(interpreter.executable), str(_DESCRIBE)]
    try:
        asked = subprocess.run(
            command,
            cwd=directory,
            env=interpreter.environment(base),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        found = json.loads(asked.stdout)
    except subprocess.CalledProcessError as error:
        raise DescribeError(f"{interpreter.executable} failed to list its packages: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise DescribeError(f"{interpreter.executable} did not list its packages within {_TIMEOUT_S} s") from error
    except (OSError, ValueError) as error:
        raise DescribeError(f"{interpreter.executable} could not list its packages: {error}") from error
    versions = {_canonical(each["name"]): each["version"] for each in found["distributions"]}
    return Environment(
        executable=found["executable"],
        version=found["version"],
        distributions=tuple((each["name"], each["version"]) for each in found["distributions"]),
        plugins=tuple(_plugin(each, versions) for each in found["plugins"] if each.get("resource")),
    )


def _plugin(marker: dict[str, Any], versions: dict[str, str]) -> Plugin:
    """What the marker leaves out follows from its package: ``pulumi_docker`` 5.1.0 needs ``docker`` v5.1.0."""
    package = _canonical(marker["package"])
    version = marker.get("version") or versions.get(package, "")
    return Plugin(
        name=marker.get("name") or package.removeprefix("pulumi-"),
        version=version if not version or version.startswith("v") else f"v{version}",
        server=marker.get("server") or "",
    )


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
