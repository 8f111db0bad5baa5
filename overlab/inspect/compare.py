"""Where the views of a lab disagree: settings, engines, store, gossip and kernel. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from overlab.inspect import compare_endpoints, compare_nodes, compare_overlays, compare_sandboxes
from overlab.inspect.finding import Finding
from overlab.inspect.snapshot import DEFAULT_STACK, Snapshot

_COMMAND = re.compile(r"\boverlab (?=[a-z])")
_RULES: tuple[Callable[[Snapshot], Iterator[Finding]], ...] = (
    compare_nodes.machines,
    compare_nodes.engines,
    compare_nodes.store,
    compare_nodes.listed,
    compare_nodes.gossip,
    compare_nodes.guards,
    compare_overlays.declared,
    compare_overlays.seen,
    compare_overlays.namespaces,
    compare_endpoints.owners,
    compare_endpoints.unregistered,
    compare_endpoints.remote_entries,
    compare_endpoints.left_entries,
    compare_sandboxes.shared,
    compare_sandboxes.ways_out,
    compare_nodes.workloads,
)


def findings(look: Snapshot) -> list[Finding]:
    """Everything that disagrees or is down, the worst first; empty where every view is the same."""
    found = [_for_stack(look.wanted.stack, finding) for rule in _RULES for finding in rule(look)]
    order = ("down", "wrong", "note")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _for_stack(stack: str, finding: Finding) -> Finding:
    """A remedy must not be tried on another lab: the commands in it name the stack where that is not the default."""
    if stack == DEFAULT_STACK:
        return finding
    return finding.model_copy(update={"remedy": _COMMAND.sub(f"overlab --stack {stack} ", finding.remedy)})


def healthy(found: list[Finding]) -> bool:
    """Whether there are no more than notes."""
    return all(finding.severity == "note" for finding in found)
