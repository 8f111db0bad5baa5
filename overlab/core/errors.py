"""Expected errors: the problem in one sentence, and the remedy."""

from __future__ import annotations


class OverlabError(Exception):
    """Any expected failure: settings apart, what a user can cause or repair.

    ``str(error)`` is shown to the user; ``remedy`` is what to do (a command where there is one).
    """

    def __init__(self, what: str, remedy: str | None = None) -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(what if remedy is None else f"{what}\n  remedy: {remedy}")


class ToolError(OverlabError):
    """An external tool ended with an error; the message holds the command, the exit code and the end of its log."""


class WaitError(OverlabError):
    """A bounded wait ran into its limit; the message names elapsed time, limit, condition and the last observation."""
