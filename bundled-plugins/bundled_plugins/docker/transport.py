"""HTTP to a Docker daemon over a unix or TCP socket, in a way that a running request can be broken off."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnectionPool
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from bundled_plugins.runtime.errors import ProviderError

CONNECTIONS: Final = 10
"""Connections to a daemon that are kept for reuse."""


class Breakable:
    """Mixin of a urllib3 pool that remembers its connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._abandoned = False

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]  # the pool's
        if self._abandoned:
            connection.close()
            raise ConnectionAbortedError("given up")
        return connection

    def _new_conn(self) -> Any:
        connection = super()._new_conn()  # type: ignore[misc]  # the pool's
        with self._guard:
            self._made.add(connection)
        return connection

    def abandon(self) -> None:
        """Break every connection, permanently: requests that wait for an answer or a free connection fail."""
        self._abandoned = True
        with self._guard:
            made = list(self._made)
        for connection in made:
            self.break_off(connection)

    def break_off(self, connection: Any) -> None:
        sock = connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _UnixPool(Breakable, UnixHTTPConnectionPool):
    pass


class _TcpPool(Breakable, HTTPConnectionPool):
    pass


class _TlsPool(Breakable, HTTPSConnectionPool):
    pass


class UnixAdapter(UnixHTTPAdapter):
    """Requests' transport over a unix socket."""

    def __init__(self, url: str, timeout: int) -> None:
        super().__init__(url.replace("unix://", "http+unix://", 1), timeout)
        self._pool = _UnixPool("http+docker://localhost", self.socket_path, timeout, maxsize=CONNECTIONS)

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        return self._pool

    def abandon(self) -> None:
        self._pool.abandon()


@dataclass(frozen=True, repr=False)
class TlsMaterial:
    """Client certificate, its key and the authority of the daemon's certificate, as PEM texts."""

    ca: str
    cert: str
    key: str

    @classmethod
    def from_directory(cls, directory: str) -> TlsMaterial:
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


class TcpAdapter(HTTPAdapter):
    """Requests' transport over TCP; with TLS where there is material, and then with nothing else."""

    def __init__(self, material: TlsMaterial | None) -> None:
        self._context = material.context() if material else None
        super().__init__(pool_maxsize=CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _TcpPool, "https": _TlsPool}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the context as it is: requests would add the system's authorities to it."""

    def abandon(self) -> None:
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118 - urllib3's container cannot be iterated itself
            pool = pools.get(key)
            if isinstance(pool, Breakable):
                pool.abandon()
