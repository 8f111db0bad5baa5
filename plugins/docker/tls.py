"""TLS to a daemon's TCP socket, from PEM texts."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from requests.adapters import HTTPAdapter

from plugins.runtime.errors import ProviderError


@dataclass(frozen=True, repr=False)
class Material:
    """Client certificate, its key and the authority of the daemon's certificate, as PEM texts."""

    ca: str
    cert: str
    key: str

    @classmethod
    def from_directory(cls, directory: str) -> Material:
        """``ca.pem``, ``cert.pem`` and ``key.pem`` of a directory."""
        try:
            ca, cert, key = ((Path(directory) / name).read_text() for name in ("ca.pem", "cert.pem", "key.pem"))
        except OSError as error:
            raise ProviderError(f'certPath "{directory}": {error}; it must hold ca.pem, cert.pem, key.pem') from error
        return cls(ca, cert, key)

    def context(self) -> ssl.SSLContext:
        """Verifies the daemon against ``ca`` alone and shows the client certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=self.ca)
            # OpenSSL takes the key from a file only; the file is gone before the first connection.
            with tempfile.TemporaryDirectory(prefix="docker-tls-") as directory:
                cert, key = Path(directory, "cert.pem"), Path(directory, "key.pem")
                cert.write_text(self.cert)
                key.write_text(self.key)
                context.load_cert_chain(cert, key)
        except (ssl.SSLError, ValueError) as error:
            raise ProviderError(
                f"the TLS material cannot be used: {error}; caMaterial, certMaterial and keyMaterial "
                "must be PEM, and the key must belong to the certificate"
            ) from error
        return context


class TLSAdapter(HTTPAdapter):
    """Requests' transport with one TLS context for everything."""

    def __init__(self, material: Material, connections: int) -> None:
        self._context = material.context()
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the context as it is: requests would add the system's authorities to it."""
