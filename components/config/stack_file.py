"""The stack file ``Pulumi.<stack>.yaml``: the raw value of ``overlab:lab`` in it, and the problems of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.config import yaml_reader
from components.config.compose import is_encrypted
from components.config.problems import Problem, format_value, join_path
from components.config.yaml_reader import AmbiguousScalar, Unparsable

PROJECT = "overlab"
KEY = "lab"
FULL_KEY = f"{PROJECT}:{KEY}"
_STACK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
MAXIMUM_BYTES = 1 << 20
_FILE = "(file)"


@dataclass(frozen=True)
class StackFile:
    """The value of ``overlab:lab``, as far as it could be read; the project's default where it is not set."""

    lab: object = None
    problems: list[Problem] = field(default_factory=list)


def path_of(project_dir: Path, stack: str) -> Path:
    """Where Pulumi looks for the stack's settings."""
    return project_dir / f"Pulumi.{stack}.yaml"


def stacks(project_dir: Path) -> list[str]:
    """The stacks that have a file, by name."""
    return sorted(path.name[len("Pulumi.") : -len(".yaml")] for path in project_dir.glob("Pulumi.*.yaml"))


def read(project_dir: Path, stack: str) -> StackFile:
    """Read the stack's file. Never raises for its content."""
    if problems := name_problems(stack):
        return StackFile(problems=problems)
    path = path_of(project_dir, stack)
    if not path.exists():
        known = ", ".join(stacks(project_dir)) or "none"
        return _refused(_FILE, str(path), "the stack's settings file exists", f"stacks here: {known}")
    content, ambiguous, problems = _load(path)
    if problems:
        return StackFile(problems=problems)
    if not isinstance(content, Mapping):
        rule = "a mapping with the key config"
        return _refused(_FILE, format_value(content), rule, f"write {FULL_KEY} under config:")
    config = content.get("config")
    if not isinstance(config, Mapping | None):
        rule = "a mapping of keys to values"
        return _refused("config", format_value(config), rule, f"write {FULL_KEY} under config:")
    keys = [key for key in (FULL_KEY, KEY) if key in (config or {})]
    lab = (config or {})[keys[0]] if keys else default(project_dir)
    problems = [*_ambiguous(ambiguous), *_keys(config or {}), *_misplaced_secrets(lab, (KEY,))]
    return StackFile(_sort_keys(lab), problems)


def _sort_keys(value: object) -> object:
    """Mappings in the order of their keys, as Pulumi passes them to the program: so the first nodes are the same."""
    if isinstance(value, Mapping):
        return {key: _sort_keys(value[key]) for key in sorted(value, key=str)}
    return [_sort_keys(part) for part in value] if isinstance(value, list) else value


def name_problems(stack: str) -> list[Problem]:
    """The problems of a stack's name, which becomes part of a file's name."""
    if _STACK_NAME.fullmatch(stack):
        return []
    rule = "a stack's name: letters, digits, '_', '.', '-', the first neither '.' nor '-', at most 100"
    return [Problem("(stack)", format_value(stack), rule, "name another stack")]


def default(project_dir: Path) -> object:
    """The lab in ``Pulumi.yaml`` for stacks that set none; None without one."""
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
        content, ambiguous = yaml_reader.read(data.decode("utf-8-sig"))
    except OSError as error:
        problem = Problem(_FILE, str(path), f"a file that can be read ({error.strerror})", "correct the file")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(_FILE, f"line {line}", f"UTF-8 text ({error.reason})", "save the file as UTF-8")
    except Unparsable as error:
        problem = Problem(_FILE, error.place, error.rule, error.remedy)
    else:
        return content, ambiguous, []
    return None, [], [problem]


def _ambiguous(scalars: list[AmbiguousScalar]) -> Iterator[Problem]:
    """Those in the lab's own value, and keys written twice anywhere: Pulumi itself refuses these."""
    for one in scalars:
        inside = one.path[:1] == ("config",) and one.path[1:2] in ((FULL_KEY,), (KEY,))
        if inside or one.rule.startswith(yaml_reader.REPEATED_KEY):
            path = join_path(KEY, *one.path[2:]) if inside else join_path(*one.path)
            yield Problem(path, format_value(one.text), one.rule, one.remedy)


def misplaced_secrets(project_dir: Path, stack: str) -> list[Problem]:
    """Encrypted values of the stack's file where none may be; empty where it cannot be read.

    Pulumi hands the program every value in plain text, and says no more than that one of them was encrypted.
    """
    return list(_misplaced_secrets(read(project_dir, stack).lab, (KEY,)))


def _misplaced_secrets(value: object, path: tuple[object, ...]) -> Iterator[Problem]:
    """Encrypted values at other places than in a workload's environment."""
    if is_encrypted(value):
        if path[1:2] != ("workloads",) or path[3:4] != ("environment",) or len(path) != 5:
            rule = "no secret: only the values of a workload's environment may be encrypted"
            yield Problem(join_path(*path), format_value(value), rule, "write it in plain text")
    elif isinstance(value, Mapping | list):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _misplaced_secrets(item, (*path, key))


def _keys(config: Mapping[Any, Any]) -> Iterator[Problem]:
    """Keys of this project that do not exist. One without a namespace is the project's."""
    for key, value in config.items():
        name = key.removeprefix(f"{PROJECT}:") if isinstance(key, str) else KEY
        if name != KEY and (key.startswith(f"{PROJECT}:") or ":" not in key):
            remedy = f"{FULL_KEY} is the only one of this project"
            yield Problem(join_path("config", key), format_value(value), "unknown key", remedy)
    if FULL_KEY in config and KEY in config:
        yield Problem(f"config.{KEY}", "...", f"not beside {FULL_KEY}, which is the same", "remove one of the two")
