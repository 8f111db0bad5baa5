"""Bring the state and what exists together around an operation, so that it succeeds after a kill or a removal.

Only what disagrees is refreshed. A refresh of everything would take each network of an engine that does not answer for
removed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.config import roles
from components.config.platform import Platform
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform.private_dockerd import PrivateDockerd
from overlab.stack import event_log, leftovers, state
from overlab.stack.engines import REPAIR, Engines, address_of, node_of
from overlab.stack.lab_object import LabObject, lab_prefix
from overlab.stack.leftovers import Survey
from overlab.stack.stack import Stack
from overlab.stack.state import Resource, State

if TYPE_CHECKING:
    from components.config.settings import Settings

_RETRY_LIMIT_S = 30.0
_REMOVAL_LIMIT_S = 120.0
_REMOVE = """\
listed=$(docker {listing} --quiet --no-trunc) || exit 1
for id in {ids}; do
    case "$listed" in *"$id"*) docker {removal} "$id" >&2 || exit 1 ;; esac
done
{after}
"""
"""One that is gone already fails nothing; an engine that does not answer does."""


@dataclass(frozen=True)
class Convergence:
    """The operations of one stack, with what has to be done before and after them."""

    stack: Stack
    lab: str
    platform: Platform
    progress: Progress
    say: Callable[[str], None]

    def before_up(self, settings: Settings) -> None:
        """Remove what the state does not have, start machines that are off, refresh what is gone.

        Raises :class:`OverlabError`, before anything is done, where a hypervisor does not answer or a name is taken.
        """
        known = state.read(self.stack)
        found = leftovers.survey(self.lab, self.platform, known, settings.nodes)
        leftovers.refuse_foreign(found, self.lab)
        self._thaw(found.leftovers)
        leftovers.remove_leftovers(found, self.progress)
        pending = [one for one in known.creating if node_of(one)]
        networks = [one.name for one in pending if one.type == state.DOCKER_NETWORK]
        self._clear_nodes(known, {address for one in pending if (address := node_of(one))}, networks)
        self._refresh([*found.gone, *leftovers.start_stopped(found, self.progress)], known)

    def refresh_changed(self, targets: Collection[Resource]) -> None:
        """Of what is gone from an engine that answers, or is otherwise there than the state has it."""
        self.progress.note(f"gone or changed, refreshing: {_names(targets)}")
        self._run_refresh(list(targets))

    def remove(self, targets: Collection[Resource]) -> None:
        """Remove objects that are in the state, on nodes and outside of them, in this order; then refresh them.

        Raises :class:`OverlabError` where one cannot be removed.
        """
        found = leftovers.survey(self.lab, self.platform, state.read(self.stack))
        on_nodes: dict[tuple[str, str], list[str]] = {}
        for one in targets:
            if address := node_of(one):
                on_nodes.setdefault((one.type, address), []).append(one.id)
            else:
                leftovers.remove_known(found, one)
        for (type_, address), ids in on_nodes.items():
            words = ("ps --all", "rm --force --volumes", REPAIR)
            if type_ == state.DOCKER_NETWORK:
                words = ("network ls", "network rm", "")
            listing, removal, after = words
            script = _REMOVE.format(listing=listing, removal=removal, after=after, ids=" ".join(ids))
            self.engines.call(address, script, _REMOVAL_LIMIT_S)
        self._run_refresh(list(targets))

    def reset(self, node: str) -> None:
        """Reset a node's machine. Raises :class:`OverlabError` where it does not run."""
        found = leftovers.survey(self.lab, self.platform, state.read(self.stack))
        leftovers.reset(found, f"{lab_prefix(self.lab)}-{node}")
        self.progress.note(f"reset: {node}")

    def machine_urns(self, node: str) -> list[str]:
        """URNs of a node's machine and its disk, or its container and its volume. Raises :class:`OverlabError`."""
        names = {roles.resource_name(node, role) for role in roles.MACHINE}
        found = [one.urn for one in state.read(self.stack).resources if one.logical_name in names]
        if not found:
            raise OverlabError(f"the state has no machine of {node}", "overlab up, which creates it")
        return found

    def before_down(self) -> None:
        """As :meth:`before_up`; nothing is done on nodes, which are destroyed as a whole."""
        known = state.read(self.stack)
        found = leftovers.survey(self.lab, self.platform, known)
        self._thaw(found.objects)
        leftovers.remove_leftovers(found, self.progress)
        self._refresh(found.gone, known)

    def after_down(self) -> tuple[Survey, bool]:
        """Remove what the state does not have; what is left then, by names of the lab, and whether any was removed.

        Raises :class:`OverlabError` that names what cannot be removed.
        """
        known = state.read(self.stack)
        found = leftovers.survey(self.lab, self.platform, known)
        if not found.leftovers:
            return found, False
        self._thaw(found.leftovers)
        leftovers.remove_leftovers(found, self.progress)
        return leftovers.survey(self.lab, self.platform, known), True

    def before_refresh(self) -> None:
        """Refresh machines that are gone or stopped, then wait for every engine.

        Raises :class:`OverlabError` where one does not answer.
        """
        known = state.read(self.stack)
        found = leftovers.survey(self.lab, self.platform, known)
        self._refresh([*found.gone, *found.stopped], known)
        away = [
            one.logical_name for one in [*found.gone, *found.stopped] if one.type in (state.DOMAIN, state.CONTAINER)
        ]
        if away:
            raise OverlabError(
                f"not refreshed: {', '.join(away)} does not run, and what is on it cannot be inspected",
                "overlab up, which starts or creates it; then overlab refresh",
            )
        with self.progress.step("engines"):
            self.engines.require(known.resources, self.progress)

    def after_failure(self, events: Collection[Mapping[str, Any]], networks: Collection[str] = ()) -> bool:
        """Refresh what failed; whether something of it turned out to be gone, so that another try is worth it.

        Where a container or a network could not be created, what the nodes have of the lab and the state does not is
        removed; ``networks`` are the names that must be free.
        """
        known = state.read(self.stack)
        if networks and event_log.failed_creations(events) & {state.CONTAINER, state.DOCKER_NETWORK}:
            nodes = {address for host in known.engines if (address := address_of(host))}
            if self._clear_nodes(known, nodes, networks):
                self.progress.note("trying once more")
                return True
        failed = set(event_log.failed(events))
        targets = [one for one in known.resources if one.urn in failed]
        if self._thaw(targets):
            self.progress.note("paused workloads are thawed; trying once more")
            return True
        silent = self.engines.silent(targets, self.progress, _RETRY_LIMIT_S)
        targets = [one for one in targets if node_of(one) not in silent]
        if not targets:
            return False
        self.progress.note(f"refreshing what failed: {_names(targets)}")
        self._run_refresh(targets)
        left = state.read(self.stack).urns
        gone = [one for one in targets if one.urn not in left]
        if gone:
            self.progress.note(f"gone: {_names(gone)}; trying once more")
        return bool(gone)

    def _clear_nodes(self, known: State, addresses: set[str], networks: Collection[str]) -> bool:
        return bool(addresses) and self.engines.remove_leftovers(known, sorted(addresses), networks, self.progress)

    def _thaw(self, containers: Iterable[Resource | LabObject]) -> bool:
        """Thaw what runs on those that are node containers, so that they can be removed; whether it was needed."""
        if self.platform.node_engine is None:
            return False
        engine, prefix = PrivateDockerd(LabPaths(self.lab)), f"{lab_prefix(self.lab)}-"
        thawed = [engine.thaw(one.name.removeprefix(prefix)) for one in containers if one.name.startswith(prefix)]
        return any(thawed)

    @property
    def engines(self) -> Engines:
        return Engines(self.lab, self.platform)

    def _refresh(self, targets: list[Resource], known: State) -> None:
        if targets:
            self.progress.note(f"gone or stopped, refreshing: {_names(targets)}")
        if targets or known.creating:
            self._run_refresh(targets or [one for one in known.resources if one.type == "pulumi:pulumi:Stack"])

    def _run_refresh(self, targets: list[Resource]) -> None:
        """Of these alone. What an interrupted update was creating is dropped from the state: it was looked for."""
        words = ["refresh", "--yes", "--skip-preview", "--non-interactive", "--suppress-outputs"]
        words += ["--clear-pending-creates"]
        words += [word for one in targets for word in ("--target", one.urn)]
        with self.progress.paused(), self.progress.step("pulumi refresh"):
            ended = self.stack.run(words, say=self.say)
        if ended.interrupted:
            raise KeyboardInterrupt
        if ended.code != 0:
            raise OverlabError(
                f"`pulumi refresh` of {_names(targets)} ended with exit code {ended.code}", "see its output"
            )


def _names(resources: Iterable[Resource]) -> str:
    return ", ".join(one.logical_name for one in resources)
