"""Errors of Docker's client, with the official provider's texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3.exceptions
from docker.errors import APIError, DockerException

from bundled_plugins.runtime.errors import Cancelled, ProviderError

BROKEN = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError)
"""What Docker's client raises: errors that the daemon answers, and answers that break off."""


class Unreachable(ProviderError):
    """The daemon did not answer, or not in time."""


def text(error: BaseException) -> str:
    """The daemon's or the transport's error text, as Docker's Go client prints it."""
    if isinstance(error, APIError):
        return f"Error response from daemon: {(error.explanation or str(error)).strip()}"
    return str(error)


def mentions(error: BaseException, *phrases: str) -> bool:
    """Whether the error's text holds one of the phrases."""
    words = text(error).lower()
    return any(phrase.lower() in words for phrase in phrases)


def not_found(error: BaseException) -> bool:
    """Whether the daemon answered "not found"."""
    return isinstance(error, APIError) and error.status_code == 404


@contextmanager
def wrap_docker_errors() -> Iterator[None]:
    """Turn what Docker's client raises into a ProviderError with the daemon's text."""
    try:
        yield
    except BROKEN as error:
        raise ProviderError(text(error)) from error


@contextmanager
def error_context(what: str) -> Iterator[None]:
    """Put ``<what>: `` before the text of what fails inside; cancellation keeps its own text."""
    try:
        yield
    except Cancelled:
        raise
    except (*BROKEN, ProviderError) as error:
        raise ProviderError(f"{what}: {text(error)}") from error
