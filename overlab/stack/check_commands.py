"""The commands that run a lab's checks, as the stack's state has them: whether they are of one complete run.

A check may need a listener that another node's command starts. A command that failed is created again by the next
update, and alone its checks would find no listener: the others have to run with it.
"""

from __future__ import annotations

import json

from components.config import roles
from overlab.stack.state import State

_COMMANDS = tuple(f"overlab:index:Connectivity$command:{place}:Command::" for place in ("remote", "local"))
_DECLARED = "overlab:index:Connectivity::"
_ENGINE = "overlab:index:DockerEngine::"


def every(state: State) -> list[str]:
    """URNs of all commands that run checks, on nodes and outside, and of those that ask for published ports."""
    return sorted([*_named(state, roles.CHECKS), *_named(state, roles.PORTS)])


def of_incomplete_run(state: State) -> list[str]:
    """URNs of the nodes' check commands where one of them failed, is missing, or printed less than its results; empty
    after a complete run."""
    present = {one.urn: one for one in state.resources if not one.outdated}
    engines = {urn.rsplit("::", 1)[1] for urn in present if _ENGINE in urn}
    commands = sorted(urn for urn in _named(state, roles.CHECKS) if _COMMANDS[0] in urn)
    # The first trigger is the node's own: its instance.
    runs = {present[urn].triggers[1:] for urn in commands}
    incomplete = len(runs) > 1 or len(commands) < len(engines) or _without_result(state)
    return commands if incomplete else []


def _without_result(state: State) -> set[str]:
    """Ids of declared checks that no command printed, on nodes and outside."""
    present = [one for one in state.resources if not one.outdated]
    declared = [id_ for one in present if _DECLARED in one.urn for id_ in one.inputs.get("checks") or ()]
    printed = "\n".join(one.stdout for one in present if _has_role(one.urn, roles.CHECKS))
    return {id_ for id_ in declared if f'"id": {json.dumps(id_)}' not in printed}


def _named(state: State, role: str) -> list[str]:
    present = (one.urn for one in state.resources if not one.outdated)
    return [urn for urn in present if _has_role(urn, role) and any(one in urn for one in _COMMANDS)]


def _has_role(urn: str, role: str) -> bool:
    return roles.node_of(urn, role) is not None
