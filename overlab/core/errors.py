"""Expected errors: the problem in one sentence, what shows it, and the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class OverlabError(Exception):
    """Any expected failure: settings apart, what a user can cause or repair.

    ``cause`` is one sentence, ``evidence`` the lines that show it, ``what`` both; ``remedy`` is what to do (a command
    where there is one). ``component`` is the part of the platform or the step that failed; where it is not stated,
    :func:`component` sets it.
    """

    def __init__(
        self, cause: str, remedy: str | None = None, *, evidence: Sequence[str] = (), component: str = ""
    ) -> None:
        self.cause = cause
        self.remedy = remedy
        self.evidence = tuple(evidence)
        self.component = component
        self.what = cause + ":" * bool(evidence) + "".join(f"\n    {line}" for line in evidence)
        super().__init__(self.what if remedy is None else f"{self.what}\n  remedy: {remedy}")


class ToolError(OverlabError):
    """An external tool ended with an error: the command and the exit code; the end of its log is the evidence."""


class WaitError(OverlabError):
    """A bounded wait ran into its limit; the message names elapsed time, limit, condition and the last observation."""


@contextmanager
def component(name: str) -> Iterator[None]:
    """The innermost one is the component of an error without one; an error of the operating system becomes expected."""
    try:
        yield
    except OverlabError as error:
        error.component = error.component or name
        raise
    except OSError as error:
        remedy = "resolve that, then repeat the command; overlab doctor lists what is missing"
        raise OverlabError(str(error), remedy, component=name) from error
