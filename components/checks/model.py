"""A check, and what it found."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, computed_field

from components.config import conventions

EXTERNAL = "outside"
"""The "node" of a check that runs from outside: on the hypervisor's side of the underlay."""
Status = Literal["passed", "failed", "not run"]


class Check(BaseModel):
    """One expectation: where it runs, from whom to whom."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    """One of :data:`components.checks.kinds.KINDS`."""
    node: str
    """Where it runs."""
    source: str = ""
    """The workload that it is about, or runs in; empty for one about the node itself."""
    target: str = ""
    """Another workload."""
    network: str = ""
    query_name: str = ""
    """The name of the target that is resolved."""
    from_network: str = ""
    """The network that must not reach ``network``."""
    target_node: str = ""
    """The node that must not be reached, or EXTERNAL for the platform's address of the underlay."""
    expect: Literal["pass", "fail"] = "pass"
    timeout_s: int = conventions.CHECK_LIMIT_S

    @computed_field  # type: ignore[prop-decorator]
    @property
    def title(self) -> str:
        """For people: ``t1 -> t2 ping-ip on ov_net1``."""
        path = " -> ".join(part for part in (self.source or self.node, self.reached) if part)
        where = f" from {self.from_network} to {self.network}" if self.from_network else f" on {self.network}"
        return f"{path} {self.kind}{where if self.network else ''}"

    @property
    def reached(self) -> str:
        """What it asks or must not reach: the name that is resolved, a workload, a node."""
        return self.query_name or self.target or self.target_node

    @property
    def where(self) -> str:
        """``on docker01``, ``from outside``."""
        return "from outside" if self.node == EXTERNAL else f"on {self.node}"

    @property
    def workloads(self) -> tuple[str, ...]:
        """The workloads that it is about."""
        return tuple(name for name in (self.source, self.target) if name)


class CheckResult(Check):
    """A check and its result."""

    status: Status
    got: Literal["pass", "fail", ""] = ""
    """Empty where it could not be tried."""
    seconds: int = 0
    command: str = ""
    """What was run, as a person can type it there."""
    output: str = ""
    """What that printed; where it did not run, the reason."""


def result(check: Check, status: Status | None = None, **found: Any) -> CheckResult:
    """Without a status it has passed if ``got`` is what was expected."""
    status = status or ("passed" if found["got"] == check.expect else "failed")
    return CheckResult(**dict(check), status=status, **found)


def parse(checks: Iterable[Check], output: str) -> dict[str, CheckResult]:
    """The results that the checks' program printed for these, by id; other lines are passed over."""
    known = {check.id: check for check in checks}
    found = {}
    for record in _records(output):
        with contextlib.suppress(LookupError, ValueError, TypeError):
            seen = {name: record[name] for name in ("got", "seconds", "command", "output")}
            found[record["id"]] = result(known[record["id"]], **seen)
    return found


def reopened_workloads(output: str) -> list[str]:
    """Workloads whose checks went on after a restart of the engine, by the same output."""
    return [str(record["reopened"]) for record in _records(output) if "reopened" in record]


def _records(output: str) -> Iterable[dict[str, Any]]:
    for line in output.split("\n"):
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(record := json.loads(line), dict):
                yield record
