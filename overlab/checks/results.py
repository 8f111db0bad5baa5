"""What became of a check, and of a whole run; kept in the lab's state for whoever draws the lab later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from components import checks
from components.checks.model import EXTERNAL
from components.checks.script import INSIDE
from overlab.core.process import write_private

_CUT_OFF = "No such exec instance"
Status = Literal["passed", "failed", "not run"]


class CheckResult(BaseModel):
    """A check and what became of it."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    title: str
    node: str
    """Where it ran."""
    source: str = ""
    target: str = ""
    network: str = ""
    expect: str
    got: str = ""
    """``pass`` or ``fail``; empty where nothing was found out."""
    status: Status
    seconds: int = 0
    command: str = ""
    """As a person can repeat it where it ran."""
    output: str = ""
    """What it said; where it did not run, the reason."""

    @classmethod
    def of(cls, check: checks.Check, result: checks.Result) -> CheckResult:
        """The verdict on a check that ran."""
        command = f"docker exec {check.source} {result.command}" if check.kind in INSIDE else result.command
        return cls(
            **_about(check),
            got=result.got,
            status="passed" if result.passed else "failed",
            seconds=result.seconds,
            command=command,
            output=result.output,
        )

    @classmethod
    def broken(cls, check: checks.Check, reason: str) -> CheckResult:
        """The check could not be tried, and that is the lab's fault: its workload does not run, say."""
        return cls(**_about(check), status="failed", command=f"docker exec {check.source} sh", output=reason)

    @classmethod
    def missing(cls, check: checks.Check, reason: str) -> CheckResult:
        """Nothing is known: whoever should have run it was not reached."""
        return cls(**_about(check), status="not run", output=reason)

    @property
    def interrupted(self) -> bool:
        """Whether it was under way in its workload when the engine forgot about that: it was restarted."""
        return self.status == "failed" and not self.got and _CUT_OFF in self.output

    @property
    def where(self) -> str:
        return "the platform" if self.node == EXTERNAL else self.node

    @property
    def workloads(self) -> tuple[str, ...]:
        """The workloads that it is about; a name that is looked up counts as its owner."""
        target = self.target.split("/", 1)[0]
        return tuple(name for name in (self.source, target) if name)


class CheckRun(BaseModel):
    """One run of the matrix, or of a part of it."""

    model_config = ConfigDict(frozen=True)

    lab: str
    begun: datetime
    seconds: float
    """Wall time."""
    sessions: int
    """Remote sessions that were opened; one a node."""
    life: str
    """Of which life of the lab: the ids of its overlays. Another one's verdicts say nothing about this one."""
    results: tuple[CheckResult, ...]
    notes: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    addresses: dict[str, dict[str, str]] = {}
    """Workload -> overlay -> address, as the nodes told; an ``up`` that failed leaves them nowhere else."""
    ports: dict[str, dict[str, int]] = {}
    networks: dict[str, dict[str, str]] = {}

    @property
    def failed(self) -> list[CheckResult]:
        return [verdict for verdict in self.results if verdict.status == "failed"]

    @property
    def not_run(self) -> list[CheckResult]:
        return [verdict for verdict in self.results if verdict.status == "not run"]

    @property
    def passed(self) -> list[CheckResult]:
        return [verdict for verdict in self.results if verdict.status == "passed"]

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

    def followed_by(self, later: CheckRun, note: str) -> CheckRun:
        """This run with the verdicts of a later one on some of its checks."""
        new = {verdict.id: verdict for verdict in later.results}
        return self.model_copy(
            update={
                "seconds": round(self.seconds + later.seconds, 1),
                "sessions": self.sessions + later.sessions,
                "results": tuple(new.get(verdict.id, verdict) for verdict in self.results),
                "notes": (*self.notes, note, *(one for one in later.notes if one not in self.notes)),
                "addresses": self.addresses | later.addresses,
                "ports": self.ports | later.ports,
            }
        )

    def over(self, earlier: CheckRun | None) -> CheckRun:
        """This run with the earlier one's verdicts where this one has none, if both are of one life of the lab."""
        if earlier is None or earlier.life != self.life or not self.only:
            return self
        new = {verdict.id: verdict for verdict in self.results}
        known = {verdict.id for verdict in earlier.results}
        results = [new.get(verdict.id, verdict) for verdict in earlier.results]
        results += [verdict for verdict in self.results if verdict.id not in known]
        learnt = {
            "addresses": earlier.addresses | self.addresses,
            "ports": earlier.ports | self.ports,
            "networks": earlier.networks | self.networks,
        }
        return earlier.model_copy(update={"begun": self.begun, "results": tuple(results), **learnt})


def life_of(networks: Mapping[str, Mapping[str, Any]]) -> str:
    """The lab's life, from its overlays' ids."""
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
    """Verdicts from the stack's output ``checks``: what the last ``up`` that ran them found."""
    results = {}
    for one in found:
        with contextlib.suppress(TypeError):  # from another version
            result = checks.Result(**{key: value for key, value in one.items() if key != "passed"})
            results[result.id] = result
    return [CheckResult.of(check, results[check.id]) for check in matrix if check.id in results]


def _about(check: checks.Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "kind": check.kind,
        "title": check.title,
        "node": check.node,
        "source": check.source,
        "target": check.target,
        "network": check.network,
        "expect": check.expect,
    }
