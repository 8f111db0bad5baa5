"""Paramiko's transport with cheap algorithms, a large window, and the two answers that paramiko drops."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, ClassVar, Final

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST, cMSG_CHANNEL_REQUEST

#: Cheapest first, for guests on an emulated CPU; the post-quantum exchange costs them most and protects nothing here.
CIPHERS: Final = (
    "aes128-gcm@openssh.com", "aes128-ctr", "aes256-gcm@openssh.com", "aes192-ctr", "aes256-ctr",
)  # fmt: skip
KEX: Final = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")

WINDOW_BYTES: Final = 8 * 1024 * 1024
KEEPALIVE_S: Final = 15

#: After so long without an answer to data or keepalive the kernel gives the connection up.
DEAD_PEER_MS: Final = 120_000


class Transport(paramiko.Transport):
    """Client side of one SSH connection over a connected socket."""

    def __init__(self, sock: socket.socket, host_key_types: tuple[str, ...] = ()) -> None:
        """``host_key_types``: the only host key algorithms to agree on; empty = all."""
        super().__init__(sock, default_window_size=WINDOW_BYTES)
        options = self.get_security_options()
        options.ciphers = _first(CIPHERS, options.ciphers)
        options.kex = _first(KEX, options.kex)
        if host_key_types:
            options.key_types = host_key_types
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, AttributeError):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)

    _channel_handler_table: ClassVar[dict[int, Any]]


def _first(wanted: tuple[str, ...], known: Any) -> tuple[str, ...]:
    return tuple(name for name in wanted if name in known) + tuple(name for name in known if name not in wanted)


def _channel_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    if message.get_text() == "exit-signal":
        message.get_boolean()
        channel.__dict__["exit_signal"] = message.get_text()
    message.rewind()
    message.get_int()
    _paramiko_channel_request(channel, message)


_paramiko_channel_request = paramiko.Transport._channel_handler_table[MSG_CHANNEL_REQUEST]  # type: ignore[attr-defined]
Transport._channel_handler_table = {
    **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
    MSG_CHANNEL_REQUEST: _channel_request,
}


def exit_signal(channel: paramiko.Channel) -> str | None:
    """The name (``KILL``) of the signal that ended the channel's command, None if none did."""
    return getattr(channel, "exit_signal", None)


def request_env(channel: paramiko.Channel, name: str, value: str) -> None:
    """Set a variable for the channel's command and wait for the answer (paramiko's own call asks for none).

    A refusal raises SSHException, and the channel is closed then.
    """
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("env")
    message.add_boolean(True)
    message.add_string(name)
    message.add_string(value)
    channel._event_pending()  # type: ignore[attr-defined]
    channel.get_transport()._send_user_message(message)  # type: ignore[attr-defined]
    channel._wait_for_event()  # type: ignore[attr-defined]
