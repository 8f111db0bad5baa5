"""Bounded calls of libvirt's API, which has no timeouts: one that hangs is abandoned with its thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from overlab.core.errors import OverlabError

T = TypeVar("T")


class LibvirtError(Exception):
    """libvirt's message, or that there was no answer within the limit."""


def ask(uri: str, question: Callable[[Any], T], limit_s: float, *, read_only: bool = False) -> T:
    """``question(connection)``. Raises :class:`LibvirtError` where libvirt fails or does not answer in time.

    An :class:`OverlabError` of the question passes on.
    """
    import libvirt

    answers: list[T] = []
    errors: list[Exception] = []

    def call() -> None:
        try:
            with contextlib.closing(libvirt.openReadOnly(uri) if read_only else libvirt.open(uri)) as connection:
                answers.append(question(connection))
        except (libvirt.libvirtError, OverlabError) as error:
            errors.append(error)

    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it writes to standard error
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(limit_s)
    if answers:
        return answers[0]
    if errors and isinstance(errors[0], OverlabError):
        raise errors[0]
    raise LibvirtError(str(errors[0]) if errors else f"no answer within {limit_s:g} s")
