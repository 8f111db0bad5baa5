"""A check as a command that a person can type."""

from __future__ import annotations

import shlex

from components.checks.kinds import KINDS
from components.checks.model import CheckResult


def reproduce_command(result: CheckResult) -> str:
    """The command line that tries the same once, from where ``overlab`` is; empty where there is none."""
    kind = KINDS.get(result.kind)
    if kind is None or not kind.reproducible or not result.got or not result.command:
        return ""
    return shlex.join(["overlab", "exec", result.node, "--", *_words(result.command)])


def _words(command: str) -> list[str]:
    """Of a single command its words; else a shell that runs it."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    return words if words and shlex.join(words) == command else ["sh", "-c", command]
