"""The store's web UI, for one browser of this machine."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from components.config.platform import Platform
from components.config.settings import Settings
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.core.wait import NotYet, until
from overlab.inspect import tunnel, ui_proxy
from overlab.inspect.tunnel import Tunnel
from overlab.inspect.ui_proxy import UnixConnection

CONNECT_LIMIT_S = 90.0
_PAGE = "/ui/dc1/kv/docker/nodes/"


@dataclass(frozen=True)
class Page:
    """The page, while its tunnel is connected."""

    tunnel: Tunnel
    url: str
    """For one browser; it leads to the keys below ``docker/nodes``, and the rest of the store is a link away."""

    def wait(self) -> None:
        """Return never; raise :class:`OverlabError` when the tunnel ends."""
        self.tunnel.process.wait()
        raise OverlabError(
            f"the tunnel to {self.tunnel.node} ended: {self.tunnel.stderr or 'no reason'}", "overlab status"
        )


@contextlib.contextmanager
def opened(settings: Settings, platform: Platform, progress: Progress, port: int | None = None) -> Iterator[Page]:
    """The store's web UI, at ``port`` or a free one; of several servers the first that answers.

    Raises :class:`OverlabError` where none answers within :data:`CONNECT_LIMIT_S` each, or the port is taken.
    """
    backend = settings.store.backend
    if not backend.ui:
        raise OverlabError(f"{backend.title} has no web UI", "overlab status; overlab inspect cnm NODE")
    errors = []
    for node in settings.store_nodes:
        with contextlib.ExitStack() as stack:
            forwarded = stack.enter_context(tunnel.opened(settings, platform, node, backend.client_port))
            url = stack.enter_context(ui_proxy.serving(port, forwarded.socket, _PAGE))
            try:
                until(
                    f"the store on {node}", partial(_check_leader, forwarded), CONNECT_LIMIT_S, progress, interval_s=0.3
                )
            except OverlabError as error:
                errors.append(error.what)
                continue
            yield Page(forwarded, url)
            return
    raise OverlabError("; ".join(errors), "overlab status")


def _check_leader(forwarded: Tunnel) -> None:
    """Raises NotYet until the store answers through the tunnel, OverlabError once the tunnel has ended."""
    if forwarded.process.poll() is not None:
        raise OverlabError(f"no tunnel to {forwarded.node}: {forwarded.stderr or 'ssh gave no reason'}")
    with contextlib.closing(UnixConnection(forwarded.socket, limit_s=10)) as store:
        try:
            store.request("GET", "/v1/status/leader")
            leader = json.loads(store.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotYet(f"{error} {forwarded.stderr}".strip()) from error
    if not leader:
        raise NotYet("the store has no leader")
