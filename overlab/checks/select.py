"""``--only``: a part of the matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from components import checks
from overlab.core.errors import OverlabError


def select(matrix: Sequence[checks.Check], only: Iterable[str]) -> tuple[checks.Check, ...]:
    """The checks that any of the words names: a kind, a workload that they are about, or ids with ``*`` and ``?``.

    No words mean all. Raises :class:`OverlabError` for a word that names none.
    """
    words = list(only)
    for word in words:
        if not any(_matches(check, word) for check in matrix):
            kinds = ", ".join(sorted({check.kind for check in matrix}))
            raise OverlabError(
                f"--only {word}: no check of this lab has that kind, workload or id",
                f"kinds: {kinds}; ids as in: {matrix[0].id if matrix else '(no checks)'}",
            )
    return tuple(check for check in matrix if not words or any(_matches(check, word) for word in words))


def limited(matrix: Iterable[checks.Check], timeout_s: int | None) -> tuple[checks.Check, ...]:
    """The checks, each with this limit where its own is longer."""
    if timeout_s is None:
        return tuple(matrix)
    return tuple(check.model_copy(update={"timeout_s": min(check.timeout_s, timeout_s)}) for check in matrix)


def _matches(check: checks.Check, word: str) -> bool:
    return word in (check.kind, check.source, check.target) or fnmatchcase(check.id, word)
