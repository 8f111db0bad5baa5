"""The import contract holds, and names every module it should."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

_PROJECT = Path(__file__).parents[2]
_BELOW = {
    "addressing",
    "conventions",
    "draft",
    "forms",
    "ground",
    "partial",
    "problems",
    "rules",
    "rules_network",
    "rules_placement",
    "settings",
    "spec",
    "stack_file",
    "yaml_reader",
}
_FOR_THE_COMMAND_LINE = {"checks", "docker_names", "engine_guard", "scripts"}


def _contract(name: str) -> dict[str, list[str]]:
    contracts = tomllib.loads((_PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [found] = [contract for contract in contracts if contract["name"].startswith(name)]
    assert isinstance(found, dict)
    return found


def _components() -> set[str]:
    directory = _PROJECT / "components"
    packages = {path.parent.name for path in directory.glob("*/__init__.py")}
    return packages | {path.stem for path in directory.glob("*.py")} - {"__init__"}


def test_the_contract_is_kept() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=_PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_component_is_kept_from_settings_and_from_the_command_line() -> None:
    components = {f"components.{name}" for name in _components() - _BELOW}
    assert set(_contract("Settings, and what")["forbidden_modules"]) == components
    allowed = {f"components.{name}" for name in _FOR_THE_COMMAND_LINE}
    assert set(_contract("The command line")["forbidden_modules"]) == components - allowed


def test_the_policy_pack_imports_nothing_of_the_others() -> None:
    """It runs as a program of its own; import-linter does not see it."""
    for file in (_PROJECT / "policy").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"components", "overlab", "plugins"}, file
