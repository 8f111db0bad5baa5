"""The lab's checks as data: what is expected of whom, derived from the settings. Pure; who runs them is elsewhere."""

from components.checks.facts import Facts, facts_script, parse_facts
from components.checks.lab import CheckedLab
from components.checks.matrix import matrix
from components.checks.model import EXTERNAL, Check, Result, parse, reopened_workloads
from components.checks.script import PROGRAM, external_plan, limit_s, missing_fact, node_script

__all__ = [
    "EXTERNAL",
    "PROGRAM",
    "Check",
    "CheckedLab",
    "Facts",
    "Result",
    "external_plan",
    "facts_script",
    "limit_s",
    "matrix",
    "missing_fact",
    "node_script",
    "parse",
    "parse_facts",
    "reopened_workloads",
]
