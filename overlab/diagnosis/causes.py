"""The first likely cause of a failed check, and what to do about it. Pure."""

from __future__ import annotations

import re

from components.checks import CheckResult
from overlab.diagnosis.catalogue import MATCHES, NOT_RUN, Diagnosis, diagnose

UNKNOWN = {
    "network": "NETWORK",
    "other_node": "NODE",
    "store_node": "STORE_NODE",
    "store_container": "STORE",
    "advertise": "ADDRESS:2376",
}
"""Facts that a remedy may need and a check does not have."""


def find(result: CheckResult) -> Diagnosis | None:
    """The first likely cause of a failure, in this check's own names; None where the check passed."""
    if result.status == "passed":
        return None
    # A check that could not even be tried is no evidence about its kind.
    kind = result.kind if result.got else NOT_RUN if result.status == "not run" else ""
    for id_, kinds, pattern in MATCHES:
        if (not kinds or kind in kinds) and re.search(pattern, result.output, re.IGNORECASE):
            facts = UNKNOWN | {
                "node": result.node,
                "workload": result.source or result.node,
                "target": result.target.split("/", 1)[0] or result.node,
            }
            return diagnose(id_, **facts | ({"network": result.network} if result.network else {}))
    raise AssertionError("the last row matches everything")
