"""What a shell offers behind the cursor: stacks, nodes, checks, paths of settings. Never an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from typing import Any

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]

from components import checks
from components.config import stack_file
from components.config.settings import SettingsError
from overlab.cli import application
from overlab.core.errors import OverlabError
from overlab.inspect import attached
from overlab.inspect.snapshot import DEFAULT_STACK
from overlab.platform import manifest

completion_init()

# Ids of checks have colons, and `set` takes PATH=VALUE: at both bash would begin another word.
_BASH = "COMP_WORDBREAKS=${COMP_WORDBREAKS//[:=]/}\n"


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def script(shell: Shell) -> str:
    """What the shell has to evaluate."""
    text = get_completion_script(prog_name="overlab", complete_var="_OVERLAB_COMPLETE", shell=shell.value)
    return f"{_BASH if shell is Shell.BASH else ''}{text}\n"


def stacks(incomplete: str) -> list[str]:
    return _matching([*stack_file.stacks(manifest.checkout()), *attached.names()], incomplete)


def clusters(incomplete: str) -> list[str]:
    return _matching(attached.names(), incomplete)


def nodes(context: typer.Context, incomplete: str) -> list[str]:
    with suppress(SettingsError, OverlabError):
        if (cluster := attached.find(_stack(context))) is not None:
            return _matching(cluster.nodes, incomplete)
        return _matching(application.read_settings(_stack(context)).nodes, incomplete)
    return []


def selections(context: typer.Context, incomplete: str) -> list[str]:
    """What ``test --only`` takes: kinds, workloads, ids of checks."""
    with suppress(SettingsError):
        settings = application.read_settings(_stack(context))
        matrix = checks.matrix(settings)
        words = dict.fromkeys([*sorted({one.kind for one in matrix}), *settings.workloads, *(one.id for one in matrix)])
        return _matching(words, incomplete)
    return []


def paths(context: typer.Context, incomplete: str) -> list[str]:
    """What ``set`` takes: the paths in the stack's file, networks and workloads among them."""
    return _matching(_paths(stack_file.read(manifest.checkout(), _stack(context)).lab, ""), incomplete)


def _paths(section: object, prefix: str) -> Iterator[str]:
    if isinstance(section, dict):
        for key, value in section.items():
            yield f"{prefix}{key}="
            yield from _paths(value, f"{prefix}{key}.")


def _stack(context: typer.Context) -> str:
    at: Any = context
    while at is not None:
        if at.params.get("stack"):
            return str(at.params["stack"])
        at = at.parent
    return DEFAULT_STACK


def _matching(words: Any, incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
