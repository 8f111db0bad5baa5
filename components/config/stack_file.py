"""The stack file ``Pulumi.<stack>.yaml``: the raw value of ``overlab:lab`` in it, and what is wrong with the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.config import yaml_reader
from components.config.problems import Problem, format_value, join_path
from components.config.yaml_reader import AmbiguousScalar, Unparsable

PROJECT = "overlab"
KEY = "lab"
FULL_KEY = f"{PROJECT}:{KEY}"
_STACK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
MAXIMUM_BYTES = 1 << 20
_FILE = "(file)"


@dataclass(frozen=True)
class StackFile:
    """What stands under ``overlab:lab``, as far as it could be read; the project's default where it is not set."""

    lab: object = None
    problems: list[Problem] = field(default_factory=list)


def path_of(project_dir: Path, stack: str) -> Path:
    """Where Pulumi looks for the stack's settings."""
    return project_dir / f"Pulumi.{stack}.yaml"


def stacks(project_dir: Path) -> list[str]:
    """The stacks that have a file, by name."""
    return sorted(path.name[len("Pulumi.") : -len(".yaml")] for path in project_dir.glob("Pulumi.*.yaml"))


def read(project_dir: Path, stack: str) -> StackFile:
    """Read the stack's file. Never raises for what a person wrote."""
    misnamed = name_problems(stack)
    if misnamed:
        return StackFile(problems=misnamed)
    path = path_of(project_dir, stack)
    if not path.exists():
        known = ", ".join(stacks(project_dir)) or "none"
        return _refused(_FILE, str(path), "the stack's settings file exists", f"stacks here: {known}")
    content, traps, problems = _load(path)
    if problems:
        return StackFile(problems=problems)
    if not isinstance(content, Mapping):
        return _refused(
            _FILE, format_value(content), "a mapping with the key config", f"write {FULL_KEY} under config:"
        )
    config = content.get("config")
    if not isinstance(config, Mapping | None):
        return _refused(
            "config", format_value(config), "a mapping of keys to values", f"write {FULL_KEY} under config:"
        )
    problems = [*_traps(traps), *_keys(config or {})]
    given = [key for key in (FULL_KEY, KEY) if key in (config or {})]
    lab = (config or {})[given[0]] if given else default(project_dir)
    return StackFile(_sort_keys(lab), problems)


def _sort_keys(value: object) -> object:
    """Mappings in the order of their keys: Pulumi keeps no other one, and "the first three nodes" must be the same."""
    if isinstance(value, Mapping):
        return {key: _sort_keys(value[key]) for key in sorted(value, key=str)}
    return [_sort_keys(part) for part in value] if isinstance(value, list) else value


def name_problems(stack: str) -> list[Problem]:
    """What is wrong with a stack's name. It becomes part of a file's name."""
    if _STACK_NAME.fullmatch(stack):
        return []
    rule = "a stack's name: letters, digits, '_', '.', '-', at most 100"
    return [Problem("(stack)", format_value(stack), rule, "name another stack")]


def default(project_dir: Path) -> object:
    """What ``Pulumi.yaml`` states for stacks that set nothing; None where it states none."""
    path = project_dir / "Pulumi.yaml"
    content = _load(path)[0] if path.exists() else None
    for key in ("config", FULL_KEY, "default"):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _refused(path: str, value: str, rule: str, remedy: str) -> StackFile:
    return StackFile(problems=[Problem(path, value, rule, remedy)])


def _load(path: Path) -> tuple[Any, list[AmbiguousScalar], list[Problem]]:
    try:
        with path.open("rb") as file:
            data = file.read(MAXIMUM_BYTES + 1)
        if len(data) > MAXIMUM_BYTES:
            raise Unparsable(str(path), f"at most {MAXIMUM_BYTES >> 20} MiB", "write less")
        content, traps = yaml_reader.read(data.decode("utf-8-sig"))
    except OSError as error:
        problem = Problem(_FILE, str(path), f"a file that can be read ({error.strerror})", "correct the file")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(_FILE, f"line {line}", f"UTF-8 text ({error.reason})", "save the file as UTF-8")
    except Unparsable as error:
        problem = Problem(_FILE, error.place, error.rule, error.remedy)
    else:
        return content, traps, []
    return None, [], [problem]


def _traps(traps: list[AmbiguousScalar]) -> list[Problem]:
    """Those in the lab's own value, and keys written twice anywhere: Pulumi itself refuses these."""
    found = []
    for trap in traps:
        inside = trap.path[:1] == ("config",) and trap.path[1:2] in ((FULL_KEY,), (KEY,))
        if inside or trap.rule.startswith("each key once"):
            path = join_path(KEY, *trap.path[2:]) if inside else join_path(*trap.path)
            found.append(Problem(path, format_value(trap.text), trap.rule, trap.remedy))
    return found


def _keys(config: Mapping[Any, Any]) -> list[Problem]:
    """A key without a namespace is the project's."""
    found = []
    for key, value in config.items():
        name = key.removeprefix(f"{PROJECT}:") if isinstance(key, str) else key
        if isinstance(key, str) and name != KEY and (key.startswith(f"{PROJECT}:") or ":" not in key):
            path = join_path("config", key)
            found.append(
                Problem(path, format_value(value), "unknown key", f"{FULL_KEY} is the only one of this project")
            )
    if FULL_KEY in config and KEY in config:
        found.append(
            Problem(f"config.{KEY}", "...", f"not beside {FULL_KEY}, which is the same", "remove one of the two")
        )
    return found
