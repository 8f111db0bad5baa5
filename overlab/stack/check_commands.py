"""The commands that run a lab's checks, as the stack's state has them: whether they are of one complete run.

A check may need a listener that another node's command starts. A command that failed is created again by the next
update, and alone its checks would find no listener: the others have to run with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from overlab.stack.stack import Stack

_COMMAND = "overlab:index:Connectivity$command:remote:Command::"
_DECLARED = "overlab:index:Connectivity::"
_ENGINE = "overlab:index:DockerEngine::"


def of_incomplete_run(stack: Stack) -> list[str]:
    """URNs of the nodes' check commands where one of them failed, is missing, or printed less than its results; empty
    after a complete run."""
    resources = list(_resources(stack))
    engines = {one["urn"].rsplit("::", 1)[1] for one in resources if _ENGINE in one["urn"]}
    commands = {one["urn"]: one for one in resources if _COMMAND in one["urn"] and one["urn"].endswith("-checks")}
    # The first trigger is the node's own: its instance.
    runs = {json.dumps((one.get("inputs", {}).get("triggers") or [])[1:]) for one in commands.values()}
    if len(runs) > 1 or len(commands) < len(engines) or _without_result(resources):
        return sorted(commands)
    return []


def _without_result(resources: list[dict[str, Any]]) -> set[str]:
    """Ids of declared checks that no command printed, on nodes and outside."""
    declared = [
        id_ for one in resources if _DECLARED in one["urn"] for id_ in one.get("inputs", {}).get("checks") or ()
    ]
    commands = [one for one in resources if one["urn"].endswith("-checks")]
    printed = "\n".join(str(one.get("outputs", {}).get("stdout")) for one in commands)
    return {id_ for id_ in declared if f'"id": {json.dumps(id_)}' not in printed}


def _resources(stack: Stack) -> Iterator[dict[str, Any]]:
    """Those of the last update, without the ones that are only still to be deleted. None of an unreadable state."""
    try:
        latest = json.loads(stack.state_file.read_text("utf-8"))["checkpoint"]["latest"]
    except (OSError, ValueError, KeyError):
        return
    for resource in (latest or {}).get("resources") or ():
        if not resource.get("delete"):
            yield resource
