"""Runs the matrix of a lab: one session a node, and one from outside, all at once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from components import checks
from components.checks import EXTERNAL, CheckResult
from components.config.platform import Platform
from components.config.settings import Settings
from overlab import openssh
from overlab.checks import discovery
from overlab.checks.results import CheckRun, generation_of, now
from overlab.checks.session import ProcessResult, Session, session_command
from overlab.core.paths import LabPaths
from overlab.platform.namespace import Namespace
from overlab.stack.outputs import Outputs

_BULK_PORTS = range(20_000, 30_000, 2)
"""Simultaneous runs have separate listeners."""


@dataclass(frozen=True)
class Transport:
    """How to get there: the command of a session on a node, and what enters the hypervisor's side of the underlay."""

    to_node: Callable[[str, Sequence[str]], list[str]]
    to_outside: tuple[str, ...] = ()


def transport(settings: Settings, platform: Platform) -> Transport:
    """Over ssh with the lab's pinned keys; the hypervisor's side is in the lab's network namespace where it has one."""
    inside: list[str] = []
    if platform.kind == "bundled":
        inside = Namespace.of(LabPaths(settings.name)).command([])
    return Transport(lambda node, cmd: openssh.command(settings, platform, node, cmd, terminal=False), tuple(inside))


def run(
    settings: Settings,
    matrix: Sequence[checks.Check],
    outputs: Callable[[], Outputs],
    transport: Transport,
    only: Iterable[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> CheckRun:
    """Run these checks now. A node that is not reached leaves its checks ``not run``; nothing is raised for that.

    ``outputs`` reads the stack's, while sessions open; what it raises passes on.
    """
    begun, clock = now(), time.monotonic()
    sessions = _sessions(settings, matrix, transport)
    with ThreadPoolExecutor(len(sessions) + 1, thread_name_prefix="overlab-checks") as threads:
        try:
            progress("the stack's outputs, the nodes' addresses and ports")
            known = threads.submit(outputs)
            list(threads.map(Session.open, sessions))
            facts, notes = discovery.facts(settings, known.result(), (one.facts for one in sessions))
            progress(f"{len(matrix)} checks in {len(sessions)} sessions")
            part = _Part(settings, matrix, facts, {one.node for one in sessions if one.problem})
            parts = list(threads.map(part.run_on, sessions))
        finally:
            for session in sessions:
                session.close()
    found = {result.id: result for results, _ in parts for result in results}
    notes = [*(one.unreached for one in sessions if one.problem), *notes, *(note for _, more in parts for note in more)]
    return CheckRun(
        lab=settings.name,
        begun=begun,
        seconds=round(time.monotonic() - clock, 1),
        sessions=sum(1 for one in sessions if one.node != EXTERNAL and not one.problem),
        generation=generation_of(facts.networks),
        results=tuple(found[check.id] for check in matrix),
        notes=tuple(notes),
        only=tuple(only),
        addresses={name: dict(one) for name, one in facts.addresses.items()},
        ports={name: dict(one) for name, one in facts.ports.items()},
        networks={name: dict(one) for name, one in facts.networks.items()},
    )


def _sessions(settings: Settings, matrix: Sequence[checks.Check], transport: Transport) -> list[Session]:
    """On nodes that run a check or a listener, or whose ports or addresses are needed."""
    nodes = {check.node for check in matrix}
    nodes |= {settings.placement[name] for check in matrix for name in check.workloads}
    sessions = [
        Session(node, transport.to_node(node, session_command(discovery.script(node, settings))))
        for node in settings.nodes
        if node in nodes
    ]
    outside = Session(EXTERNAL, [*transport.to_outside, *session_command("")])
    return [*sessions, outside] if EXTERNAL in nodes else sessions


class _Part:
    """What runs in one session: the checks of its node."""

    def __init__(
        self, settings: Settings, matrix: Sequence[checks.Check], facts: checks.Facts, unreached: Collection[str]
    ) -> None:
        self._lab = checks.CheckedLab.of(settings)
        self._facts = replace(facts, bulk_port=random.choice(_BULK_PORTS))
        self._matrix = matrix
        self._missing = {check.id: checks.missing_fact(check, self._lab, self._facts) for check in matrix}
        self._ready = [check for check in matrix if not self._missing[check.id] and check.node not in unreached]

    def run_on(self, session: Session) -> tuple[list[CheckResult], list[str]]:
        """Results, and notes."""
        node = session.node
        own = [check for check in self._matrix if check.node == node]
        if session.problem:
            return [checks.result(check, "not run", output=session.unreached) for check in own], []
        script = checks.node_script(node, self._ready, self._lab, self._facts)
        ended = session.run(script, checks.limit_s(own))
        again = checks.reopened_workloads(ended.stdout)
        notes = [f"the engine of {node} was restarted meanwhile: a check in {name} was run again" for name in again]
        return evaluate(own, ended, self._missing), notes


def evaluate(own: Sequence[checks.Check], ended: ProcessResult, missing: Mapping[str, str]) -> list[CheckResult]:
    """A result for each of a node's checks, from how its script ended; those with a ``missing`` fact were not in it."""
    found, why = checks.parse(own, ended.stdout), _why(ended)
    for check in own:
        if reason := missing.get(check.id):
            found[check.id] = checks.result(check, "failed", output=reason)
    return [found.get(check.id) or checks.result(check, "not run", output=why) for check in own]


def _why(ended: ProcessResult) -> str:
    last = " ".join(ended.stderr.split())[-300:] or "none"
    if ended.code is None:
        return f"the node's script did not end in time; its last output: {last}"
    if ended.code == openssh.SSH_FAILED:
        return f"the connection broke; last output: {last}"
    return f"the node's script ended with exit code {ended.code} before this check; its last output: {last}"
