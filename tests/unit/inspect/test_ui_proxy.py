"""Who gets through the port of ``overlab ui``: one browser, which opened the printed URL at the printed address."""

from __future__ import annotations

import http.client
import http.server
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from overlab.core.errors import OverlabError
from overlab.inspect import ui_proxy

PAGE = "/ui/page"


class _Store(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def _echo(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = f"{self.command} {self.path} {body.decode()} {self.headers.get('Cookie')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Consul-Index", "7")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = _echo  # noqa: N815  # names of the base class

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "s"), _Store) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        with ui_proxy.serving(None, tmp_path / "s", PAGE) as found:
            yield found
        store.shutdown()


def ask(
    url: str, path: str, *, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, dict(answer.getheaders())


def path_of(url: str) -> str:
    return url[url.index("/", len("http://")) :]


def logged_in(url: str) -> str:
    status, _, headers = ask(url, path_of(url))
    assert (status, headers["Location"]) == (303, PAGE)
    assert headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict")
    return headers["Set-Cookie"].split(";")[0]


def test_the_browser_that_opened_the_url_gets_every_page(url: str) -> None:
    cookie = logged_in(url)
    status, text, headers = ask(url, "/v1/kv/x?recurse", Cookie=cookie)
    assert (status, text, headers["X-Consul-Index"]) == (200, "GET /v1/kv/x?recurse  None", "7")
    assert ask(url, "/v1/kv/x", method="PUT", body="new", Cookie=cookie)[1] == "PUT /v1/kv/x new None"


def test_the_url_is_for_one_browser(url: str) -> None:
    cookie = logged_in(url)
    assert ask(url, path_of(url))[0] == 403
    assert ask(url, path_of(url), Cookie=cookie)[0] == 200


@pytest.mark.parametrize("path", ["/", "/ui/", "/v1/kv/docker?recurse", "/?token=", "/?token=x"])
def test_other_users_of_the_machine_get_nothing(url: str, path: str) -> None:
    logged_in(url)
    port = urlsplit(url).port
    for cookie in ("", "x", f"overlab-{port}=", f"overlab-{port}=guess", "a=b=c;;=;\x7f"):
        status, text, _ = ask(url, path, Cookie=cookie)
        assert status == 403
        assert "GET" not in text


def test_a_name_that_resolves_to_the_loopback_gets_nothing(url: str) -> None:
    cookie, port = logged_in(url), urlsplit(url).port
    for host in (f"evil.example:{port}", f"localhost:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil.example"):
        assert ask(url, "/v1/kv/x", Host=host, Cookie=cookie)[0] == 403
    assert ask(url, "/v1/kv/x", Cookie=cookie, Origin="http://evil.example")[0] == 403
    assert ask(url, "/v1/kv/x", Cookie=cookie, Origin=f"http://127.0.0.1:{port}")[0] == 200


def test_a_store_that_is_gone_is_an_answer(tmp_path: Path) -> None:
    with ui_proxy.serving(None, tmp_path / "none", PAGE) as url:
        status, text, _ = ask(url, "/", Cookie=logged_in(url))
    assert (status, text[:26]) == (502, "the store does not answer:")


def test_a_port_that_is_taken_is_refused(url: str, tmp_path: Path) -> None:
    port = urlsplit(url).port
    with (
        pytest.raises(OverlabError, match=f"cannot listen on 127.0.0.1:{port}"),
        ui_proxy.serving(port, tmp_path / "s", PAGE),
    ):
        pass
