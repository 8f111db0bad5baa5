"""Runs the matrix of a lab: one session a node, all at once, and one from outside."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from components import checks
from components.checks import EXTERNAL
from components.config.platform import Platform
from components.config.settings import Settings
from overlab import remote
from overlab.checks import discovery
from overlab.checks.results import CheckResult, CheckRun, generation_of, now
from overlab.checks.session import SSH_FAILED, ExternalSession, ProcessResult, Session, node_command
from overlab.core.paths import LabPaths
from overlab.outputs import Outputs
from overlab.platform.private_libvirtd import PrivateLibvirtd

_BULK_PORTS = range(20_000, 30_000, 2)
"""Of two runs at the same time each has listeners of its own."""


@dataclass(frozen=True)
class Transport:
    """How to get there: the command of a session on a node, and what enters the hypervisor's end of the lab network."""

    to_node: Callable[[str, Sequence[str]], list[str]]
    to_outside: tuple[str, ...] = ()


def transport(settings: Settings, platform: Platform) -> Transport:
    """Over ssh with the lab's pinned keys; the hypervisor's end is in the lab's namespace where it has one."""
    inside: list[str] = []
    if platform.kind == "bundled":
        inside = PrivateLibvirtd(LabPaths(settings.name)).namespace.command([])
    return Transport(lambda node, cmd: remote.command(settings, platform, node, cmd, terminal=False), tuple(inside))


def run(
    settings: Settings,
    matrix: Sequence[checks.Check],
    outputs: Outputs,
    transport: Transport,
    only: Iterable[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> CheckRun:
    """Run these checks now. A node that is not reached leaves its checks ``not run``; nothing is raised for that."""
    begun, clock = now(), time.monotonic()
    sessions = {node: _session(node, settings, transport) for node in _nodes(settings, matrix)}
    outside = ExternalSession(transport.to_outside)
    # One thread more, for the checks from outside.
    with ThreadPoolExecutor(len(sessions) + 1, thread_name_prefix="overlab-checks") as threads:
        try:
            progress(f"{len(sessions)} nodes to report their addresses and ports")
            list(threads.map(Session.open, sessions.values()))
            facts, notes = discovery.facts(settings, outputs, (one.facts for one in sessions.values()))
            progress(f"{len(matrix)} checks on {len(sessions)} nodes")
            unreached = [session for session in sessions.values() if session.problem]
            part = _Part(settings, matrix, facts, {session.node for session in unreached})
            external = threads.submit(part.run_external, outside)
            parts = [*threads.map(part.run_on, sessions.values()), external.result()]
        finally:
            for session in sessions.values():
                session.close()
            outside.close()
    found = {result.id: result for results, _ in parts for result in results}
    return CheckRun(
        lab=settings.name,
        begun=begun,
        seconds=round(time.monotonic() - clock, 1),
        sessions=len(sessions) - len(unreached),
        generation=generation_of(facts.networks),
        results=tuple(found[check.id] for check in matrix),
        notes=(
            *(f"{session.node} was not reached: {session.problem}" for session in unreached),
            *notes,
            *(note for _, more in parts for note in more),
        ),
        only=tuple(only),
        addresses={name: dict(one) for name, one in facts.addresses.items()},
        ports={name: dict(one) for name, one in facts.ports.items()},
        networks={name: dict(one) for name, one in facts.networks.items()},
    )


def _nodes(settings: Settings, matrix: Sequence[checks.Check]) -> list[str]:
    """Those with checks of their own, with a listener for another one's, or whose ports or addresses are asked."""
    nodes = {check.node for check in matrix}
    workloads = {name for check in matrix for name in (check.source, check.target)}
    nodes |= {node for name, node in settings.placement.items() if name in workloads}
    return [node for node in settings.nodes if node in nodes]


def _session(node: str, settings: Settings, transport: Transport) -> Session:
    return Session(node, transport.to_node(node, node_command(discovery.script(node, settings))))


Outcome = tuple[list[CheckResult], list[str]]
"""Results, and notes."""


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

    def run_on(self, session: Session) -> Outcome:
        own = [check for check in self._matrix if check.node == session.node]
        if session.problem:
            reason = f"{session.node} was not reached: {session.problem}"
            return [CheckResult.not_run(check, reason) for check in own], []
        script = checks.node_script(session.node, self._ready, self._lab, self._facts)
        return self._outcome(session.node, own, session.run(script, checks.limit_s(own)))

    def run_external(self, session: ExternalSession) -> Outcome:
        own = [check for check in self._matrix if check.node == EXTERNAL]
        if not own:
            return [], []
        try:
            plan = checks.external_plan(self._ready, self._lab, self._facts)
            return self._outcome(EXTERNAL, own, session.run(plan, checks.limit_s(own)))
        except OSError as error:
            reason = f"the lab's network cannot be entered: {error}"
            return [CheckResult.not_run(check, reason) for check in own], []

    def _outcome(self, node: str, own: Sequence[checks.Check], ended: ProcessResult) -> Outcome:
        failed = [CheckResult.broken(check, self._missing[check.id]) for check in own if self._missing[check.id]]
        results = evaluate(node, [check for check in own if not self._missing[check.id]], ended)
        again = checks.reopened_workloads(ended.stdout)
        notes = [f"the engine of {node} was restarted meanwhile: a check in {name} was run again" for name in again]
        return [*failed, *results], notes


def evaluate(node: str, own: Sequence[checks.Check], ended: ProcessResult) -> list[CheckResult]:
    """A result for each of a node's checks, from how its script ended."""
    reported = {result.id: result for result in checks.parse(node, ended.stdout)}
    reason = _why(ended)
    return [
        CheckResult.of(check, reported[check.id]) if check.id in reported else CheckResult.not_run(check, reason)
        for check in own
    ]


def _why(ended: ProcessResult) -> str:
    last = " ".join(ended.stderr.split())[-300:] or "none"
    if ended.code is None:
        return f"the node's script did not end in time; its last output: {last}"
    if ended.code == SSH_FAILED:
        return f"the connection broke; last output: {last}"
    return f"the node's script ended with exit code {ended.code} before this check; its last output: {last}"
