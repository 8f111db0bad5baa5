"""The first likely cause of a failure, and what to do about it. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from components.checks.model import CheckResult
from overlab.diagnosis.cookbook import ENTRIES, Cause, Entry


def find(verdict: CheckResult) -> Cause | None:
    """The first likely cause of a failure, in this check's own names; None where the check passed."""
    if verdict.status == "passed":
        return None
    # What could not even be tried says nothing of its kind.
    key = verdict.kind if verdict.got else "not run" if verdict.status == "not run" else ""
    for entry in ENTRIES:
        if (not entry.kinds or key in entry.kinds) and _said(entry, verdict):
            return _about(entry.cause, verdict)
    raise AssertionError("the last entry fits everything")


def anchors() -> list[str]:
    """Every section of the cookbook that a failure may point at."""
    return list(dict.fromkeys(entry.cause.anchor for entry in ENTRIES))


def _said(entry: Entry, verdict: CheckResult) -> bool:
    return re.search(entry.said, verdict.output, re.IGNORECASE) is not None


def _about(cause: Cause, verdict: CheckResult) -> Cause:
    names = {
        "node": verdict.node,
        "source": verdict.source or verdict.node,
        "target": verdict.target.split("/", 1)[0] or verdict.node,
        "overlay": verdict.network or "OVERLAY",
    }
    return replace(cause, likely=cause.likely.format(**names), remedy=cause.remedy.format(**names))
