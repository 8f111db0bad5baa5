"""The lab's checks as data: what is expected of whom, derived from the settings. Pure; who runs them is elsewhere."""

from components.checks.facts import Facts
from components.checks.matrix import matrix
from components.checks.model import Check, Kind, Result, parse
from components.checks.script import external_checks, node_script

__all__ = ["Check", "Facts", "Kind", "Result", "external_checks", "matrix", "node_script", "parse"]
