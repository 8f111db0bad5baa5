"""What runs a lab's checks: one program a node, so that sessions grow with nodes and not with pairs."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from components.checks import bulk
from components.checks.checked_lab import CheckedLab
from components.checks.facts import Facts, MissingFact
from components.checks.kinds import KINDS, Subject, command, final
from components.checks.model import EXTERNAL, Check
from components.node import scripts, watchdog

PROGRAM = (scripts.TEMPLATES / "run_checks.py").read_text("utf-8")
MARGIN_S = 300
"""For a slow machine to do what a check's own limit does not count."""
ATTEMPT_S = 5
"""A check that is tried once, on such a machine."""


def node_script(node: str, checks: Iterable[Check], lab: CheckedLab, facts: Facts) -> str:
    """The script that runs a node's checks, or with EXTERNAL those from outside.

    Records go to stdout; exit code 1 and what failed on stderr if one did.

    Of the checks that run elsewhere only those count by which bulk comes to a workload of this node.
    Raises :class:`MissingFact`.
    """
    every = list(checks)
    own = [check for check in every if check.node == node]
    asked = Counter(check.target for check in every if KINDS[check.kind].needs_listener)
    plan = {
        "where": f"on {node}",
        "watchdog": watchdog.SCRIPT,
        "listeners": {
            target: bulk.listener(facts.bulk_port, receivers)
            for target, receivers in asked.items()
            if lab.workloads[target].node == node
        },
        "listen_s": ATTEMPT_S
        + max((check.timeout_s for check in every if KINDS[check.kind].needs_listener), default=0),
        "checks": [_task(check, lab, facts) for check in own],
    }
    if node == EXTERNAL:
        plan |= {"where": "from outside", "watchdog": ""}
    return f"printf %s {shlex.quote(json.dumps(plan))} |\n\tpython3 -I -c {shlex.quote(PROGRAM)}\n"


def limit_s(checks: Sequence[Check]) -> int:
    """The limit of a session that runs these."""
    return MARGIN_S + max((check.timeout_s for check in checks), default=0) + ATTEMPT_S * len(checks)


def missing_fact(check: Check, lab: CheckedLab, facts: Facts) -> str:
    """Why a check cannot even be stated; empty where everything that it needs is known."""
    try:
        KINDS[check.kind].probe(Subject(check, lab, facts))
    except MissingFact as missing:
        return str(missing)
    return ""


def _task(check: Check, lab: CheckedLab, facts: Facts) -> dict[str, Any]:
    kind = KINDS[check.kind]
    subject = Subject(check, lab, facts)
    probe = kind.probe(subject)
    return {
        "record": {
            "id": check.id,
            "kind": check.kind,
            "title": check.title,
            "expect": check.expect,
            "command": command(check, probe),
        },
        "timeout_s": check.timeout_s,
        "place": kind.place,
        "workload": check.source,
        "run": probe.command,
        "wants": probe.wants,
        "final": final(subject),
    }
