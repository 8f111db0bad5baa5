"""Keys and certificates of one lab, created with the lab and extended when nodes are added.

Everything is below one 0700 directory, every file 0600. Existing keys are never replaced, except by a rotation;
known_hosts and server certificates follow a node's address.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from components.config.platform import HostKey, Identity, RetiredSsh, StoreTokens
from overlab.core.files import write_private
from overlab.core.removal import remove
from overlab.platform import certificates

_TOKENS = ("management", "agents", "engines")
_RETIRED_SSH = "retired-ssh"
_RETIRED = 8
"""So many management tokens are remembered: rotations that no update installed."""


def ensure(directory: Path, lab: str, nodes: Mapping[str, str], store_servers: Collection[str] = ()) -> Identity:
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
    retired = _retired_ssh(directory, nodes, known_hosts.values())
    return Identity(
        client_key=client,
        client_public_key=_public(client),
        known_hosts=directory / "known_hosts",
        host_keys=host_keys,
        retired_ssh=retired,
        tls=certificates.ensure(tls_directory(directory), lab, nodes),
        gossip_key=_ensure(directory / "gossip", _gossip_key),
        store_tokens=StoreTokens(
            retired=_ensure(directory / "store" / "retired", lambda: ""),
            **{name: _ensure(directory / "store" / name, _token) for name in _TOKENS},
        ),
        store_tls=certificates.ensure_store(store_tls_directory(directory), lab, nodes, store_servers),
    )


def rotate_store(
    directory: Path, lab: str, nodes: Collection[str], servers: Collection[str], *, authority: bool
) -> None:
    """A new gossip key, new tokens, and new certificates of the store's agents, which the next update installs.

    Each file is replaced atomically. Any mixture of old and new that an interruption leaves is installed as well.
    """
    retired, management = directory / "store" / "retired", directory / "store" / "management"
    known = [management.read_text("utf-8"), *retired.read_text("utf-8").split()]
    write_private(retired, "\n".join(known[:_RETIRED]).encode())
    for name in _TOKENS:
        write_private(directory / "store" / name, _token().encode())
    write_private(directory / "gossip", _gossip_key().encode())
    certificates.rotate_store(store_tls_directory(directory), lab, nodes, servers, authority=authority)


def rotate_ssh(directory: Path, nodes: Collection[str]) -> None:
    """A new client key and new host keys, to be installed on the nodes; the earlier ones are kept for that.

    Whatever an interruption leaves, the present keys and the kept ones are all that a node can have.
    """
    kept = directory / _RETIRED_SSH
    first, making = kept / "000", kept / ".making"
    remove(making, kept)
    privates = [Path("client"), *(Path("hosts") / node for node in nodes)]
    for half in (half for private in privates for half in (private, _public(private))):
        write_private(making / half, (directory / half).read_bytes())
        if first.exists() and not (first / half).exists():
            write_private(first / half, (directory / half).read_bytes())
    making.rename(kept / f"{len(_generations(directory)):03}")
    for private in privates:
        _public(directory / private).unlink(missing_ok=True)
        write_private(directory / private, _new_ssh_key())


def store_tls_directory(directory: Path) -> Path:
    return directory / "store-tls"


def tls_directory(directory: Path) -> Path:
    """Where the certificates of an identity are; see :mod:`overlab.platform.certificates`."""
    return directory / "tls"


def rotations_complete(directory: Path) -> bool:
    """False where a rotation of certificates was interrupted."""
    return all(certificates.rotation_complete(one(directory)) for one in (tls_directory, store_tls_directory))


def ensure_passphrase(path: Path) -> None:
    """A random passphrase for the stack's secrets; an existing one is kept, or the secrets would be lost."""
    _ensure(path, lambda: secrets.token_urlsafe(32))


def _gossip_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _token() -> str:
    """Consul's tokens are UUIDs."""
    return str(uuid.uuid4())


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
        write_private(private, _new_ssh_key())
        public.unlink(missing_ok=True)
    if not public.exists():
        key_on_disk = load_ssh_private_key(private.read_bytes(), password=None)
        text = key_on_disk.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        write_private(public, f"{text} {comment}\n".encode())
    return public.read_text()


def _new_ssh_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _generations(directory: Path) -> list[Path]:
    """What rotations kept, earliest first: that of the nodes' first boot."""
    return sorted((directory / _RETIRED_SSH).glob("[0-9]*"))


def _retired_ssh(directory: Path, nodes: Mapping[str, str], known_hosts: Iterable[str]) -> RetiredSsh | None:
    generations = _generations(directory)
    if not generations:
        return None
    lines = list(known_hosts)
    for generation in generations:
        for node, address in nodes.items():
            if (private := generation / "hosts" / node).exists():
                lines.append(f"{address} {' '.join(_ssh_key(private, node).split()[:2])}\n")
        _ssh_key(generation / "client", "retired")
    _write(directory / _RETIRED_SSH / "known_hosts", "".join(dict.fromkeys(lines)).encode())
    first = generations[0]
    # A server refuses a client after six keys: the present one, the latest, and that of the first boot.
    latest = [generation / "client" for generation in [*reversed(generations[1:])][:3]]
    hosts = {node: first / "hosts" / node for node in nodes if (first / "hosts" / node).exists()}
    return RetiredSsh(
        first_client_public_key=_public(first / "client"),
        first_host_keys={node: HostKey(private=path, public=_public(path)) for node, path in hosts.items()},
        client_keys=(*latest, first / "client"),
        known_hosts=directory / _RETIRED_SSH / "known_hosts",
    )


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines(keepends=True) if file.exists() else []


def _public(private: Path) -> Path:
    return private.with_name(private.name + ".pub")


def _write(path: Path, data: bytes) -> None:
    """Touch a file only when its content changes."""
    if not path.exists() or path.read_bytes() != data:
        write_private(path, data)
