"""A check, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from components.config import conventions

Kind = Literal[
    "ping-ip",
    "ping-name",
    "dns",
    "http",
    "http-node",
    "http-external",
    "tcp",
    "mtu",
    "interface",
    "bridge",
    "internal",
    "isolation",
    "shared",
    "network",
    "kv",
    "engine",
]
EXTERNAL = "platform"
"""The "node" of a check that runs on the hypervisor's end of the lab network."""
RECORD = "overlab-check"
FIELDS = 8


@dataclass(frozen=True)
class Check:
    """One expectation: where it runs, from whom to whom."""

    id: str
    kind: Kind
    node: str
    """Where it runs."""
    source: str = ""
    """The workload that it is about, or runs in; empty for one about the node itself."""
    target: str = ""
    """Another workload, node or name."""
    network: str = ""
    expect: Literal["pass", "fail"] = "pass"
    timeout_s: int = conventions.CHECK_LIMIT_S

    @property
    def title(self) -> str:
        """For people: ``t1 -> t2 ping-ip on ov_net1``."""
        ends = [self.source or self.node, *([self.target] if self.target else [])]
        where = f" on {self.network}" if self.network else ""
        return f"{' -> '.join(ends)} {self.kind}{where}"


@dataclass(frozen=True)
class Result:
    """What a check found."""

    id: str
    kind: str
    title: str
    node: str
    expect: str
    got: str
    seconds: int
    command: str
    output: str

    @property
    def passed(self) -> bool:
        return self.expect == self.got


def parse(node: str, output: str) -> tuple[Result, ...]:
    """The results in what a node's script printed; other lines are passed over."""
    results = []
    for line in output.splitlines():
        parts = line.split("\t")
        if parts[0] == RECORD and len(parts) == FIELDS + 1:
            _, id_, kind, title, expect, got, seconds, command, text = parts
            results.append(Result(id_, kind, title, node, expect, got, int(seconds), command, text))
    return tuple(results)
