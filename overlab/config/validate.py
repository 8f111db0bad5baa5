"""The settings of stacks, judged without an engine, a hypervisor or a platform."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from components.config import settings as lab_settings
from components.config.settings import Problem, Settings, SettingsError
from overlab.platform.manifest import checkout


@dataclass(frozen=True)
class Verdict:
    """On one stack: its settings, or everything that is wrong with them."""

    stack: str
    settings: Settings | None
    problems: tuple[Problem, ...] = ()
    text: str = ""
    """For people."""

    @property
    def valid(self) -> bool:
        return self.settings is not None


def every_stack() -> list[str]:
    """The stacks of this project that have a settings file."""
    return lab_settings.stacks(checkout())


def validate(stacks: Iterable[str]) -> list[Verdict]:
    """Judge each stack. Raises nothing for what a person wrote."""
    return [_judge(stack) for stack in stacks]


def _judge(stack: str) -> Verdict:
    try:
        settings = lab_settings.from_stack_file(checkout(), stack)
    except SettingsError as error:
        return Verdict(stack, None, error.problems, str(error))
    return Verdict(stack, settings, text=f"Pulumi.{stack}.yaml: valid; {_summary(settings)}")


def _summary(settings: Settings) -> str:
    parts = {
        "node": len(settings.nodes),
        "overlay": len(settings.networks),
        "workload": len(settings.workloads),
    }
    counts = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in parts.items())
    return f"lab {settings.name} on {settings.underlay.cidr}: {counts}"


def conflicts(verdicts: Iterable[Verdict]) -> list[str]:
    """Which of the valid labs cannot run at once on one machine, and why."""
    labs = [(verdict.stack, verdict.settings) for verdict in verdicts if verdict.settings]
    found = []
    for (first, one), (second, other) in combinations(labs, 2):
        if one.name == other.name:
            found.append(f"{first} and {second} cannot run at once: both labs are named {one.name}")
        elif one.underlay.cidr.overlaps(other.underlay.cidr):
            networks = f"{one.underlay.cidr} and {other.underlay.cidr}"
            found.append(f"{first} and {second} cannot run at once: their lab networks {networks} overlap")
    return found


def as_json(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """For programs."""
    stacks = list(verdicts)
    return {
        "valid": all(verdict.valid for verdict in stacks),
        "stacks": [
            {
                "stack": verdict.stack,
                "valid": verdict.valid,
                "problems": [asdict(problem) for problem in verdict.problems],
            }
            for verdict in stacks
        ],
        "conflicts": conflicts(stacks),
    }
