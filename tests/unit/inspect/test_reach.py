"""Reaching a lab's nodes from outside its network namespace: plain ssh, a tunnel, the store's page, Docker's client."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.process import end, spawn
from overlab.core.progress import Progress
from overlab.core.tools import output
from overlab.core.wait import NotYet, until
from overlab.inspect import contexts, lab_collector, ssh_config, ui
from overlab.platform.private_libvirtd import PrivateLibvirtd
from tests.unit import ssh_lab
from tests.unit.ssh_lab import Lab

pytestmark = ssh_lab.NEEDS
lab = ssh_lab.lab

_STORE = """\
import http.server, json
class Store(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps("10.96.0.11:8300" if self.path == "/v1/status/leader" else self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", 8500), Store).serve_forever()
"""


@pytest.fixture
def store(lab: Lab, tmp_path: Path) -> Iterator[None]:
    """Something that speaks HTTP on port 8500 of the loopback inside the namespace, and nowhere else."""
    namespace = PrivateLibvirtd(LabPaths(lab.settings.name)).namespace
    process = spawn(namespace.command([sys.executable, "-c", _STORE]), tmp_path / "store.log")

    def listens() -> None:
        if "127.0.0.1:8500" not in output(namespace.command(["ss", "-Hltn"])):
            raise NotYet((tmp_path / "store.log").read_text())

    try:
        until("the store to listen", listens, 20)
        yield
    finally:
        end([process])


@pytest.fixture
def config(lab: Lab, tmp_path: Path) -> Path:
    file = tmp_path / "config"
    file.write_text(ssh_config.render(lab.settings, lab.platform))
    return file


def _ssh(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ssh", "-F", config, *words], capture_output=True, text=True, check=False, timeout=60)


def test_plain_ssh_reaches_a_node_by_its_name(config: Path) -> None:
    done = _ssh(config, "docker01", "echo $SSH_CONNECTION")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[2:] == ["10.96.0.11", "22"]


def test_plain_ssh_refuses_a_node_with_another_host_key(config: Path) -> None:
    done = _ssh(config, "docker02", "true")
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_an_address_without_a_host_is_an_error(config: Path) -> None:
    done = _ssh(config, "-o", "HostName=10.96.0.77", "docker01", "true")
    assert done.returncode == 255
    assert "cannot connect to 10.96.0.77 port 22" in done.stderr


@pytest.mark.usefixtures("store")
def test_the_web_ui_is_reached_from_outside_and_ends_with_its_context(lab: Lab) -> None:
    with ui.opened(lab.settings, lab.platform, Progress(quiet=True)) as page:
        assert page.url.startswith("http://127.0.0.1:")
        port = int(page.url.split(":")[2].split("/")[0])
        assert page.tunnel.socket.stat().st_mode & 0o777 == 0o600
        assert page.tunnel.socket.parent.stat().st_mode & 0o777 == 0o700
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        for url in (page.url, f"http://127.0.0.1:{port}/v1/kv/x"):
            with browser.open(url, timeout=20) as answer:
                assert json.loads(answer.read()) == ("/v1/kv/x" if "kv/x" in url else "/ui/dc1/kv/docker/nodes/")
        process, path = page.tunnel.process, page.tunnel.socket
    assert process.poll() is not None
    assert not path.parent.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.usefixtures("store")
def test_a_tunnel_that_breaks_is_an_error_and_not_a_wait(lab: Lab) -> None:
    with ui.opened(lab.settings, lab.platform, Progress(quiet=True)) as page:
        page.tunnel.process.kill()
        with pytest.raises(OverlabError, match="the tunnel to docker01 ended"):
            page.wait()


def test_a_port_that_is_taken_is_refused(lab: Lab) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(OverlabError, match=f"cannot listen on 127.0.0.1:{port}"),
            ui.opened(lab.settings, lab.platform, Progress(quiet=True), port),
        ):
            pass


def test_no_store_is_an_error_after_its_limit(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "CONNECT_LIMIT_S", 3.0)
    with (
        pytest.raises(OverlabError, match=r"waited .* of 3 s for the store on docker01; seen last: "),
        ui.opened(lab.settings, lab.platform, Progress(quiet=True)),
    ):
        pass


def test_docker_over_ssh_finds_the_nodes_and_the_callers_own_hosts(lab: Lab) -> None:
    exports = contexts.over_ssh(lab.settings, lab.platform, "docker01", os.environ["PATH"])
    home = Path.home()
    shell = f"{exports}\necho $DOCKER_HOST; ssh docker01 echo reached; ssh -G elsewhere.example"
    done = subprocess.run(["sh", "-euc", shell], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    host, reached, *rest = done.stdout.splitlines()
    assert (host, reached) == ("ssh://docker01", "reached")
    settings = dict(line.split(" ", 1) for line in rest)
    assert settings["hostname"] == "elsewhere.example"
    assert "proxycommand" not in settings
    assert str(home) in settings["userknownhostsfile"]


def test_exports_twice_change_the_path_once(lab: Lab) -> None:
    once = contexts.over_ssh(lab.settings, lab.platform, None, "/usr/bin:/bin").splitlines()[0]
    path = shlex.split(once)[1].removeprefix("PATH=")
    assert contexts.over_ssh(lab.settings, lab.platform, None, path).splitlines()[0] == once


def test_an_engine_without_a_tls_port_has_no_tls_exports(lab: Lab) -> None:
    with pytest.raises(OverlabError, match="have no TLS port"):
        contexts.over_tls(lab.settings, lab.platform, "docker01")


def test_a_snapshot_of_nodes_without_engines_names_what_is_missing(lab: Lab) -> None:
    snapshot = lab_collector.take_snapshot(lab.settings, lab.platform)
    answered, refused = snapshot.nodes["docker01"], snapshot.nodes["docker02"]
    assert refused.report is None
    assert refused.error == "Host key verification failed."
    assert answered.report is not None
    assert answered.report.engine is None
    assert answered.report.overlay_namespaces == ()
    assert {"engine", "containers", "networks", "store"} <= answered.report.errors.keys()
    assert set(snapshot.machines) == {"docker01", "docker02"}
    assert all(state.startswith("unknown: ") for state in snapshot.machines.values())


def test_a_report_that_times_out_has_the_parts_that_arrived(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'import time; print(\'{"hostname": "x", "gossip": {}}\\n{"eng\', flush=True); time.sleep(60)'
    monkeypatch.setattr(lab_collector, "SESSION_LIMIT_S", 4)
    monkeypatch.setattr(lab_collector, "files", lambda _: _Script(script))
    node = lab_collector.take_snapshot(lab.settings, lab.platform, ["docker01"]).nodes["docker01"]
    assert node.seconds < 20
    assert node.report is not None
    assert node.report.gossip == {}
    assert node.report.errors["engine"] == "no answer within 4 s"


def test_a_collector_that_fails_is_named_with_its_last_message(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_collector, "files", lambda _: _Script("raise SystemExit('no journal here')"))
    node = lab_collector.take_snapshot(lab.settings, lab.platform, ["docker01"]).nodes["docker01"]
    assert node.report is None
    assert node.error == "node collector ended with exit code 1: no journal here"


class _Script:
    """Where the script for the nodes comes from."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __truediv__(self, _: str) -> _Script:
        return self

    def read_bytes(self) -> bytes:
        return self.text.encode()
