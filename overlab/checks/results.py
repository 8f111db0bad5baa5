"""The results of a run, kept in the lab's state for later drawings and reports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from components import checks
from components.checks import CheckResult
from overlab.core.files import write_private


class CheckRun(BaseModel):
    """One run of the matrix, or of a part of it."""

    model_config = ConfigDict(frozen=True)

    lab: str
    begun: datetime
    seconds: float
    """Wall time."""
    sessions: int
    """Remote sessions that were opened; one a node."""
    generation: str
    """The ids of the lab's networks. The results of another generation do not apply to this one."""
    results: tuple[CheckResult, ...]
    notes: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    addresses: dict[str, dict[str, str]] = {}
    """Workload -> network -> address, as the nodes reported; an ``up`` that failed leaves them nowhere else."""
    ports: dict[str, dict[str, int]] = {}
    networks: dict[str, dict[str, str]] = {}

    @property
    def failed(self) -> list[CheckResult]:
        return [result for result in self.results if result.status == "failed"]

    @property
    def not_run(self) -> list[CheckResult]:
        return [result for result in self.results if result.status == "not run"]

    @property
    def passed(self) -> list[CheckResult]:
        return [result for result in self.results if result.status == "passed"]

    @property
    def exit_code(self) -> int:
        """0 all passed, 1 one failed, 2 not everything could be run."""
        return 2 if self.not_run else 1 if self.failed else 0

    @property
    def summary(self) -> str:
        """For people, one line."""
        counts = [f"{len(self.passed)} passed"]
        counts += [f"{len(self.failed)} failed"] if self.failed else []
        counts += [f"{len(self.not_run)} not run"] if self.not_run else []
        sessions = f"{self.sessions} session{'' if self.sessions == 1 else 's'}"
        return f"lab {self.lab}: {', '.join(counts)} of {len(self.results)} checks in {self.seconds:.1f} s, {sessions}"

    def over(self, earlier: CheckRun | None) -> CheckRun:
        """This run with the earlier one's results where this one has none, if both are of one generation."""
        if earlier is None or earlier.generation != self.generation or not self.only:
            return self
        results = {result.id: result for result in (*earlier.results, *self.results)}
        discovered = {
            "addresses": earlier.addresses | self.addresses,
            "ports": earlier.ports | self.ports,
            "networks": earlier.networks | self.networks,
        }
        return earlier.model_copy(update={"begun": self.begun, "results": tuple(results.values()), **discovered})


def generation_of(networks: Mapping[str, Mapping[str, Any]]) -> str:
    """From the ids of a lab's networks."""
    return ",".join(sorted(str(network.get("id", "")) for network in networks.values()))


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def file(state: Path, stack: str) -> Path:
    """Where the last run of a stack is kept."""
    return state / "tests" / f"{stack}.json"


def load(path: Path) -> CheckRun | None:
    """The last run; None where there is none, or it is from another version."""
    try:
        return CheckRun.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def save(run: CheckRun, path: Path) -> CheckRun:
    """Keep a run for those who draw the lab; one of a part of the matrix is laid over what is known. Returns that."""
    merged = run.over(load(path))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, merged.model_dump_json(indent=1).encode())
    return merged


def from_up(found: Iterable[dict[str, Any]], matrix: Iterable[checks.Check]) -> list[CheckResult]:
    """Results from the stack's output ``checks``: what the last ``up`` that ran them found."""
    results = {}
    for one in found:
        with contextlib.suppress(ValueError):  # from another version
            results[str(one.get("id"))] = CheckResult.model_validate(one)
    return [results[check.id] for check in matrix if check.id in results]
