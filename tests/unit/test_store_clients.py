"""The program on a node that asks the store: the same answers of each kind, from what its server says over HTTP."""

from __future__ import annotations

import ast
import base64
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.config.stores import BACKENDS
from components.node import store_client

KEYS = {"docker/nodes/10.99.0.11:2376": "10.99.0.11:2376", "docker/network/v1.0/endpoint/n/e": '{"name":"t1"}'}
VALUES = {key: base64.b64encode(value.encode()).decode() for key, value in KEYS.items()}


class Server:
    """A store with data, as far as the program asks."""

    def __init__(self, kind: str) -> None:
        self.data = dict(KEYS)
        self.kind = kind
        self.leader = True
        self.asked: list[str] = []

    def answer(self, method: str, path: str, body: str) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        path, _, query = path.partition("?")
        call: Callable[[str, str, str, str], tuple[int, Any]] = getattr(self, f"_{self.kind}")
        return call(method, path, query, body)

    def _below(self, prefix: str) -> Mapping[str, str]:
        return {key: value for key, value in self.data.items() if key.startswith(prefix)}

    def _consul(self, method: str, path: str, query: str, body: str) -> tuple[int, Any]:
        fixed: dict[str, Any] = {
            "/v1/status/leader": "10.99.0.11:8300" if self.leader else "",
            "/v1/status/peers": ["10.99.0.11:8300"],
            "/v1/agent/self": {"Config": {"Version": "1.8.7"}},
        }
        if path in fixed:
            return 200, fixed[path]
        key = path.removeprefix("/v1/kv/")
        if method == "DELETE":
            return 200, self.data.pop(key, None) is not None
        if method == "PUT":
            assert query == "cas=0"
            return 200, self.data.setdefault(key, body) == body
        found = self._below(key)
        # libnetwork's own keys end in a slash.
        entries = [
            {"Key": f"{name}/" if "network" in name else name, "Value": base64.b64encode(value.encode()).decode()}
            for name, value in found.items()
        ]
        return (200, entries) if found else (404, None)

    def _etcd(self, method: str, path: str, query: str, body: str) -> tuple[int, Any]:
        member = {"peerURLs": ["http://10.99.0.11:2380"], "clientURLs": [self.url], "name": "docker01"}
        gone = {"peerURLs": ["http://10.99.0.12:2380"], "clientURLs": ["http://127.0.0.1:1"], "name": "docker02"}
        if path == "/v2/members/leader":
            return (200, member) if self.leader else (503, {"message": "During election there is no leader"})
        fixed: dict[str, Any] = {"/v2/members": {"members": [member, gone]}, "/version": {"etcdserver": "3.3.25"}}
        if path in fixed:
            return 200, fixed[path]
        key = path.removeprefix("/v2/keys/")
        if method == "DELETE":
            return (200, {}) if self.data.pop(key, None) is not None else (404, {"errorCode": 100})
        if method == "PUT":
            assert query == "prevExist=false"
            if key in self.data:
                return 412, {"errorCode": 105}
            self.data[key] = body.removeprefix("value=")
            return 201, {}
        if key in self.data:
            return 200, {"node": {"key": f"/{key}", "value": self.data[key]}}
        leaves = [{"key": f"/{name}", "value": value} for name, value in self._below(f"{key}/").items()]
        inner = {"key": f"/{key}/inner", "dir": True, "nodes": leaves}
        empty = {"key": f"/{key}/empty", "dir": True}
        return (200, {"node": {"key": f"/{key}", "dir": True, "nodes": [inner, empty]}}) if leaves else (404, {})

    @contextmanager
    def running(self) -> Iterator[str]:
        """HOST:PORT of it."""
        store = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                status, found = store.answer(self.command, self.path, body)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            do_GET = do_PUT = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            endpoint = f"127.0.0.1:{server.server_port}"
            self.url = f"http://{endpoint}"
            yield endpoint
            server.shutdown()


def ask(directory: Path, kind: str, endpoints: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = directory / "overlab-store"
    program.write_text(store_client.script(kind, endpoints))
    program.chmod(0o755)
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture(params=["consul", "etcd"])
def store(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


@pytest.mark.parametrize("kind", BACKENDS)
def test_it_runs_on_a_nodes_python_without_the_project(kind: str) -> None:
    tree = ast.parse(store_client.script(kind, ["10.99.0.11:1"]), feature_version=(3, 9))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    # One is for type checkers only.
    assert {module for module in imported if module and "." in module} <= {
        "collections.abc",
        "components.node.store_clients.consul",
    }


def test_the_report_has_leader_version_and_decoded_keys(store: Server, tmp_path: Path) -> None:
    with store.running() as endpoint:
        done = ask(tmp_path, store.kind, [endpoint], "report", "docker/nodes", "docker/network", "docker/none")
    assert done.returncode == 0, done.stderr
    port = {"consul": 8300, "etcd": 2380}[store.kind]
    version = {"consul": "1.8.7", "etcd": "3.3.25"}[store.kind]
    expected = {"version": version, "leader": f"10.99.0.11:{port}", "peers": [f"10.99.0.11:{port}"], "keys": VALUES}
    assert json.loads(done.stdout) == expected


def test_keys_and_values_a_line_each(store: Server, tmp_path: Path) -> None:
    with store.running() as endpoint:
        keys = ask(tmp_path, store.kind, [endpoint], "keys", "docker").stdout
        values = ask(tmp_path, store.kind, [endpoint], "values", "docker").stdout
    assert sorted(keys.splitlines()) == sorted(KEYS)
    assert dict(line.split(" ") for line in values.splitlines()) == VALUES


def test_the_gate_names_the_stores_data_once(store: Server, tmp_path: Path) -> None:
    with store.running() as endpoint:
        first, second = (ask(tmp_path, store.kind, [endpoint], "gate").stdout.split() for _ in range(2))
    assert first == second
    assert first[1] == store.data["overlab/epoch"]
    assert len(first[1]) == 36
    assert first[2:] == ["docker/nodes/10.99.0.11:2376"]


def test_a_deleted_key_is_gone_and_may_be_gone_already(store: Server, tmp_path: Path) -> None:
    with store.running() as endpoint:
        for _ in range(2):
            assert ask(tmp_path, store.kind, [endpoint], "delete", "docker/nodes/10.99.0.11:2376").returncode == 0
    assert list(store.data) == ["docker/network/v1.0/endpoint/n/e"]


def test_without_a_leader_the_report_is_empty_and_the_gate_fails(store: Server, tmp_path: Path) -> None:
    store.leader = False
    with store.running() as endpoint:
        report = ask(tmp_path, store.kind, [endpoint], "report", "docker/nodes")
        gate = ask(tmp_path, store.kind, [endpoint], "gate")
    assert json.loads(report.stdout) == {"version": "", "leader": "", "peers": [], "keys": {}}
    assert gate.returncode == 1
    assert "it has no leader" in gate.stderr


def test_of_several_servers_the_next_one_is_asked_where_one_is_down(tmp_path: Path) -> None:
    store = Server("etcd")
    with store.running() as endpoint:
        done = ask(tmp_path, "etcd", ["127.0.0.1:1", endpoint], "keys", "docker")
    assert sorted(done.stdout.splitlines()) == sorted(KEYS)


@pytest.mark.parametrize("kind", BACKENDS)
def test_no_store_is_an_error_with_its_reason(kind: str, tmp_path: Path) -> None:
    done = ask(tmp_path, kind, ["127.0.0.1:1"], "report", "docker")
    assert done.returncode == 1
    assert done.stderr.startswith("no answer from the store at 127.0.0.1:1: ")
    assert "refused" in done.stderr
