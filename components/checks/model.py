"""A check, and what it found."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Literal

from components.config import conventions

EXTERNAL = "outside"
"""The "node" of a check that runs from outside: on the hypervisor's end of the lab network."""


@dataclass(frozen=True)
class Check:
    """One expectation: where it runs, from whom to whom."""

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
    """The name of the target that is looked up."""
    from_network: str = ""
    """The network that must not reach ``network``."""
    expect: Literal["pass", "fail"] = "pass"
    timeout_s: int = conventions.CHECK_LIMIT_S

    @property
    def title(self) -> str:
        """For people: ``t1 -> t2 ping-ip on ov_net1``."""
        path = " -> ".join(part for part in (self.source or self.node, self.query_name or self.target) if part)
        where = f" from {self.from_network} to {self.network}" if self.from_network else f" on {self.network}"
        return f"{path} {self.kind}{where if self.network else ''}"


@dataclass(frozen=True)
class Result:
    """What a check found."""

    id: str
    kind: str
    title: str
    node: str
    expect: str
    got: str
    """``pass`` or ``fail``; empty where it could not be tried, and ``output`` has the reason."""
    seconds: int
    command: str
    output: str

    @property
    def passed(self) -> bool:
        return self.expect == self.got


def parse(node: str, output: str) -> tuple[Result, ...]:
    """The results in what the checks' program printed; other lines are passed over."""
    results = []
    for line in output.split("\n"):
        try:
            results.append(Result(node=node, **json.loads(line)))
        except (ValueError, TypeError):
            continue
    return tuple(results)


def reopened_workloads(output: str) -> list[str]:
    """Workloads in which checks went on in a second session, after a restart of the engine, by the same output."""
    found = []
    for line in output.split("\n"):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found.append(str(json.loads(line)["reopened"]))
    return found
