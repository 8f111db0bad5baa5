"""The lab's keys are made once, private, usable by the real tools, and follow the nodes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import uuid
from pathlib import Path

import pytest

from components.config.platform import Identity
from overlab.core.files import write_private
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


def test_a_rotation_keeps_the_first_keys_for_a_nodes_first_boot(directory: Path) -> None:
    first = identity.ensure(directory, "t", NODES)
    assert first.retired_ssh is None
    keys = {name: data for name, data in content(directory).items() if name.startswith(("client", "hosts/"))}
    identity.rotate_ssh(directory, NODES)
    found = identity.ensure(directory, "t", {**NODES, "docker03": "10.99.0.13"})
    now = content(directory)
    assert not [name for name, data in keys.items() if now[name] == data]
    retired = found.retired_ssh
    assert retired is not None
    # To the byte: they are part of what a node is known by.
    assert retired.first_client_public_key.read_bytes() == keys["client.pub"]
    assert retired.first_host_keys["docker01"].public.read_bytes() == keys["hosts/docker01.pub"]
    assert retired.first_host_keys.keys() == NODES.keys()
    host_key = retired.first_host_keys["docker01"]
    assert host_key.private.read_bytes() == keys["hosts/docker01"]
    assert [path.read_bytes() for path in retired.client_keys] == [keys["client"]]
    assert retired.known_hosts.read_text().count("10.99.0.11 ") == 2
    assert found.known_hosts.read_text().count("10.99.0.11 ") == 1
    assert {path.stat().st_mode & 0o777 for path in directory.rglob("*") if path.is_file()} == {0o600}
    # A node that was added in between keeps the key that it was created with.
    created = found.host_keys["docker03"].private.read_bytes()
    for _ in range(6):
        identity.rotate_ssh(directory, [*NODES, "docker03"])
        identity.ensure(directory, "t", {**NODES, "docker03": "10.99.0.13"})
    last = identity.ensure(directory, "t", {**NODES, "docker03": "10.99.0.13"}).retired_ssh
    assert last is not None
    assert last.first_host_keys["docker01"].private.read_bytes() == keys["hosts/docker01"]
    assert last.first_host_keys["docker03"].private.read_bytes() == created
    assert len(last.client_keys) == 4
    assert last.client_keys[-1].read_bytes() == keys["client"]


def test_a_rotation_of_ssh_keys_may_end_anywhere(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of the nodes are always among those that are kept."""
    first = identity.ensure(directory, "t", NODES)
    real, left = write_private, [0]

    def interrupted(path: Path, data: bytes, mode: int = 0o600) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, data, mode)

    before = first.client_key.read_bytes(), first.known_hosts.read_text()
    for done in range(8):
        monkeypatch.setattr(identity, "write_private", interrupted)
        left[0] = done
        with contextlib.suppress(KeyboardInterrupt):
            identity.rotate_ssh(directory, NODES)
        monkeypatch.undo()
        found = identity.ensure(directory, "t", NODES)
        kept = [found.client_key, *(found.retired_ssh.client_keys if found.retired_ssh else ())]
        assert before[0] in [path.read_bytes() for path in kept]
        hosts = (found.retired_ssh.known_hosts if found.retired_ssh else found.known_hosts).read_text()
        assert set(before[1].splitlines()) <= set(hosts.splitlines())
        for key in (found.client_key, *(one.private for one in found.host_keys.values())):
            derived = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, text=True, check=True)
            assert derived.stdout.split()[1] in key.with_name(f"{key.name}.pub").read_text()


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
