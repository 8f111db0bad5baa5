"""The smallest failing case, by trying smaller ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def smallest(case: T, smaller: Callable[[T], Iterable[T]], fails: Callable[[T], bool], tries: int) -> T:
    """A case that fails, none of whose ``smaller`` ones does, as far as ``tries`` calls of ``fails`` reach."""
    left = tries
    while True:
        for one in smaller(case):
            if left == 0:
                return case
            left -= 1
            if fails(one):
                case = one
                break
        else:
            return case


def without_chunks(steps: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """The steps without a half of them, a quarter, and so on, down to one; never without all."""
    size = len(steps) // 2
    while size > 0:
        for begin in range(0, len(steps), size):
            if rest := steps[:begin] + steps[begin + size :]:
                yield rest
        size //= 2
