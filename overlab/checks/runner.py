"""Runs the matrix of a lab: one session a node, all at once, and one on the platform."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from components import checks
from components.checks.model import EXTERNAL
from components.checks.script import INSIDE
from components.config.platform import Platform
from components.config.settings import Settings
from overlab import remote
from overlab.checks import discovery
from overlab.checks.results import CheckResult, CheckRun, life_of, now
from overlab.checks.session import ON_NODE, SSH_FAILED, ExternalSession, ProcessResult, Session
from overlab.core.paths import LabPaths
from overlab.platform.private_libvirtd import PrivateLibvirtd
from overlab.stack.outputs import Outputs

MARGIN_S = 300
"""For a slow machine to run what a check's own limit does not count."""
_BROKEN = re.compile(r"^check failed: the checks of (\S+) could not run on \S+: ?(.*)$")
_OF_A_CHECK = re.compile(r"^(check failed: |  ran:    |  output: )")


@dataclass(frozen=True)
class Transport:
    """How to get there: the command of a session on a node, and what enters the hypervisor's end of the lab network."""

    to_node: Callable[[str, Sequence[str]], list[str]]
    to_platform: tuple[str, ...] = ()


def ways(settings: Settings, platform: Platform) -> Transport:
    """Over ssh with the lab's pinned keys; the platform's end is in the lab's namespace where it has one."""
    inside: list[str] = []
    if platform.kind == "bundled":
        inside = PrivateLibvirtd(LabPaths(settings.name)).namespace.command([])
    return Transport(lambda node, cmd: remote.command(settings, platform, node, cmd, terminal=False), tuple(inside))


def run(
    settings: Settings,
    matrix: Sequence[checks.Check],
    outputs: Outputs,
    ways: Transport,
    only: Iterable[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> CheckRun:
    """Run these checks now. A node that is not reached leaves its checks ``not run``; nothing is raised for that.

    What a restart of an engine cut off says nothing about the lab: it is run once more, and said.
    """
    words = tuple(only)
    found = _Matrix(settings, matrix, outputs, ways, progress).run(words)
    cut = {verdict.id: verdict for verdict in found.results if verdict.interrupted}
    if not cut:
        return found
    again = [check for check in matrix if check.id in cut]
    nodes = ", ".join(dict.fromkeys(check.node for check in again))
    said = f"the engine of {nodes} was restarted meanwhile: {len(again)} checks were run again"
    return found.followed_by(_Matrix(settings, again, outputs, ways, progress).run(words), said)


class _Matrix:
    def __init__(
        self,
        settings: Settings,
        matrix: Sequence[checks.Check],
        outputs: Outputs,
        ways: Transport,
        progress: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._matrix = tuple(matrix)
        self._outputs = outputs
        self._ways = ways
        self._progress = progress
        self._sessions = {node: self._session(node) for node in self._nodes()}
        self._platform = ExternalSession(ways.to_platform)

    def _nodes(self) -> list[str]:
        """Those with checks of their own, with a listener of another one's, or whose ports or addresses are asked."""
        nodes = {check.node for check in self._matrix}
        for check in self._matrix:
            nodes |= {self._settings.placement[name] for name in _workloads(check) if name in self._settings.placement}
        return [node for node in self._settings.nodes if node in nodes]

    def _session(self, node: str) -> Session:
        words = ["sh", "-c", ON_NODE, "overlab-test", *discovery.arguments(node, self._settings)]
        return Session(node, self._ways.to_node(node, words))

    def run(self, only: tuple[str, ...]) -> CheckRun:
        begun, clock = now(), time.monotonic()
        sessions = list(self._sessions.values())
        # One thread more, for the platform.
        with ThreadPoolExecutor(len(sessions) + 1, thread_name_prefix="overlab-checks") as threads:
            try:
                self._progress(f"{len(sessions)} nodes to tell their addresses and ports")
                list(threads.map(Session.open, sessions))
                facts, notes = discovery.facts(self._settings, self._outputs, (one.told for one in sessions))
                self._progress(f"{len(self._matrix)} checks on {len(sessions)} nodes")
                lacking = {check.id: discovery.lacking(check, self._settings, facts) for check in self._matrix}
                ready = tuple(check for check in self._matrix if not lacking[check.id])
                platform = threads.submit(self._on_external, ready, facts)
                parts = list(threads.map(lambda session: self._on_node(session, ready, facts), sessions))
                found = [one for part in (*parts, platform.result()) for one in part]
            finally:
                for session in sessions:
                    session.close()
                self._platform.close()
        known = {verdict.id: verdict for verdict in found}
        results = tuple(known.get(check.id) or self._unstated(check, lacking[check.id]) for check in self._matrix)
        notes = [f"{s.node} was not reached: {s.problem}" for s in sessions if s.problem] + notes
        seconds = round(time.monotonic() - clock, 1)
        return CheckRun(
            lab=self._settings.name,
            begun=begun,
            seconds=seconds,
            sessions=sum(1 for session in sessions if not session.problem),
            life=life_of(facts.networks),
            results=results,
            notes=tuple(notes),
            only=only,
            addresses={name: dict(one) for name, one in facts.addresses.items()},
            ports={name: dict(one) for name, one in facts.ports.items()},
            networks={name: dict(one) for name, one in facts.networks.items()},
        )

    def _unstated(self, check: checks.Check, reason: str) -> CheckResult:
        """A check whose facts nobody knows: not run where the node was not reached, else the lab's fault."""
        session = self._sessions.get(check.node)
        if session is not None and session.problem:
            return CheckResult.missing(check, f"{check.node} was not reached: {session.problem}")
        return CheckResult.broken(check, reason)

    def _on_node(self, session: Session, ready: Sequence[checks.Check], facts: checks.Facts) -> list[CheckResult]:
        own = [check for check in ready if check.node == session.node]
        if session.problem:
            return [CheckResult.missing(check, f"{check.node} was not reached: {session.problem}") for check in own]
        script = checks.node_script(session.node, ready, self._settings, facts)
        ended = session.run(script, _limit(own))
        return judge(session.node, own, ended)

    def _on_external(self, ready: Sequence[checks.Check], facts: checks.Facts) -> list[CheckResult]:
        own = [check for check in ready if check.node == EXTERNAL]
        if not own:
            return []
        tasks: list[dict[str, Any]] = checks.external_checks(ready, self._settings, facts)
        try:
            ended = self._platform.run(tasks, _limit(own))
        except OSError as error:
            return [CheckResult.missing(check, f"the lab's network cannot be entered: {error}") for check in own]
        return judge(EXTERNAL, own, ended)


def judge(node: str, own: Sequence[checks.Check], ended: ProcessResult) -> list[CheckResult]:
    """A verdict on each of a node's checks, from how its script ended."""
    reported = {result.id: result for result in checks.parse(node, ended.stdout)}
    broken = _could_not_run(ended.stderr)
    results = []
    for check in own:
        if check.id in reported:
            results.append(CheckResult.of(check, reported[check.id]))
        elif check.kind in INSIDE and check.source in broken:
            results.append(CheckResult.broken(check, broken[check.source]))
        else:
            results.append(CheckResult.missing(check, _why(ended)))
    return results


def _could_not_run(stderr: str) -> dict[str, str]:
    """Workload -> why nothing could run in it."""
    found: dict[str, str] = {}
    current = ""
    for line in stderr.splitlines():
        if match := _BROKEN.match(line):
            current, found[match[1]] = match[1], match[2]
        elif _OF_A_CHECK.match(line):
            current = ""
        elif current:
            found[current] = f"{found[current]} {line.strip()}".strip()
    return found


def _why(ended: ProcessResult) -> str:
    last = " ".join(ended.stderr.split())[-300:]
    if ended.code is None:
        return f"the node's script did not end in time; its last words: {last or 'none'}"
    if ended.code == SSH_FAILED:
        return f"the connection broke: {last or 'without a word'}"
    return f"the node's script ended with exit code {ended.code} before this check; its last words: {last or 'none'}"


def _limit(own: Sequence[checks.Check]) -> float:
    return MARGIN_S + sum(check.timeout_s for check in own)


def _workloads(check: checks.Check) -> tuple[str, ...]:
    return (check.source, check.target.split("/", 1)[0])
