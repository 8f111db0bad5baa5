"""Look at a lab around an update, and bring back what is not as declared: on the nodes themselves, then by Pulumi."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from components.config.settings import Settings
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.diagnosis import failures
from overlab.inspect import compare, lab_collector
from overlab.inspect.finding import Finding
from overlab.inspect.snapshot import Snapshot
from overlab.recovery import remedies
from overlab.recovery.handover import handovers
from overlab.recovery.remedies import Action, Plan
from overlab.stack import check_commands, event_log, state
from overlab.stack.convergence import Convergence
from overlab.stack.engines import address_of
from overlab.stack.foreground import Ended
from overlab.stack.state import CONTAINER, DOCKER_VOLUME, IMAGE, Resource

SETTLE_LIMIT_S = {"container": 90.0, "vm": 300.0}
"""By kind of node: how long what has just started may take until it is as declared by itself."""
GOSSIP_LIMIT_S = 20.0
"""The same for gossip: members join at once, or never."""
UPDATES = 4
ROUNDS = 12
"""Looks with an action after each; every action is another one than before."""

_PAUSE_S = 2.0
_ACTION_LIMIT_S = 240.0
_BY_SETTINGS = frozenset(
    {
        "endpoint-orphaned",
        "machine-down",
        "network-missing",
        "network-subnet-mismatch",
        "network-subnet-taken",
        "node-unexpected",
        "store-peers-mismatch",
        "workload-missing",
    }
)
"""Findings that compare with the settings: before an update they may be its own work."""


@dataclass(frozen=True)
class _Outcome:
    """Of looking, and of what was done on nodes."""

    findings: tuple[Finding, ...] = ()
    plan: Plan = field(default_factory=Plan)
    acted: bool = False

    @property
    def clean(self) -> bool:
        return not (self.findings or self.plan or self.acted)


@dataclass
class Recovery:
    """Of one ``up``."""

    convergence: Convergence
    settings: Settings
    _tried: set[tuple[str, str]] = field(default_factory=set)
    _tried_entries: set[tuple[str, str]] = field(default_factory=set)
    """Since the last update: it creates endpoints, so peer entries after it are others."""
    _settled: float = 0.0

    def run(
        self, update: Callable[[list[str], list[str]], Ended], replace: Collection[str] = ()
    ) -> tuple[Ended, list[Finding]]:
        """Update, with what has to be done before and after it, until the lab is as declared or nothing helps any more.

        ``update`` gets the URNs of what has to be made again (at first those of ``replace``, and commands), and of its
        targets; without any it is of everything.
        The findings are what is not as declared in the end.
        """
        outcome = self._look(updated=False)
        store = [one for one in outcome.plan.refresh if _is_beside_store(one)]
        if any(one.type == CONTAINER for one in store):
            # Whether its data were lost shows only when it runs again: before that no check can pass.
            self.convergence.refresh_changed(outcome.plan.refresh)
            ended = update([], [one.urn for one in store])
            if ended.interrupted:
                return ended, list(outcome.findings)
            outcome = dataclasses.replace(self._look(updated=False), acted=True)
        self._hand_over()
        for _ in range(UPDATES):
            ended = update([*replace, *self._commands(outcome)], [])
            replace = ()
            if ended.interrupted:
                break
            events = event_log.read(self.convergence.stack.event_log)
            if ended.code != 0 and _needs_other_settings(events):
                return ended, []
            if ended.code == 0 and outcome.clean and not event_log.has_changed(events):
                return ended, []
            before, outcome = outcome, self._look(updated=ended.code == 0)
            if outcome.clean or not (outcome.acted or outcome.plan):
                break
            if not outcome.acted and outcome == before:
                break
        return ended, list(outcome.findings)

    def _hand_over(self) -> None:
        """Remove what holds what another resource is to get, and the store's servers that the settings do not have."""
        found = handovers(self.settings, state.read(self.convergence.stack))
        for one in found:
            self._progress.note(str(one))
        if needed := [one.resource for one in found if one.needed]:
            self.convergence.remove(needed)
        if helpful := [one.resource for one in found if not one.needed]:
            try:
                self.convergence.remove(helpful)
            except OverlabError as error:
                self._progress.note(f"not removed first: {error.what}")
        for actions in remedies.to_one_server(self.settings, state.read(self.convergence.stack)):
            self._run_on_nodes(actions)

    def _commands(self, outcome: _Outcome) -> list[str]:
        """Refreshes what is gone; URNs of what has to run again, the checks included where anything was not right."""
        if outcome.plan.refresh:
            self.convergence.refresh_changed(outcome.plan.refresh)
        known = state.read(self.convergence.stack)
        if outcome.clean:
            return check_commands.of_incomplete_run(known)
        return sorted({*outcome.plan.replace, *check_commands.every(known)} & known.urns)

    def _look(self, *, updated: bool) -> _Outcome:
        """Of the nodes that the last update made: look, act on the nodes, look again; bounded by what can be tried."""
        known = state.read(self.convergence.stack)
        addresses = {address for host in known.engines if (address := address_of(host))}
        nodes = [key for key, node in self.settings.nodes.items() if str(node.address) in addresses]
        if not nodes:
            return _Outcome()
        limit = SETTLE_LIMIT_S[self.settings.machine_kind]
        acted, rounds = False, 0
        self._tried_entries.clear()
        with self._progress.step("look at the lab"):
            while True:
                begun = time.monotonic()
                snapshot = lab_collector.take_snapshot(self.settings, self.convergence.platform, nodes)
                if not updated and _is_edited(snapshot, nodes):
                    return _Outcome(acted=acted)
                findings = [one for one in compare.findings(snapshot) if _counts(one, updated=updated)]
                passing = [] if self._settled >= limit else [one for one in findings if _may_pass(one, self._settled)]
                tried = self._tried | self._tried_entries
                plan = remedies.plan(snapshot, [one for one in findings if one not in passing], known, tried)
                if plan.actions and rounds < ROUNDS:
                    self._act(plan.actions)
                    acted, rounds = True, rounds + 1
                elif passing and not plan:
                    self._wait_for(passing, begun)
                else:
                    break
        outcome = _Outcome(tuple(findings), plan, acted)
        if not findings and not plan:
            self._progress.note(f"{_looked_at(snapshot)}: {'all as declared' if updated else 'as the last up left it'}")
        return outcome

    def _wait_for(self, passing: Collection[Finding], begun: float) -> None:
        """The time for what passes by itself is one for the whole ``up``."""
        seen = Counter(one.id for one in passing)
        self._progress.waiting_for(", ".join(f"{count} {id_}" for id_, count in seen.items()))
        time.sleep(_PAUSE_S)
        self._settled += time.monotonic() - begun

    def _act(self, actions: Collection[Action]) -> None:
        for action in actions:
            tried = self._tried_entries if action.stage == remedies.ENTRY else self._tried
            tried.add((action.node, action.script))
        self._run_on_nodes(actions)

    def _run_on_nodes(self, actions: Collection[Action]) -> None:
        """Of different nodes at the same time, of one node one after the other."""
        by_node: dict[str, list[Action]] = {}
        for action in actions:
            by_node.setdefault(action.node, []).append(action)
        with ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(self._act_on, by_node, by_node.values()))

    def _act_on(self, node: str, actions: Collection[Action]) -> None:
        address = str(self.settings.nodes[node].address)
        for action in actions:
            self._progress.note(f"{node}: {action.subject}: {action.what}")
            try:
                self.convergence.engines.call(address, action.script, _ACTION_LIMIT_S)
            except OverlabError as error:
                self._progress.note(f"{node}: {action.subject}: {action.what}: {error.what}")

    @property
    def _progress(self) -> Progress:
        return self.convergence.progress


def _is_edited(snapshot: Snapshot, nodes: Collection[str]) -> bool:
    """Whether it is the update that has to bring nodes or another store first."""
    stores = {report.engine.store for report in snapshot.reports.values() if report.engine is not None}
    away = [key for key in nodes if snapshot.machines[key] == "missing"]
    return bool(away) or snapshot.expected.store not in (stores or {snapshot.expected.store})


def _needs_other_settings(events: Iterable[dict[str, Any]]) -> bool:
    """Whether the update failed over what no repair can mend."""
    failed = ((event_log.name_of(urn).partition("/")[0], message) for urn, message in event_log.errors(events) if urn)
    return any(failures.needs_other_settings(component, message) for component, message in failed)


def _is_beside_store(resource: Resource) -> bool:
    """Whether it is a store's container, or a volume or an image of a node, and so maybe the store's."""
    return resource.type in (DOCKER_VOLUME, IMAGE) or (
        resource.type == CONTAINER and resource.inputs.get("networkMode") == "host"
    )


def _counts(finding: Finding, *, updated: bool) -> bool:
    """Whether it is a fault of the lab: before an update what only the new settings lack or have is none."""
    return finding.severity != "note" and (updated or finding.id not in _BY_SETTINGS)


def _may_pass(finding: Finding, waited: float) -> bool:
    """Whether it may be over in a moment: an engine whose unit failed, or was stopped, does not come back."""
    if finding.id == "engine-down":
        return "activating" in finding.evidence
    if finding.id in ("gossip-partition", "peer-entry-missing"):
        return waited < GOSSIP_LIMIT_S
    return finding.id in remedies.TRANSIENT


def _looked_at(snapshot: Snapshot) -> str:
    containers = [one for report in snapshot.reports.values() for one in report.containers or ()]
    endpoints = sum(len(network.endpoints) for network in snapshot.stored_networks)
    engines = sum(report.engine is not None for report in snapshot.reports.values())
    seconds = max((answer.seconds for answer in snapshot.nodes.values()), default=0)
    store = "store, " if snapshot.led_store else ""
    return (
        f"looked at {len(snapshot.reports)} nodes, {engines} engines, {store}{len(snapshot.stored_networks)} networks,"
        f" {len(containers)} containers, {endpoints} endpoints in {seconds:.1f} s"
    )
