"""A port of this machine's loopback for one browser, in front of a unix socket that only its owner may open.

Every local user reaches a port of the loopback, and so does every web page that the browser shows: by its address, or
by a name that the page's author lets resolve to it. So a request must name the address that was printed, and carry a
cookie, for which the printed URL's token is taken once.
"""

from __future__ import annotations

import contextlib
import http.client
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from overlab.core.errors import OverlabError

LOOPBACK = "127.0.0.1"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "cookie", "server", "date"}
_LIMIT_S = 700
"""Of one request: the UI's queries wait up to ten minutes for a change."""


@dataclass
class Guard:
    """Who may use the port."""

    page: str
    """Path that the printed URL leads to."""
    _token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _used: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, port: int) -> str:
        return f"http://{LOOPBACK}:{port}/?token={self._token}"

    def admits(self, cookies: str, port: int) -> bool:
        """Whether a request with this ``Cookie`` header is from the browser that took the token."""
        with contextlib.suppress(CookieError):
            found = SimpleCookie(cookies).get(self._name(port))
            return found is not None and secrets.compare_digest(found.value.encode(), self._cookie.encode())
        return False

    def cookie_for(self, token: str, port: int) -> str | None:
        """The ``Set-Cookie`` header for the first who has the token."""
        with self._lock:
            if self._used or not secrets.compare_digest(token.encode(), self._token.encode()):
                return None
            self._used = True
        return f"{self._name(port)}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"

    @staticmethod
    def _name(port: int) -> str:
        # Cookies are of an address, whatever the port.
        return f"overlab-{port}"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, limit_s: float = _LIMIT_S) -> None:
        super().__init__(LOOPBACK, timeout=limit_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_LIMIT_S if self.timeout is None else self.timeout)
        self.sock.connect(str(self._path))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        port, guard = self.server.server_port, self.server.guard
        own, origin = f"{LOOPBACK}:{port}", self.headers.get("Origin")
        if self.headers.get_all("Host") != [own] or origin not in (None, f"http://{own}"):
            self._answer(403, b"not the address that was printed\n")
        elif guard.admits(self.headers.get("Cookie", ""), port):
            self._pass_on()
        elif cookie := guard.cookie_for(parse_qs(urlsplit(self.path).query).get("token", [""])[0], port):
            self._answer(303, b"", {"Location": guard.page, "Set-Cookie": cookie})
        else:
            self._answer(403, b"only for the browser that opened the printed URL first: run overlab ui again\n")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815  # names of the base class

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key: value for key, value in self.headers.items() if key.lower() not in _HOP_BY_HOP}
        with contextlib.closing(UnixConnection(self.server.upstream)) as store:
            try:
                store.request(self.command, self.path, body or None, headers)
                answer = store.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                return self._answer(502, f"the store does not answer: {error}\n".encode())
        kept = {key: value for key, value in answer.getheaders() if key.lower() not in _HOP_BY_HOP}
        return self._answer(answer.status, content, kept)

    def _answer(self, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for key, value in {
            **(headers or {}),
            "Content-Length": str(len(content)),
            "Referrer-Policy": "no-referrer",
        }.items():
            self.send_header(key, value)
        if code == 403:
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: a URL has the token."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, upstream: Path, guard: Guard) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.upstream = upstream
        self.guard = guard

    def handle_error(self, *_: object) -> None:
        """Nothing: a browser ends requests as it likes."""


@contextlib.contextmanager
def serving(port: int | None, upstream: Path, page: str) -> Iterator[str]:
    """Serve until the block ends; the URL for one browser. Without ``port`` the kernel picks a free one.

    Raises :class:`OverlabError` where the port is taken.
    """
    guard = Guard(page)
    try:
        server = _Server(port or 0, upstream, guard)
    except OSError as error:
        what = f"cannot listen on {LOOPBACK}:{port}: {error.strerror}"
        raise OverlabError(what, "give another --port") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield guard.url(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
