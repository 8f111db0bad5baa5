"""The scripts that run in the interpreter of the program."""

from __future__ import annotations

import ast
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bundled_plugins.language_host import describe, runner

pytestmark = pytest.mark.bundled_only("language host")


@pytest.mark.parametrize("script", [runner, describe])
def test_scripts_for_foreign_interpreters_stand_alone(script: Any) -> None:
    tree = ast.parse(Path(script.__file__).read_text(), feature_version=(3, 9))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= set(sys.stdlib_module_names) | {"pulumi"}


def test_no_neighbor_of_the_scripts_hides_a_standard_module() -> None:
    # Until its first lines have run, the script's own directory comes first on the path.
    neighbors = {path.stem for path in Path(runner.__file__).parent.glob("*.py")}
    assert not neighbors & set(sys.stdlib_module_names)


def test_traceback_without_a_frame_of_the_program_is_complete(tmp_path: Path) -> None:
    try:
        json.loads("{")
    except ValueError as error:
        text = runner.render_for_user(error, tmp_path)
    assert "test_language_host_runner.py" in text
    assert "JSONDecodeError" in text


def test_traceback_of_a_group_and_of_causes_is_cut_in_each_part(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "def fail(text):\n    raise ValueError(text)\n"
        "def group():\n"
        "    errors = []\n"
        "    for text in ('one', 'two'):\n"
        "        try:\n            fail(text)\n"
        "        except ValueError as error:\n            errors.append(error)\n"
        "    raise ExceptionGroup('both', errors)\n"
    )
    scope: dict[str, Any] = {}
    exec(compile(program.read_text(), str(program), "exec"), scope)
    try:
        scope["group"]()
    except ExceptionGroup as error:
        text = runner.render_for_user(error, tmp_path)
    assert "test_language_host_runner.py" not in text
    assert text.count("in fail") == 2


def test_an_error_awaited_by_two_keeps_its_line(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("async def fail():\n    raise ValueError('lost')\n")
    scope: dict[str, Any] = {}
    exec(compile(program.read_text(), str(program), "exec"), scope)
    loop = asyncio.new_event_loop()
    origins = runner.Origins(loop)

    async def both() -> None:
        task = loop.create_task(scope["fail"]())
        for _ in range(2):
            try:
                await task
            except ValueError as error:
                last = error
        raise last

    try:
        loop.run_until_complete(both())
    except ValueError as error:
        text = runner.render_for_user(error, tmp_path, origins)
    finally:
        loop.close()
    assert "line 2, in fail" in text
    assert "test_language_host_runner.py" not in text
