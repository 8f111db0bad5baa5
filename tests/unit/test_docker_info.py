"""The machine's own Docker: when it can run nodes, when not and why."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import pytest

from overlab.core.errors import OverlabError
from overlab.platform import docker_info

GOOD = {
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
    "OSType": "linux",
    "Architecture": "x86_64",
    "ServerVersion": "26.1.5+dfsg1",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin"],
}
Serve = Callable[[Any], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """An engine that answers /info with this; its DOCKER_HOST."""
    servers: list[UnixStreamServer] = []

    def start(answer: Any) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == "/info"
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_: object) -> None:
                pass

        path = tmp_path / f"{len(servers)}.sock"
        server = UnixStreamServer(str(path), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"unix://{path}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_engine_of_this_machine_is_usable(serve: Serve) -> None:
    assert docker_info.usable(serve(GOOD)) == GOOD


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"OperatingSystem": "Docker Desktop"}, "it is Docker Desktop, in whose virtual machine"),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, "it is rootless"),
        ({"Architecture": "aarch64"}, "it runs on linux, aarch64"),
        ({"OSType": "windows"}, "it runs on windows, x86_64"),
        ({"ServerVersion": "19.03.15"}, "it is Docker 19.03.15; nodes need 20.10 or newer"),
    ],
)
def test_an_engine_that_cannot_run_nodes_is_refused_by_name(serve: Serve, changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(OverlabError, match=reason) as caught:
        docker_info.usable(serve(GOOD | changed))
    assert "platform.docker_host" in str(caught.value.remedy)


@pytest.mark.parametrize("answer", [b"nonsense", b"[]", b"\xff"])
def test_what_is_no_engine_is_refused(serve: Serve, answer: bytes) -> None:
    with pytest.raises(OverlabError, match="no Docker answers at unix://"):
        docker_info.usable(serve(answer))


def test_root_without_docker_has_a_private_engine_and_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = f"unix://{tmp_path}/none.sock"
    monkeypatch.setattr(docker_info.usable, "__defaults__", (absent,))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert docker_info.choice() is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert docker_info.main() == 1
    said = capsys.readouterr().err
    assert f"no Docker answers at {absent}: No such file or directory" in said
    assert "remedy: start it, or install Docker Engine" in said


def test_the_default_engine_is_chosen_where_it_is_usable(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docker_info.usable, "__defaults__", (serve(GOOD),))
    assert docker_info.main() == 0
    assert capsys.readouterr().out == "unix:///var/run/docker.sock\n"


def test_a_user_without_rights_is_given_the_command(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    host = serve(GOOD)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setenv("LOGNAME", "learner")
    with pytest.raises(OverlabError, match="the user learner may not use the Docker at") as caught:
        docker_info.usable(host)
    assert caught.value.remedy == "sudo usermod -aG docker learner; then log in again"
