"""Logging in: host keys, credentials, retries and their limits."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bundled_plugins.command import dialer, sessions
from bundled_plugins.command.client import Client, running
from bundled_plugins.command.connection import Connection
from bundled_plugins.command.dialer import dial
from bundled_plugins.command.pool import Pool
from bundled_plugins.command.stopping import Stop
from bundled_plugins.runtime.errors import Cancelled, ProviderError
from bundled_plugins.runtime.resource import Operation
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from conformance.command.conftest import REMOTE, Host, messages
from conformance.harness import CallFailed, Provider
from conformance.sshd import Key, Sshd, free_port, prepared_sshd, private_sshd

pytestmark = pytest.mark.root


def _run(plugin: Provider, name: str, connection: dict[str, Any], **more: Any) -> str:
    resource = plugin.resource(REMOTE, name)
    resource.up({"create": "echo in", "connection": connection}, **more)
    return str(resource["stdout"])


def _refused(plugin: Provider, name: str, connection: dict[str, Any]) -> str:
    with pytest.raises(CallFailed) as caught:
        _run(plugin, name, connection)
    return caught.value.message


# host keys


def test_the_pinned_host_key_is_accepted_and_any_where_none_is_pinned(own_plugin: Provider, sshd: Sshd) -> None:
    assert _run(own_plugin, "pinned", sshd.connection()) == "in"
    assert _run(own_plugin, "commented", sshd.connection(hostKey=f"{sshd.host_key.public} root@lab")) == "in"
    assert _run(own_plugin, "unpinned", sshd.connection(hostKey=None)) == "in"


def test_another_key_of_the_same_type_is_refused(plugin: Provider, sshd: Sshd) -> None:
    message = _refused(plugin, "other-key", sshd.connection(hostKey=Key.generate().public, dialErrorLimit=1))
    assert message.startswith("after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch")


def test_a_key_of_another_type_is_refused(plugin: Provider, sshd: Sshd) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    message = _refused(plugin, "other-type", sshd.connection(hostKey=line, dialErrorLimit=0))
    assert "the server has no host key of the pinned type ecdsa-sha2-nistp256" in message


@pytest.mark.parametrize(
    "line", ["nonsense", "ssh-ed25519", "ssh-ed25519 ????", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA=="]
)
def test_a_host_key_that_cannot_be_parsed_is_an_error_at_once(plugin: Provider, sshd: Sshd, line: str) -> None:
    message = _refused(plugin, "no-key", sshd.connection(hostKey=line))
    assert message.startswith("failed to parse the connection's hostKey")


def test_an_rsa_host_key_can_be_pinned(own_plugin: Provider, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pair = Key(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ).decode(),
        key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode(),
    )
    server = prepared_sshd(tmp_path / "sshd")
    server.host_key = pair
    server.start()
    try:
        assert _run(own_plugin, "rsa", server.connection()) == "in"
    finally:
        server.stop()


# credentials


def test_wrong_credentials_are_tried_again_and_counted(plugin: Provider, sshd: Sshd) -> None:
    message = _refused(plugin, "unknown-key", sshd.connection(privateKey=Key.generate().private, dialErrorLimit=2))
    assert message.startswith("after 2 failed attempts: ssh: handshake failed: ssh: unable to authenticate as root")
    assert "attempted methods [publickey]" in message
    assert [m.text.split(" (")[0] for m in messages(plugin, REMOTE, "unknown-key")] == [
        "Dial 1/2 failed: retrying",
        "Dial 2/2 failed: retrying",
    ]


def test_private_keys_in_other_formats(own_plugin: Provider, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    server = prepared_sshd(tmp_path / "sshd")
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    server.client_key = Key("", public.decode())
    locked = serialization.BestAvailableEncryption(b"sesame")
    forms = {
        "pkcs8": (serialization.PrivateFormat.PKCS8, serialization.NoEncryption(), None),
        "pkcs8-locked": (serialization.PrivateFormat.PKCS8, locked, "sesame"),
        "sec1": (serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption(), None),
        "openssh-locked": (serialization.PrivateFormat.OpenSSH, locked, "sesame"),
    }
    server.start()
    try:
        for name, (form, encryption, password) in forms.items():
            text = key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()
            connection = server.connection(privateKey=text, privateKeyPassword=password)
            assert _run(own_plugin, name, connection) == "in", name
    finally:
        server.stop()


def test_a_private_key_that_cannot_be_parsed_is_an_error_at_once_and_not_shown(plugin: Provider, sshd: Sshd) -> None:
    message = _refused(plugin, "garbage", sshd.connection(privateKey="this is no key at all"))
    assert message.startswith("failed to parse the connection's privateKey")
    assert "no key at all" not in message


def test_without_a_private_key_the_login_is_refused(plugin: Provider, sshd: Sshd) -> None:
    message = _refused(plugin, "no-credential", sshd.connection(privateKey=None, dialErrorLimit=0))
    assert "unable to authenticate as root, attempted methods [none]" in message


def test_a_key_that_is_only_half_of_what_the_server_wants(own_plugin: Provider, tmp_path: Path) -> None:
    with private_sshd(
        tmp_path / "sshd", AuthenticationMethods="publickey,password", PasswordAuthentication="yes"
    ) as both:
        message = _refused(own_plugin, "half", both.connection(dialErrorLimit=0))
    assert "ssh: root is not authenticated: the server wants more than a key" in message


# retries


def test_a_server_that_starts_late_is_reached(own_plugin: Provider, tmp_path: Path) -> None:
    server = prepared_sshd(tmp_path / "sshd")
    timer = threading.Timer(3, server.start)
    timer.start()
    try:
        assert _run(own_plugin, "late", server.connection(dialErrorLimit=-1)) == "in"
    finally:
        timer.join()
        server.stop()
    texts = [message.text for message in messages(own_plugin, REMOTE, "late")]
    assert texts[0].startswith("Dial 1/inf failed: retrying (dial tcp 127.0.0.1:")
    assert "connection refused" in texts[0]
    assert len(texts) >= 4


def test_a_server_that_never_starts_ends_at_the_limit(plugin: Provider, sshd: Sshd) -> None:
    port = free_port()
    started = time.monotonic()
    message = _refused(plugin, "never", sshd.connection(port=port, dialErrorLimit=3))
    # waits of 0.1, 0.15 and 0.225 s
    assert time.monotonic() - started >= 0.47
    assert message.startswith(f"after 3 failed attempts: dial tcp 127.0.0.1:{port}: connect: connection refused")
    found = messages(plugin, REMOTE, "never")
    assert [m.text.split(" (")[0] for m in found] == [f"Dial {n}/3 failed: retrying" for n in (1, 2, 3)]
    assert all(message.ephemeral for message in found)


def test_a_limit_of_zero_is_one_attempt(plugin: Provider, sshd: Sshd) -> None:
    assert _refused(plugin, "once", sshd.connection(port=free_port(), dialErrorLimit=0)).startswith("after 0 failed")
    assert messages(plugin, REMOTE, "once") == []


def test_an_address_without_an_answer_ends_at_the_dial_timeout(plugin: Provider, sshd: Sshd) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        started = time.monotonic()
        message = _refused(plugin, "no-answer", sshd.connection(port=address[1], dialErrorLimit=0, perDialTimeout=1))
        assert time.monotonic() - started < 5
        for filler in fillers:
            filler.close()
    assert f"dial tcp 127.0.0.1:{address[1]}: i/o timeout" in message


@pytest.mark.bundled_only("internals")
def test_a_server_without_an_answer_ends_at_the_handshake_limit(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialer, "HANDSHAKE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        connection = Connection.parse(sshd.connection(port=mute.getsockname()[1], dialErrorLimit=0, perDialTimeout=0))
        started = time.monotonic()
        with pytest.raises(ProviderError, match=r"ssh: handshake failed: .*given up after 0\.5 s"):
            dial(connection, Stop(), print)
    assert time.monotonic() - started < 5


@pytest.mark.bundled_only("limits")
def test_a_time_limit_ends_the_dial_loop(plugin: Provider, sshd: Sshd) -> None:
    with pytest.raises(CallFailed) as caught:
        _run(plugin, "deadline", sshd.connection(port=free_port(), dialErrorLimit=-1), timeout=1)
    assert caught.value.message.startswith("context deadline exceeded")


def test_an_unknown_host_is_reported(plugin: Provider, sshd: Sshd) -> None:
    message = _refused(plugin, "unknown-host", sshd.connection(host="no-such-host.invalid", dialErrorLimit=0))
    assert "dial tcp no-such-host.invalid:" in message
    assert "lookup no-such-host.invalid: " in message


@pytest.mark.bundled_only("internals")
def test_operations_that_wait_for_the_same_dial_share_its_failure(sshd: Sshd) -> None:
    pool = Pool()
    connection = Connection.parse(sshd.connection(port=free_port(), dialErrorLimit=7))
    failures: list[str] = []
    reported: list[str] = []

    def lease(heard: list[str]) -> None:
        try:
            with pool.lease(connection, Stop(), heard.append):
                pass
        except ProviderError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=lease, args=(heard,)) for heard in ([], reported)]
    for thread in threads:
        thread.start()
        time.sleep(0.15)
    for thread in threads:
        thread.join(10)
    assert len(failures) == 2
    assert failures[0] == failures[1]
    assert reported, "who waits for a dial hears how it goes"


@pytest.mark.bundled_only("internals")
def test_an_operation_takes_over_the_dial_of_one_that_was_stopped(tmp_path: Path) -> None:
    server = prepared_sshd(tmp_path / "sshd")
    pool = Pool()
    connection = Connection.parse(server.connection(dialErrorLimit=-1))
    first, second = Stop(), Stop()
    got: list[str] = []

    def lease(stop: Stop) -> None:
        try:
            with stop, pool.lease(connection, stop, lambda _text: None):
                got.append("leased")
        except Cancelled:
            got.append("stopped")

    threads = [threading.Thread(target=lease, args=(stop,)) for stop in (first, second)]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    first.fire("context canceled")
    threads[0].join(5)
    server.start()
    try:
        threads[1].join(20)
        assert got == ["stopped", "leased"]
    finally:
        pool.close()
        server.stop()


class Wire(threading.Thread):
    """Carries bytes to a server until it is cut, without a word to either side."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._cut = 0
        self.start()

    def run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            number = len(self._pairs)
            self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(number, source, sink), daemon=True).start()

    def cut(self) -> None:
        """From now on nothing comes through the connections that there are."""
        self._cut = len(self._pairs)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError), end:
                    end.shutdown(socket.SHUT_RDWR)
        self.join(5)

    def _carry(self, number: int, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the other side is gone
            while data := source.recv(65536):
                if number >= self._cut:
                    sink.sendall(data)


@pytest.mark.bundled_only("internals")
def test_a_shared_connection_that_stops_answering_is_replaced(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CHANNEL_S", 5.0)
    wire = Wire(sshd.port)
    client = Client()
    connection = Connection.parse(sshd.connection(port=wire.port))
    op = Operation("urn", "name", False, client, lambda *_: None, threading.Event())
    try:
        for _ in range(2):
            with running(op) as run, sessions.channel(run, connection) as channel:
                channel.exec_command("true")
                assert channel.recv_exit_status() == 0
            wire.cut()
        assert len(wire._pairs) == 2
    finally:
        client.cancel()
        wire.close()


@pytest.mark.bundled_only("internals")
def test_handshakes_with_cheap_algorithms(sshd: Sshd) -> None:
    transport: Any = dial(Connection.parse(sshd.connection()), Stop(), print)
    assert transport.remote_cipher == "aes128-gcm@openssh.com"
    assert transport.remote_compression == "none"
    transport.close()


@pytest.mark.bundled_only("logins")
def test_a_host_in_use_by_many_connections(own_plugin: Provider, host: Host, sshd: Sshd) -> None:
    """Limits of dialing are no part of a connection's identity."""
    before = sshd.logins()
    _run(own_plugin, "impatient", sshd.connection(dialErrorLimit=1))
    _run(own_plugin, "patient", sshd.connection(dialErrorLimit=100, perDialTimeout=3))
    assert sshd.logins() - before == 1
