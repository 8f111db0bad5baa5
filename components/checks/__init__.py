"""The lab's checks as data: what is expected of whom, derived from the settings. Pure; who runs them is elsewhere."""

from components.checks.checked_lab import CheckedLab
from components.checks.facts import Facts, facts_script, parse_facts
from components.checks.matrix import matrix
from components.checks.model import EXTERNAL, Check, CheckResult, parse, reopened_workloads, result
from components.checks.script import PROGRAM, limit_s, missing_fact, node_script

__all__ = [
    "EXTERNAL",
    "PROGRAM",
    "Check",
    "CheckResult",
    "CheckedLab",
    "Facts",
    "facts_script",
    "limit_s",
    "matrix",
    "missing_fact",
    "node_script",
    "parse",
    "parse_facts",
    "reopened_workloads",
    "result",
]
