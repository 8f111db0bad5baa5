"""One SSH connection for all operations with equal settings: a login takes an emulated guest seconds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from bundled_plugins.command.connection import Connection
from bundled_plugins.command.dialer import Notify, dial
from bundled_plugins.command.stopping import Stop
from bundled_plugins.command.transport import Transport
from bundled_plugins.runtime.errors import Cancelled, ProviderError

#: Channels on one connection. sshd's own default limit (MaxSessions) is 10.
CHANNELS: Final = 8


@dataclass
class PooledConnection:
    """One established connection."""

    transport: Transport
    dialed: float
    """When its login began, on the monotonic clock."""
    cap: int = CHANNELS
    active: int = 0
    retired: bool = False
    """Takes no further operations."""


@dataclass
class Lease:
    """The right to one channel of a connection, for one operation."""

    pooled: PooledConnection
    fresh: bool
    """Dialled for this operation; otherwise it may have died unnoticed."""

    @property
    def transport(self) -> Transport:
        return self.pooled.transport

    def limit_reached(self) -> bool:
        """Record that the server refused one more channel; whether another connection may help."""
        others = self.pooled.active - 1
        self.pooled.cap = max(1, others)
        return others > 0

    def discard(self) -> None:
        """No further operation on this connection: it is dead, or suspect."""
        self.pooled.retired = True


@dataclass
class _Dialing:
    """A dial under way and the operations that wait for it."""

    done: Future[None] = field(default_factory=Future)
    listeners: list[Notify] = field(default_factory=list)

    def notify(self, message: str) -> None:
        for listener in list(self.listeners):
            listener(message)


class Pool:
    """Connections by identity.

    A user's groups are fixed at login, so for any user but root a connection is not used by operations that begin
    after another command on that host has ended: that may have changed them.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._connections: dict[str, list[PooledConnection]] = {}
        self._dialing: dict[Connection, _Dialing] = {}
        self._last_command: dict[str, float] = {}

    @contextlib.contextmanager
    def lease(self, connection: Connection, stop: Stop, notify: Notify) -> Iterator[Lease]:
        """One channel of a live connection, which is dialed if there is none."""
        lease = self._acquire(connection, stop, notify)
        try:
            yield lease
        finally:
            self._release(connection, lease.pooled)

    def close(self) -> None:
        """Close every connection."""
        with self._changed:
            connections = [pooled for connections in self._connections.values() for pooled in connections]
            self._connections.clear()
        for pooled in connections:
            pooled.retired = True
            pooled.transport.close()

    def _acquire(self, connection: Connection, stop: Stop, notify: Notify) -> Lease:
        while True:
            with self._changed:
                pooled = self._free(connection)
                if pooled is not None:
                    pooled.active += 1
                    return Lease(pooled, fresh=False)
                dialing = self._dialing.get(connection)
                mine = dialing is None
                if dialing is None:
                    dialing = self._dialing[connection] = _Dialing()
                dialing.listeners.append(notify)
            if mine:
                return Lease(self._dial(connection, dialing, stop), fresh=True)
            self._await(dialing, stop)

    def _free(self, connection: Connection) -> PooledConnection | None:
        connections = self._connections.get(connection.identity, [])
        logged_in_after = 0.0 if connection.user == "root" else self._last_command.get(connection.address, 0.0)
        for pooled in list(connections):
            if not pooled.transport.is_active() or pooled.dialed < logged_in_after:
                pooled.retired = True
            if pooled.retired:
                connections.remove(pooled)
                if pooled.active == 0:
                    pooled.transport.close()
        return next((pooled for pooled in connections if pooled.active < pooled.cap), None)

    def _dial(self, connection: Connection, dialing: _Dialing, stop: Stop) -> PooledConnection:
        began = time.monotonic()
        try:
            pooled = PooledConnection(dial(connection, stop, dialing.notify), began, active=1)
        except BaseException as error:
            self._dialed(connection, dialing, error)
            raise
        with self._changed:
            self._connections.setdefault(connection.identity, []).append(pooled)
        self._dialed(connection, dialing, None)
        return pooled

    def _dialed(self, connection: Connection, dialing: _Dialing, error: BaseException | None) -> None:
        with self._changed:
            del self._dialing[connection]
            if isinstance(error, ProviderError) and not isinstance(error, Cancelled):
                dialing.done.set_exception(error)
            else:
                dialing.done.set_result(None)
            self._changed.notify_all()

    def _await(self, dialing: _Dialing, stop: Stop) -> None:
        """Until another operation's dial ended; its failure is this one's too, unless it was stopped."""

        def wake() -> None:
            with self._changed:
                self._changed.notify_all()

        with stop.closing(wake), self._changed:
            self._changed.wait_for(lambda: dialing.done.done() or stop.fired)
        stop.check()
        dialing.done.result()

    def _release(self, connection: Connection, pooled: PooledConnection) -> None:
        with self._changed:
            pooled.active -= 1
            self._last_command[connection.address] = time.monotonic()
            if pooled.retired and pooled.active == 0:
                pooled.transport.close()
