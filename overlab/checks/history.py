"""What is known of a lab's checks without running one: the last ``overlab test``, else what the last ``up`` found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components import checks
from components.checks.model import CheckResult
from overlab.checks.results import CheckRun, from_up, generation_of, load
from overlab.stack.outputs import Outputs


@dataclass(frozen=True)
class LastResults:
    """Results in the order of the matrix, and the run that they are from; None where the last ``up`` found them."""

    results: tuple[CheckResult, ...] = ()
    run: CheckRun | None = None


def known(matrix: Sequence[checks.Check], outputs: Outputs, file: Path) -> LastResults:
    """A run of another generation of the lab does not count, nor do checks that the settings no longer ask for."""
    run = load(file)
    if run is not None and outputs and run.generation != generation_of(outputs.networks):
        run = None
    if run is None:
        return LastResults(tuple(from_up(outputs.checks, matrix)))
    found = {result.id: result for result in run.results}
    return LastResults(tuple(found[check.id] for check in matrix if check.id in found), run)
