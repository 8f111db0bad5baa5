"""What is wrong with a lab's settings: every problem at once, each with path, value, rule and remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One refused setting."""

    path: str
    """Where it stands in the stack's configuration, e.g. ``lab.nodes.docker01.address``."""
    value: str
    """What stands there, as JSON, shortened."""
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path} = {self.value}\n    rule:   {self.rule}\n    remedy: {self.remedy}"


class SettingsError(Exception):
    """The settings are refused as a whole; nothing may be created."""

    def __init__(self, stack: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.path))
        count = len(self.problems)
        lines = [f"Pulumi.{stack}.yaml: {count} problem{'s' if count != 1 else ''}; nothing was created."]
        lines += [f"  {problem}" for problem in self.problems]
        super().__init__("\n".join(lines))


def shown(value: Any) -> str:
    """A value as a person wrote it, on one line, shortened to 80 characters."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
