"""Keys and certificates of one lab, created with the lab and extended when nodes are added.

Everything is below one 0700 directory, every file 0600. Existing keys are never replaced, except by :func:`rotate` for
TLS; known_hosts and server certificates follow a node's address.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from components.config.platform import HostKey, Identity, StoreTokens
from overlab.core.files import write_private
from overlab.platform import certificates


def ensure(directory: Path, lab: str, nodes: Mapping[str, str]) -> Identity:
    """Create what is missing. ``nodes`` maps a node's key to its address."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    client = directory / "client"
    _ssh_key(client, f"overlab-{lab}")
    host_keys = {}
    known_hosts = {line.split()[0]: line for line in _lines(directory / "known_hosts")}
    for node, address in nodes.items():
        private = directory / "hosts" / node
        line = _ssh_key(private, f"{node}.{lab}")
        host_keys[node] = HostKey(private=private, public=_public(private))
        known_hosts[address] = f"{address} {' '.join(line.split()[:2])}\n"
    # A node that the settings do not have any more is reached once more, by the update that removes it.
    _write(directory / "known_hosts", "".join(known_hosts.values()).encode())
    return Identity(
        client_key=client,
        client_public_key=_public(client),
        known_hosts=directory / "known_hosts",
        host_keys=host_keys,
        tls=certificates.ensure(tls_directory(directory), lab, nodes),
        gossip_key=_ensure(directory / "gossip", lambda: base64.b64encode(secrets.token_bytes(32)).decode()),
        # Consul's tokens are UUIDs
        store_tokens=StoreTokens(
            **{
                name: _ensure(directory / "store" / name, lambda: str(uuid.uuid4()))
                for name in StoreTokens.model_fields
            }
        ),
    )


def tls_directory(directory: Path) -> Path:
    """Where the certificates of an identity are; see :mod:`overlab.platform.certificates`."""
    return directory / "tls"


def ensure_passphrase(path: Path) -> None:
    """A random passphrase for the stack's secrets; an existing one is kept, or the secrets would be lost."""
    _ensure(path, lambda: secrets.token_urlsafe(32))


def _ensure(path: Path, make: Callable[[], str]) -> Path:
    """A secret in a file; an existing one is kept, or what was set up with it would be locked out."""
    if not path.exists():
        write_private(path, make().encode())
    return path


# -- SSH -------------------------------------------------------------------------------------------


def _ssh_key(private: Path, comment: str) -> str:
    """The public line of an ed25519 key, created if missing; a missing public half is derived from the private one."""
    public = _public(private)
    if not private.exists():
        key = Ed25519PrivateKey.generate()
        write_private(private, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public.unlink(missing_ok=True)
    if not public.exists():
        key_on_disk = load_ssh_private_key(private.read_bytes(), password=None)
        text = key_on_disk.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        write_private(public, f"{text} {comment}\n".encode())
    return public.read_text()


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines(keepends=True) if file.exists() else []


def _public(private: Path) -> Path:
    return private.with_name(private.name + ".pub")


def _write(path: Path, data: bytes) -> None:
    """Touch a file only when its content changes."""
    if not path.exists() or path.read_bytes() != data:
        write_private(path, data)
