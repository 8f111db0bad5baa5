"""An SSH server that asks for a password, in either of the two ways, and echoes the command."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import paramiko
from paramiko.server import InteractiveQuery

from conformance.sshd import Key

PASSWORD = "correct horse"


@dataclass
class FakeServer:
    """Where it listens, and what its clients tried."""

    port: int
    tried: list[str] = field(default_factory=list)


class _Interface(paramiko.ServerInterface):
    def __init__(self, server: FakeServer, methods: str) -> None:
        self._server = server
        self._methods = methods

    def get_allowed_auths(self, username: str) -> str:
        return self._methods

    def check_auth_password(self, username: str, password: str) -> int:
        self._server.tried.append("password")
        right = "password" in self._methods and password == PASSWORD
        return paramiko.common.AUTH_SUCCESSFUL if right else paramiko.common.AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        self._server.tried.append("keyboard-interactive")
        return InteractiveQuery("", "", ("Password: ", False), ("Again: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        right = responses == [PASSWORD, PASSWORD]
        return paramiko.common.AUTH_SUCCESSFUL if right else paramiko.common.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._server.tried.append("publickey")
        return paramiko.common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        def answer() -> None:
            channel.sendall(b"ran " + command + b"\n")
            channel.send_exit_status(0)
            channel.close()

        # Paramiko grants the request after this call; the answer must come later than that.
        timer = threading.Timer(0.3, answer)
        timer.daemon = True
        timer.start()
        return True


@contextlib.contextmanager
def fake_server(methods: str) -> Iterator[FakeServer]:
    """A server that allows the comma-separated authentication methods."""
    host_key = paramiko.Ed25519Key.from_private_key(io.StringIO(Key.generate().private))
    transports: list[paramiko.Transport] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = FakeServer(listener.getsockname()[1])

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                transport = paramiko.Transport(connection)
                transport.add_server_key(host_key)
                transports.append(transport)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Interface(server, methods))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for transport in transports:
                transport.close()
            thread.join(5)
