"""The import contracts hold, and cover every component."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PROJECT = Path(__file__).parents[2]


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_contracts_are_kept() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=_PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_stands_directly_in_components_is_a_component_or_uses_pulumi() -> None:
    """The contract that keeps the command line from components forbids ``components._base`` and Pulumi's SDKs."""
    for file in (_PROJECT / "components").glob("[a-z]*.py"):
        assert {"components._base", "pulumi"} & set(_imports(file)), file


def test_the_policy_pack_imports_nothing_of_the_others() -> None:
    """It runs as a separate program; import-linter does not see it."""
    for file in (_PROJECT / "policy").rglob("*.py"):
        assert not {name.split(".")[0] for name in _imports(file)} & {"components", "overlab", "bundled_plugins"}, file
