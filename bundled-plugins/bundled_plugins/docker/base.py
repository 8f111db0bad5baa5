"""What every docker resource adds to its model: the daemon's client, and the official error layout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import cast

from docker.errors import DockerException

from bundled_plugins.docker.client import Api, Daemon
from bundled_plugins.docker.errors import text, wrap_docker_errors
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model_resource import ModelResource
from bundled_plugins.runtime.resource import Operation


class DockerResource(ModelResource):
    """A resource of one Docker daemon; hooks get its :class:`Api` as client."""

    keeps_refused_update = True

    @contextmanager
    def client(self, op: Operation) -> Iterator[Api]:
        with cast(Daemon, op.provider).serving(op) as api:
            yield api

    def library_errors(self) -> AbstractContextManager[None]:
        return wrap_docker_errors()

    def error_layout(self, doing: str, op: Operation, text: str) -> str:
        return f"{doing} {op.urn}: {_layout(text)}" if doing else _layout(text)


def _layout(reason: str) -> str:
    return f"1 error occurred:\n\t* {reason}\n\n"


def retried(op: Operation, attempt: Callable[[], None], phrase: str, state: str, limit_s: float = 30) -> None:
    """Repeat an attempt that fails with ``phrase`` each second, until it succeeds or ``limit_s`` are over."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return attempt()
        except DockerException as error:
            if phrase not in text(error):
                raise
            if time.monotonic() >= deadline:
                raise ProviderError(
                    f"timeout while waiting for state to become 'removed' (last state: '{state}', "
                    f"timeout: {limit_s:g}s): {text(error)}"
                ) from error
        op.log("info", f"waiting: {phrase}", True)
        op.pause(1)
