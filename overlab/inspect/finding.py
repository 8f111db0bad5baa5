"""A finding of ``overlab status``: a case of an entry of the catalogue, with its evidence."""

from __future__ import annotations

from typing import Literal

from overlab.diagnosis import catalogue, cookbook
from overlab.inspect.node_report import Fact


class Finding(Fact):
    severity: Literal["down", "wrong", "note"]
    """``down``: something does not run or answer. ``wrong``: two views disagree. ``note``: neither."""
    id: str
    """Entry of the catalogue: ``endpoint-stale``."""
    subject: str
    """Node, network, or network/endpoint."""
    message: str
    evidence: str
    impact: str
    remedy: str

    @property
    def link(self) -> str:
        """The section of the cookbook; empty where there is none."""
        return cookbook.link(self.id)


def finding(id_: str, subject: str, evidence: str = "", **facts: str) -> Finding:
    """The catalogue's entry about ``subject``, filled in with the facts of the case."""
    diagnosis = catalogue.diagnose(id_, **facts)
    return Finding(
        severity="down" if id_ in catalogue.DOWN else "note" if id_ in catalogue.NOTES else "wrong",
        id=id_,
        subject=subject,
        message=diagnosis.message,
        evidence=evidence,
        impact=diagnosis.impact,
        remedy=diagnosis.remedy,
    )
