"""Errors in the official provider's words and layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3.exceptions
from docker.errors import APIError, DockerException

from bundled_plugins.runtime.errors import Cancelled, ProviderError

BROKEN = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError)
"""What Docker's client raises: the daemon's refusals, and answers that break off."""


class Unreachable(ProviderError):
    """The daemon did not answer, or not in time."""


class Failed(ProviderError):
    """A failure that already has the official provider's words, but not its layout yet."""


def text(error: BaseException) -> str:
    """What the daemon or the transport said, as Docker's Go client words it."""
    if isinstance(error, APIError):
        return f"Error response from daemon: {(error.explanation or str(error)).strip()}"
    return str(error)


def says(error: BaseException, *phrases: str) -> bool:
    """Whether the error's text holds one of the phrases."""
    words = text(error).lower()
    return any(phrase.lower() in words for phrase in phrases)


def missing(error: BaseException) -> bool:
    """Whether the daemon answered "not found"."""
    return isinstance(error, APIError) and error.status_code == 404


@contextmanager
def told(what: str) -> Iterator[None]:
    """Put ``<what>: `` before the text of what fails inside."""
    try:
        yield
    except Cancelled:
        raise
    except (*BROKEN, Failed, Unreachable) as error:
        raise Failed(f"{what}: {text(error)}") from error


def layout(reason: str) -> str:
    """The frame that the official provider puts around every reason."""
    return f"1 error occurred:\n\t* {reason}\n\n"


@contextmanager
def framed(prefix: str = "") -> Iterator[None]:
    """Give what fails inside the official layout; cancellation keeps its own text."""
    try:
        yield
    except Cancelled:
        raise
    except (*BROKEN, ProviderError) as error:
        raise ProviderError(f"{prefix}{layout(text(error))}") from error
