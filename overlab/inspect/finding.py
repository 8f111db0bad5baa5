"""What a look found to be wrong, down or worth a note: said in one sentence, with what it means and what to do."""

from __future__ import annotations

from typing import Literal

from overlab.inspect.report import Fact


class Finding(Fact):
    severity: Literal["wrong", "down", "note"]
    """``wrong``: two views disagree. ``down``: something does not run or answer. ``note``: neither."""
    kind: str
    """Which rule found it: ``endpoint-stale``."""
    subject: str
    """Node, overlay, or overlay/endpoint."""
    says: str
    means: str
    remedy: str
