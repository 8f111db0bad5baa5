"""A finding of ``overlab status``: a case of an entry of the catalogue, with its evidence."""

from __future__ import annotations

from overlab.diagnosis import catalogue


class Finding(catalogue.Diagnosis):
    severity: catalogue.Severity
    """``down``: something does not run or answer. ``wrong``: two views disagree. ``note``: neither."""
    subject: str
    """Node, network, or network/endpoint."""
    evidence: str


def finding(id_: str, subject: str, evidence: str = "", **facts: str) -> Finding:
    """The catalogue's entry about ``subject``, filled in with the facts of the case."""
    severity, diagnosis = catalogue.ENTRIES[id_].severity, catalogue.diagnose(id_, **facts)
    return Finding(**diagnosis.model_dump(), severity=severity, subject=subject, evidence=evidence)
