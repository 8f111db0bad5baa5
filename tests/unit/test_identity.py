"""The lab's keys are made once, private, usable by the real tools, and follow the nodes."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import uuid
from pathlib import Path

import pytest

from components.config.platform import Identity
from overlab.platform import identity

NODES = {"docker01": "10.99.0.11", "docker02": "10.99.0.12"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "identity"


def content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_everything_is_private(directory: Path) -> None:
    identity.ensure(directory, "t", NODES)
    assert directory.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o600}


def test_tokens_of_the_store_are_uuids_of_their_own(directory: Path) -> None:
    found = identity.ensure(directory, "t", NODES).store_tokens
    assert found is not None
    texts = [path.read_text() for path in (found.management, found.agents, found.engines)]
    assert [str(uuid.UUID(text)) for text in texts] == texts
    assert len(set(texts)) == 3


def test_made_once(directory: Path) -> None:
    first = identity.ensure(directory, "t", NODES)
    before = content(directory)
    assert identity.ensure(directory, "t", NODES) == first
    assert content(directory) == before


def test_a_new_node_changes_no_other(directory: Path) -> None:
    identity.ensure(directory, "t", NODES)
    before = content(directory)
    found = identity.ensure(directory, "t", {**NODES, "docker03": "10.99.0.13"})
    after = content(directory)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"known_hosts"}
    assert found.host_keys["docker03"].private.exists()


def test_an_address_that_moves_keeps_the_host_key_and_renews_the_certificate(directory: Path) -> None:
    identity.ensure(directory, "t", NODES)
    before = content(directory)
    identity.ensure(directory, "t", {**NODES, "docker01": "10.99.0.21"})
    after = content(directory)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"known_hosts", "tls/server-docker01.pem"}


def test_openssh_reads_every_key(directory: Path) -> None:
    found = identity.ensure(directory, "t", NODES)
    pairs = [(key.private, key.public) for key in found.host_keys.values()]
    for private, public in [(found.client_key, found.client_public_key), *pairs]:
        derived = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True)
        assert derived.stdout.split()[:2] == public.read_text().split()[:2]


def test_known_hosts_pins_each_node_by_address(directory: Path) -> None:
    found = identity.ensure(directory, "t", NODES)
    for node, address in NODES.items():
        looked_up = subprocess.run(
            ["ssh-keygen", "-F", address, "-f", found.known_hosts], capture_output=True, text=True, check=True
        )
        assert found.host_keys[node].public.read_text().split()[1] in looked_up.stdout


def test_lost_public_half_is_made_again(directory: Path) -> None:
    found = identity.ensure(directory, "t", NODES)
    before = found.client_public_key.read_text()
    found.client_public_key.unlink()
    identity.ensure(directory, "t", NODES)
    assert found.client_public_key.read_text() == before


def test_certificate_of_another_authority_is_replaced(directory: Path) -> None:
    found = identity.ensure(directory, "t", NODES)
    assert found.tls is not None
    found.tls.ca.unlink()
    identity.ensure(directory, "t", NODES)
    assert _handshake(found, "docker01") is None


@pytest.mark.parametrize("name", ["docker01", "10.99.0.11", "127.0.0.1"])
def test_tls_handshake_by_name_address_and_loopback(directory: Path, name: str) -> None:
    found = identity.ensure(directory, "t", NODES)
    assert _handshake(found, name) is None


def test_tls_refuses_another_nodes_name(directory: Path) -> None:
    found = identity.ensure(directory, "t", NODES)
    assert "docker02" in str(_handshake(found, "docker02"))


def test_tls_refuses_a_server_certificate_as_a_client(directory: Path) -> None:
    found = identity.ensure(directory, "t", NODES)
    assert found.tls is not None
    impostor = found.tls.model_copy(
        update={"client_cert": found.tls.server_certs["docker02"], "client_key": found.tls.server_keys["docker02"]}
    )
    assert _handshake(found.model_copy(update={"tls": impostor}), "docker01") is not None


def test_passphrase_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    identity.ensure_passphrase(file)
    before = file.read_text()
    identity.ensure_passphrase(file)
    assert file.read_text() == before
    assert len(before) >= 32
    assert file.stat().st_mode & 0o777 == 0o600


def _handshake(found: Identity, server_name: str) -> Exception | None:
    """Mutual TLS between docker01's certificate and the client's over a socket pair; what either side refused."""
    tls = found.tls
    assert tls is not None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls.server_certs["docker01"], tls.server_keys["docker01"])
    server.load_verify_locations(tls.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(tls.ca))
    client.load_cert_chain(tls.client_cert, tls.client_key)
    errors: list[Exception] = []
    left, right = socket.socketpair()
    left.settimeout(10)
    right.settimeout(10)

    def serve() -> None:
        try:
            with server.wrap_socket(left, server_side=True) as wrapped:
                wrapped.sendall(b"hello")
        except OSError as error:
            errors.append(error)
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(right, server_hostname=server_name) as wrapped:
            assert wrapped.recv(5) == b"hello" or errors
    except OSError as error:
        errors.insert(0, error)
        right.close()
    thread.join()
    return errors[0] if errors else None


def test_a_removed_node_stays_pinned_until_its_address_is_another_nodes(directory: Path) -> None:
    identity.ensure(directory, "lab", {"docker01": "10.99.0.11", "docker02": "10.99.0.12"})
    before = identity.ensure(directory, "lab", {"docker01": "10.99.0.11"}).known_hosts.read_text()
    assert "10.99.0.12 " in before
    after = identity.ensure(directory, "lab", {"docker03": "10.99.0.12"}).known_hosts.read_text().splitlines()
    assert sorted(line.split()[0] for line in after) == ["10.99.0.11", "10.99.0.12"]
    assert not set(after[1:]) & set(before.splitlines()[1:])
