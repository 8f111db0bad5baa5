"""Validation of stack files, without an engine, a hypervisor or a platform."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from components.config import stack_file
from components.config.settings import Problem, Settings, SettingsError, from_stack_file
from overlab.platform.manifest import checkout


@dataclass(frozen=True)
class ValidationResult:
    """Of one stack: its settings, or every problem of them."""

    stack: str
    settings: Settings | None
    problems: tuple[Problem, ...]
    text: str

    @property
    def valid(self) -> bool:
        return self.settings is not None


def every_stack() -> list[str]:
    """The stacks of this project that have a settings file."""
    return stack_file.stacks(checkout())


def validate(stacks: Iterable[str]) -> list[ValidationResult]:
    """Validate each stack. Raises nothing for the content of a file."""
    return [_validate(stack) for stack in stacks]


def _validate(stack: str) -> ValidationResult:
    try:
        settings = from_stack_file(checkout(), stack)
    except SettingsError as error:
        return ValidationResult(stack, None, error.problems, str(error))
    parts = {"node": len(settings.nodes), "network": len(settings.networks), "workload": len(settings.workloads)}
    counts = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in parts.items())
    summary = f"lab {settings.name} on {settings.underlay.cidr}: {counts}"
    return ValidationResult(stack, settings, (), f"Pulumi.{stack}.yaml: valid; {summary}")


def conflicts(results: Iterable[ValidationResult]) -> list[str]:
    """Which of the valid labs cannot run at once on one machine, and why."""
    labs = [(result.stack, result.settings) for result in results if result.settings]
    found = []
    for (first, one), (second, other) in combinations(labs, 2):
        if one.name == other.name:
            found.append(f"{first} and {second} cannot run at once: both labs are named {one.name}")
        elif one.underlay.cidr.overlaps(other.underlay.cidr):
            networks = f"{one.underlay.cidr} and {other.underlay.cidr}"
            found.append(f"{first} and {second} cannot run at once: their underlays {networks} overlap")
    return found


def as_json(results: Sequence[ValidationResult]) -> dict[str, Any]:
    """Machine-readable output."""
    stacks = [
        {"stack": one.stack, "valid": one.valid, "problems": [asdict(problem) for problem in one.problems]}
        for one in results
    ]
    return {"valid": all(one["valid"] for one in stacks), "stacks": stacks, "conflicts": conflicts(results)}
