"""Where the views of a lab disagree: settings, engines, store, gossip and kernel. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from overlab.inspect import compare_endpoints, compare_networks, compare_nodes, compare_sandboxes
from overlab.inspect.finding import Finding
from overlab.inspect.snapshot import DEFAULT_STACK, Snapshot

_COMMAND = re.compile(r"\boverlab (?=[a-z])")
_SEVERITIES = ("down", "wrong", "note")
COMPARISONS: tuple[Callable[[Snapshot], Iterator[Finding]], ...] = (
    compare_nodes.machines,
    compare_nodes.engines,
    compare_nodes.configurations,
    compare_nodes.store,
    compare_nodes.registrations,
    compare_nodes.gossip,
    compare_nodes.clocks,
    compare_nodes.filters,
    compare_nodes.attached_nodes,
    compare_nodes.swarm,
    compare_nodes.swarm_gossip,
    compare_nodes.watchdogs,
    compare_networks.expected_networks,
    compare_networks.visible_networks,
    compare_networks.namespaces,
    compare_networks.orphaned_ports,
    compare_endpoints.stored_endpoints,
    compare_endpoints.duplicates,
    compare_endpoints.mtus,
    compare_endpoints.running_endpoints,
    compare_endpoints.peer_entries,
    compare_endpoints.stale_peer_entries,
    compare_sandboxes.shared_sandboxes,
    compare_sandboxes.gateway_endpoints,
    compare_nodes.workloads,
)


def findings(snapshot: Snapshot) -> list[Finding]:
    """Everything that disagrees or is down, the worst first; empty where every view is the same."""
    found = named(snapshot, [finding for comparison in COMPARISONS for finding in comparison(snapshot)])
    return sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity))


def named(snapshot: Snapshot, found: list[Finding]) -> list[Finding]:
    """With remedies that name the lab or cluster: none must be tried on another one."""
    if snapshot.expected.stack == DEFAULT_STACK:
        return found
    command = f"overlab --stack {snapshot.expected.stack} "
    return [one.model_copy(update={"remedy": _COMMAND.sub(command, one.remedy)}) for one in found]


def healthy(found: list[Finding]) -> bool:
    """Whether there are only notes."""
    return all(finding.severity == "note" for finding in found)
