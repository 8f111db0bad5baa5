"""The store's own web page, reached from this machine's loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from components.config import conventions
from components.config.platform import Platform
from components.config.settings import Settings
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.core.wait import NotYet, until
from overlab.inspect import tunnel
from overlab.inspect.tunnel import Tunnel

CONNECT_LIMIT_S = 90.0
_PAGE = "/ui/dc1/kv/docker/nodes/"
_POLL_S = 0.5


@dataclass(frozen=True)
class Page:
    """The page, while its tunnel stands."""

    tunnel: Tunnel

    @property
    def url(self) -> str:
        """Of the keys below ``docker/nodes``; the rest of the store is one click away."""
        return f"http://127.0.0.1:{self.tunnel.port}{_PAGE}"

    def wait(self) -> None:
        """Return never; raise :class:`OverlabError` when the tunnel ends."""
        while self.tunnel.process.poll() is None:
            time.sleep(_POLL_S)
        raise OverlabError(
            f"the tunnel to {self.tunnel.node} ended: {self.tunnel.said or 'no reason'}", "overlab status"
        )


@contextlib.contextmanager
def opened(settings: Settings, platform: Platform, progress: Progress, port: int | None = None) -> Iterator[Page]:
    """The store's page, at ``port`` or a free one; of several servers the first that answers.

    Raises :class:`OverlabError` where none answers within :data:`CONNECT_LIMIT_S` each, or the port is taken.
    """
    if port is not None:
        tunnel.refuse_taken(port)
    errors = []
    for node in settings.store_nodes:
        with contextlib.ExitStack() as stack:
            made = stack.enter_context(tunnel.opened(settings, platform, node, conventions.CONSUL_HTTP_PORT, port))
            try:
                until(f"the store on {node}", partial(_answers, made), CONNECT_LIMIT_S, progress, interval_s=0.3)
            except OverlabError as error:
                errors.append(error.what)
                continue
            yield Page(made)
            return
    raise OverlabError("; ".join(errors), "overlab status")


def _answers(made: Tunnel) -> None:
    """Raises NotYet until the store answers through the tunnel, OverlabError where it never will."""
    if made.process.poll() is not None:
        raise OverlabError(f"no tunnel to {made.node}: {made.said or 'ssh gave no reason'}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{made.port}/v1/status/leader", timeout=10) as answer:
            leader = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotYet(f"{error} {made.said}".strip()) from error
    if not leader:
        raise NotYet("the store has no leader")
