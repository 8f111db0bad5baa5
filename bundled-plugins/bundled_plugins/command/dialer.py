"""Dialing an SSH server, repeated within limits."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import paramiko

from bundled_plugins.command.connection import Connection
from bundled_plugins.command.keys import PinnedKey, private_key
from bundled_plugins.command.stopping import Stop
from bundled_plugins.command.transport import KEEPALIVE_S, Transport
from bundled_plugins.runtime.errors import ProviderError

#: Waits between attempts: the first, the factor, the longest.
FIRST_WAIT_S: Final = 0.1
WAIT_FACTOR: Final = 1.5
LONGEST_WAIT_S: Final = 5.0

#: From the TCP connection to the login, or perDialTimeout if that is more. An emulated guest that boots next to
#: others needs tens of seconds.
HANDSHAKE_S: Final = 60.0

Notify = Callable[[str], None]


class AttemptError(Exception):
    """One attempt failed; the next may not."""


def dial(connection: Connection, stop: Stop, notify: Notify) -> Transport:
    """A logged-in transport. Raises ProviderError when the connection's error limit is passed.

    Whatever fails is tried again: refused ports, hosts that do not answer, and wrong credentials too, since a booting
    machine may not know its users yet. Only keys that cannot be parsed fail at once.
    """
    authenticator = Authenticator(connection)
    limit = connection.dial_error_limit
    started = time.monotonic()
    wait = FIRST_WAIT_S
    failed = 0
    while True:
        stop.check()
        try:
            return authenticator.log_in(_tcp(connection, stop), stop)
        except AttemptError as error:
            stop.check()
            failed += 1
            if 0 <= limit < failed:
                took = f"({connection}, {time.monotonic() - started:.1f} s)"
                raise ProviderError(f"after {limit} failed attempts: {error} {took}") from error
            notify(f"Dial {failed}/{limit if limit >= 0 else 'inf'} failed: retrying ({error})")
        stop.sleep(wait)
        wait = min(wait * WAIT_FACTOR, LONGEST_WAIT_S)


def _tcp(connection: Connection, stop: Stop) -> socket.socket:
    """A TCP connection within the connection's perDialTimeout, given up at once when the operation is stopped."""
    where = f"dial tcp {connection.address}"
    deadline = time.monotonic() + connection.per_dial_timeout if connection.per_dial_timeout else None
    try:
        addresses = socket.getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise AttemptError(f"{where}: lookup {connection.host}: {error.strerror}") from error
    last = ""
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        code = _connect(sock, address, deadline, stop)
        if code == 0:
            sock.setblocking(True)
            return sock
        sock.close()
        last = "i/o timeout" if code == errno.ETIMEDOUT else f"connect: {os.strerror(code).lower()}"
    raise AttemptError(f"{where}: {last}")


def _connect(sock: socket.socket, address: Any, deadline: float | None, stop: Stop) -> int:
    """The errno of the connection attempt, 0 for success."""
    sock.setblocking(False)
    code = sock.connect_ex(address)
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while code == errno.EINPROGRESS:
        if stop.fired:
            sock.close()
            stop.check()
        left = 0.1 if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return errno.ETIMEDOUT
        if poll.poll(min(left, 0.1) * 1000):
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return code


class Authenticator:
    """Checks the host key and authenticates, on a fresh connection. Created once, used for every attempt."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._limit_s = max(HANDSHAKE_S, connection.per_dial_timeout)
        self._pinned = PinnedKey(connection.host_key) if connection.host_key else None
        self._key = (
            private_key(connection.private_key, connection.private_key_password) if connection.private_key else None
        )

    def log_in(self, sock: socket.socket, stop: Stop) -> Transport:
        """The logged-in transport over ``sock``, which is closed if that fails."""
        transport = Transport(sock, self._pinned.algorithms if self._pinned else ())
        overdue = threading.Event()

        def give_up() -> None:
            overdue.set()
            transport.close()

        timer = threading.Timer(self._limit_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            with stop.closing(transport.close):
                self._handshake(transport)
                self._authenticate(transport)
        except (paramiko.SSHException, EOFError, OSError) as error:
            transport.close()
            late = f" (given up after {self._limit_s:g} s)" if overdue.is_set() else ""
            raise AttemptError(f"ssh: handshake failed: {self._explained(error)}{late}") from error
        except BaseException:
            transport.close()
            raise
        finally:
            timer.cancel()
        transport.set_keepalive(KEEPALIVE_S)
        return transport

    def _explained(self, error: BaseException) -> str:
        text = _text(error)
        if self._pinned is not None and "no acceptable host key" in text:
            return f"ssh: the server has no host key of the pinned type {self._pinned.type}"
        return text

    def _handshake(self, transport: Transport) -> None:
        # Later than the timer, which reports the limit.
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = 2 * self._limit_s
        agreed = threading.Event()
        transport.start_client(event=agreed)
        while not agreed.wait(0.1) and transport.is_active():
            pass
        if not transport.is_active() or not transport.initial_kex_done:
            raise transport.get_exception() or EOFError()
        if self._pinned is not None and not self._pinned.matches(transport.get_remote_server_key()):
            shown = transport.get_remote_server_key()
            raise paramiko.SSHException(
                f"ssh: host key mismatch: the server shows {shown.get_name()} {shown.fingerprint}, "
                f"not the pinned {self._pinned.type} key"
            )

    def _authenticate(self, transport: Transport) -> None:
        user, key = self._connection.user, self._key
        try:
            if key is not None:
                transport.auth_publickey(user, key)
            else:
                transport.auth_none(user)
        except paramiko.AuthenticationException as error:
            if not transport.is_active():
                raise
            raise paramiko.AuthenticationException(
                f"ssh: unable to authenticate as {user}, attempted methods [{'none' if key is None else 'publickey'}], "
                f"no supported methods remain: {_text(error)}"
            ) from error
        if not transport.is_authenticated():
            raise paramiko.AuthenticationException(
                f"ssh: {user} is not authenticated: the server wants more than a key"
            )


def _text(error: BaseException) -> str:
    if isinstance(error, paramiko.BadAuthenticationType):
        return f"the server takes only {', '.join(error.allowed_types)}"
    return str(error) or ("EOF" if isinstance(error, EOFError) else type(error).__name__)
