"""The keys of a connection: the user's private key, and the server's pinned key."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Final

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bundled_plugins.runtime.errors import ProviderError

#: Algorithms in which a server may prove that it holds a key of the type.
_ALGORITHMS: Final = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}

_PLAIN: Final = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())


class PinnedKey:
    """The only host key that a server may present."""

    def __init__(self, line: str) -> None:
        """``line``: ``TYPE BASE64 [COMMENT]`` as in authorized_keys (options in front are skipped)."""
        words = line.split()
        start = next((i for i, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-"))), None)
        if start is None or start + 1 >= len(words):
            raise ProviderError(_no_key(line, "there is no TYPE and BASE64"))
        self.type = words[start]
        try:
            self._blob = base64.b64decode(words[start + 1], validate=True)
        except binascii.Error as error:
            raise ProviderError(_no_key(line, f"bad base64: {error}")) from error
        if not self._blob.startswith(len(self.type).to_bytes(4, "big") + self.type.encode()):
            raise ProviderError(_no_key(line, f"the key's data is not of the type {self.type}"))

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What to agree on with the server, so that it shows this key and no other."""
        return _ALGORITHMS.get(self.type, (self.type,))

    def matches(self, key: paramiko.PKey) -> bool:
        return key.asbytes() == self._blob


def _no_key(line: str, why: str) -> str:
    shown = line if len(line) <= 60 else f"{line[:57]}..."
    return f"failed to parse the connection's hostKey {shown!r}: {why}; it must read like a line of authorized_keys"


def private_key(text: str, password: str | None) -> paramiko.PKey:
    """The key in any of the formats OpenSSH, PKCS#1, PKCS#8, SEC1."""
    secret = password.encode() if password else None
    data = text.strip().encode() + b"\n"
    try:
        if b"BEGIN OPENSSH PRIVATE KEY" in data:
            loaded: object = serialization.load_ssh_private_key(data, secret)
        else:
            loaded = serialization.load_pem_private_key(data, secret)
    except Exception as error:  # the library's parsers raise many kinds
        raise ProviderError(f"failed to parse the connection's privateKey: {error}") from error
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        kind: type[paramiko.PKey] = paramiko.Ed25519Key
    elif isinstance(loaded, ec.EllipticCurvePrivateKey):
        kind = paramiko.ECDSAKey
    elif isinstance(loaded, rsa.RSAPrivateKey):
        kind = paramiko.RSAKey
    else:
        raise ProviderError(
            f"the connection's privateKey is a {type(loaded).__name__}: use Ed25519, ECDSA or RSA (as OpenSSH does)"
        )
    return kind.from_private_key(io.StringIO(loaded.private_bytes(*_PLAIN).decode()))
