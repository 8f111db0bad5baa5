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

from components.config.platform import HostKey, Identity, StoreTokens, Tls
from overlab.core.process import write_private
from overlab.platform import certificates

_TLS = "tls"


def ensure(directory: Path, lab: str, nodes: Mapping[str, str]) -> Identity:
    """Create what is missing. ``nodes`` maps a node's key to its address."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    client = directory / "client"
    _ssh_key(client, f"overlab-{lab}")
    host_keys = {}
    known_hosts = []
    for node, address in nodes.items():
        private = directory / "hosts" / node
        line = _ssh_key(private, f"{node}.{lab}")
        host_keys[node] = HostKey(private=private, public=_public(private))
        known_hosts.append(f"{address} {' '.join(line.split()[:2])}\n")
    _write(directory / "known_hosts", "".join(known_hosts).encode())
    return Identity(
        client_key=client,
        client_public_key=_public(client),
        known_hosts=directory / "known_hosts",
        host_keys=host_keys,
        tls=certificates.ensure(directory / _TLS, lab, nodes),
        gossip_key=_ensure_gossip_key(directory / "gossip"),
        store_tokens=StoreTokens(
            management=_ensure_token(directory / "store" / "management"),
            agents=_ensure_token(directory / "store" / "agents"),
            engines=_ensure_token(directory / "store" / "engines"),
        ),
    )


def rotate(directory: Path, lab: str, nodes: Mapping[str, str], *, authority: bool) -> Tls:
    """New keys and certificates for TLS, all at once; with ``authority`` of a new authority."""
    return certificates.rotate(directory / _TLS, lab, nodes, authority=authority)


def rotation_complete(directory: Path) -> bool:
    """False where a rotation was interrupted; :func:`ensure` completes it."""
    return certificates.rotation_complete(directory / _TLS)


def _ensure_gossip_key(path: Path) -> Path:
    """A random key for the store's gossip; an existing one is kept, or the servers would lose each other."""
    return _ensure(path, lambda: base64.b64encode(secrets.token_bytes(32)))


def _ensure_token(path: Path) -> Path:
    """A random token for the store, of the form that Consul asks for; an existing one is kept."""
    return _ensure(path, lambda: str(uuid.uuid4()).encode())


def ensure_passphrase(path: Path) -> None:
    """A random passphrase for the stack's secrets; an existing one is kept, or the secrets would be lost."""
    _ensure(path, lambda: secrets.token_urlsafe(32).encode())


def _ensure(path: Path, make: Callable[[], bytes]) -> Path:
    if not path.exists():
        write_private(path, make())
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


def _public(private: Path) -> Path:
    return private.with_name(private.name + ".pub")


def _write(path: Path, data: bytes) -> None:
    """Touch a file only when its content changes."""
    if not path.exists() or path.read_bytes() != data:
        write_private(path, data)
