"""Previews under the policy pack through the real CLI, and the violations in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from conformance.engine import Home, Project, Result

ROOT = Path(__file__).parents[2]
PACK = ROOT / "policy"
LIMIT_S = 110
_VIOLATION = re.compile(r"\[(mandatory|advisory)\]  (\S+)  \(([^:]*:.*): (.+)\)")


@dataclass(frozen=True)
class Reported:
    """A line of the CLI's report."""

    level: str
    rule: str
    resource: str


def reported(result: Result) -> list[Reported]:
    """The violations in a preview, in order."""
    return [Reported(level, rule, name) for level, rule, _, name in _VIOLATION.findall(result.text)]


def mandatory(result: Result) -> set[str]:
    """The mandatory rules that were broken."""
    return {one.rule for one in reported(result) if one.level == "mandatory"}


def small_lab(home: Home, directory: Path) -> Project:
    """A project whose program is the small lab, with the change that ``VIOLATION`` names."""
    project = Project(home, directory, name="small").create()
    project.write(
        "__main__.py",
        f"""
        import os
        import sys

        sys.path.insert(0, {str(ROOT)!r})
        from tests.policy.violations import ADVISED, VIOLATIONS
        from tests.policy.small_lab import SmallLab

        SmallLab({{**ADVISED, **VIOLATIONS}}.get(os.environ["VIOLATION"], {{}}))
        """,
    )
    return project


def preview(project: Project, case: str) -> Result:
    """A preview of the small lab with the change that breaks a rule; any other word changes nothing.

    ``RULE@STACK`` is the same under that stack's policy configuration.
    """
    violation, _, stack = case.partition("@")
    configured = ["--policy-pack-config", str(PACK / f"{stack}.json")] if stack else []
    return project.run("preview", "--policy-pack", str(PACK), *configured, limit_s=LIMIT_S, VIOLATION=violation)
