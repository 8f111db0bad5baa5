"""Channels on shared connections, with a dead one replaced before anything is sent over it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import paramiko

from bundled_plugins.command.client import Running
from bundled_plugins.command.connection import Connection
from bundled_plugins.command.pool import Lease
from bundled_plugins.runtime.errors import ProviderError

#: A shared connection that gives no channel in this time is dead.
CHANNEL_S: Final = 30.0

_TRIES: Final = 4

BROKEN: Final = (paramiko.SSHException, EOFError, OSError)
"""What paramiko raises when a request fails or the connection breaks."""


@contextlib.contextmanager
def channel(run: Running, target: Connection) -> Iterator[paramiko.Channel]:
    """A fresh session channel, closed at the end. Nothing has run on the host yet when it is handed out."""
    for attempt in range(1, _TRIES + 1):
        with run.client.pool.lease(target, run.stop, run.info) as lease:
            opened = _opened(run, lease, last=attempt == _TRIES)
            if opened is not None:
                with contextlib.closing(opened):
                    yield opened
                return


def _opened(run: Running, lease: Lease, *, last: bool) -> paramiko.Channel | None:
    """A new channel of the connection; None when another connection must be tried."""
    try:
        return lease.transport.open_session(timeout=run.stop.remaining(CHANNEL_S))
    except paramiko.ChannelException as error:
        if not last and lease.limit_reached():
            return None
        raise ProviderError(f"ssh: rejected: {error.text} (the server refused a session)") from error
    except BROKEN as error:
        run.stop.check()
        lease.discard()
        if not last and not lease.fresh:
            return None
        raise ProviderError(f"{reason(error)} (the SSH connection broke before anything was sent)") from error


def is_alive(channel: paramiko.Channel) -> bool:
    """Whether the connection that carries the channel is up."""
    return channel.get_transport().is_active()


def reason(error: BaseException) -> str:
    """The error's text; paramiko raises some errors without one."""
    return str(error) or ("EOF" if isinstance(error, EOFError) else type(error).__name__)
