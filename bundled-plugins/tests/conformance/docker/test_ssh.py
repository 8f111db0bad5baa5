"""Reaching the daemon through ssh, as the official provider does: ``ssh HOST docker system dial-stdio``."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bundled_plugins.docker.ssh_transport import MAX_CONNECTIONS, Destination

from conformance.daemons import IMAGE, PrivateDocker
from conformance.harness import CallFailed, running, until
from conformance.sshd import Sshd, free_port, private_sshd

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
SLEEP = {"image": IMAGE, "command": ["sleep", "600"]}


# the command line


@pytest.mark.bundled_only("internals")
@pytest.mark.parametrize(
    ("url", "options", "argv"),
    [
        (
            "ssh://root@docker01:2222",
            (),
            "ssh|-l|root|-p|2222|-o ConnectTimeout=30|-T|--|docker01|docker system dial-stdio",
        ),
        ("ssh://docker01", (), "ssh|-o ConnectTimeout=30|-T|--|docker01|docker system dial-stdio"),
        (
            "ssh://docker01/",
            ("-o", "ConnectTimeout=5", "-T"),
            "ssh|-o|ConnectTimeout=5|-T|--|docker01|docker system dial-stdio",
        ),
        (
            "ssh://docker01/run/other dir.sock",
            ("-i key",),
            "ssh|-i key|-o ConnectTimeout=30|-T|--|docker01|"
            "docker --host=unix://'/run/other dir.sock' system dial-stdio",
        ),
        ("ssh://[fd00::1]:22", (), "ssh|-p|22|-o ConnectTimeout=30|-T|--|fd00::1|docker system dial-stdio"),
    ],
)
def test_command_line(url: str, options: tuple[str, ...], argv: str) -> None:
    assert Destination.parse(url).argv(options) == argv.split("|")


# a real sshd


@pytest.fixture
def sshd(daemon: PrivateDocker, tmp_path: Path) -> Iterator[Sshd]:
    """Logs in as root, whose docker command finds the private daemon."""
    with private_sshd(tmp_path / "sshd", SetEnv=f"DOCKER_HOST={daemon.host}") as server:
        yield server
    daemon.clear()


@pytest.fixture
def config(sshd: Sshd, tmp_path: Path) -> dict[str, Any]:
    key, known = tmp_path / "id", tmp_path / "known_hosts"
    key.touch(mode=0o600)
    key.write_text(sshd.client_key.private)
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key.public}\n")
    options = ["-F", "none", "-i", str(key), "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
    return {"host": f"ssh://root@127.0.0.1:{sshd.port}", "sshOpts": json.dumps(options)}


@pytest.mark.bundled_only("logins")
@pytest.mark.root
def test_first_operation_dials_and_the_others_reuse_the_connection(sshd: Sshd, config: dict[str, Any]) -> None:
    with running("bundled_plugins.docker", config) as provider:
        web = provider.resource(CONTAINER, "web")
        inputs = provider.check(CONTAINER, "web", SLEEP)
        provider.preview(CONTAINER, "web", inputs)
        assert sshd.logins() == 0
        assert web.up(SLEEP) == "create"
        assert web.up(SLEEP) == "same"
        assert web.refresh()
        web.destroy()
        assert sshd.logins() == 1


@pytest.mark.bundled_only("logins")
@pytest.mark.root
def test_parallel_operations_queue_for_a_few_connections(sshd: Sshd, config: dict[str, Any]) -> None:
    with running("bundled_plugins.docker", config) as provider:
        networks = [provider.resource(NETWORK, f"n{index}") for index in range(12)]
        with ThreadPoolExecutor(12) as pool:
            assert list(pool.map(lambda network: network.up({}), networks)) == ["create"] * 12
            list(pool.map(lambda network: network.destroy(), networks))
        assert 1 <= sshd.logins() <= MAX_CONNECTIONS


@pytest.mark.bundled_only("logins")
@pytest.mark.root
def test_connection_that_broke_is_dialed_again(sshd: Sshd, config: dict[str, Any]) -> None:
    with running("bundled_plugins.docker", config) as provider:
        network = provider.resource(NETWORK, "lab")
        network.up({})
        sshd.stop()
        sshd.start()
        # A request that must not be repeated: only a look at the connection beforehand helps.
        assert provider.resource(NETWORK, "other").up({}) == "create"
        assert network.refresh()


@pytest.mark.root
def test_large_bodies_go_both_ways(sshd: Sshd, daemon: PrivateDocker, config: dict[str, Any]) -> None:
    content = "0123456789abcdef" * 65536
    with running("bundled_plugins.docker", config) as provider:
        box = provider.resource(CONTAINER, "box")
        box.up({"image": IMAGE, "command": ["sleep", "600"], "uploads": [{"file": "/root/big", "content": content}]})
        assert daemon.cli("exec", box.id, "stat", "-c", "%s", "/root/big") == str(len(content))
        idle = provider.resource(CONTAINER, "idle")
        idle.up({"image": IMAGE, "command": ["echo", content], "start": False, "mustRun": False})
        assert idle["command"] == ["echo", content]


@pytest.mark.root
def test_no_ssh_child_outlives_the_plugin(sshd: Sshd, config: dict[str, Any]) -> None:
    with running("bundled_plugins.docker", config) as provider:
        provider.resource(NETWORK, "lab").up({})
        children = _ssh_children(sshd.port)
        assert children
    _wait_until_gone(children)


@pytest.mark.root
def test_unreachable_host_is_reported_with_the_command_and_its_stderr() -> None:
    port = free_port()
    with running(
        "bundled_plugins.docker", {"host": f"ssh://me@127.0.0.1:{port}", "sshOpts": '["-F", "none"]'}
    ) as provider:
        with pytest.raises(CallFailed) as failed:
            provider.resource(NETWORK, "lab").up({})
        assert failed.value.message == (
            "1 error occurred:\n\t* failed to create Docker client: Error pinging Docker server, please make sure that "
            f"ssh://me@127.0.0.1:{port} is reachable and has a  '_ping' endpoint. Error: error during connect: "
            f'Head "http://docker.example.com/_ping": command [ssh -l me -p {port} -F none -o ConnectTimeout=30 -T -- '
            "127.0.0.1 docker system dial-stdio] has exited with exit status 255, make sure the URL is valid, and "
            "Docker 18.09 or later is installed on the remote host: "
            f"stderr=ssh: connect to host 127.0.0.1 port {port}: Connection refused\n\n"
        )
        urn = provider.urn(NETWORK, "lab")
        with pytest.raises(CallFailed, match=f"^refreshing {urn}: 1 error occurred:\n\t\\* failed to create Docker"):
            provider.read(NETWORK, "lab", "x", {"name": "x"}, {"name": "x"})
        with pytest.raises(CallFailed, match=f"^deleting {urn}: 1 error occurred:\n\t\\* failed to create Docker"):
            provider.delete(NETWORK, "lab", "x", {"name": "x"}, {"name": "x"})


@pytest.mark.root
def test_unknown_host_key_is_refused(sshd: Sshd, config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.client_key.public}\n")
    with (
        running("bundled_plugins.docker", config) as provider,
        pytest.raises(CallFailed, match="Host key verification failed"),
    ):
        provider.resource(NETWORK, "lab").up({})


@pytest.mark.root
def test_daemon_that_is_down_behind_ssh(sshd: Sshd, daemon: PrivateDocker, config: dict[str, Any]) -> None:
    with running("bundled_plugins.docker", config) as provider:
        daemon.stop_daemon()
        try:
            with pytest.raises(CallFailed, match=r"exit status 1, make sure .* stderr=.*docker"):
                provider.resource(NETWORK, "lab").up({})
        finally:
            daemon.start_daemon()
        # The failed first use was not kept.
        assert provider.resource(NETWORK, "lab").up({}) == "create"


@pytest.mark.bundled_only("limits")
@pytest.mark.root
def test_cancel_ends_a_connection_that_hangs() -> None:
    hang = {"host": "ssh://nowhere", "sshOpts": '["-F", "none", "-o", "ProxyCommand=sleep 60"]'}
    with running("bundled_plugins.docker", hang) as provider:
        threading.Timer(1, provider.cancel).start()
        started = time.monotonic()
        with pytest.raises(CallFailed, match="cancelled"):
            provider.resource(NETWORK, "lab").up({})
        assert time.monotonic() - started < 15


@pytest.mark.bundled_only("limits")
@pytest.mark.root
def test_cancel_breaks_off_a_request_over_ssh(sshd: Sshd, config: dict[str, Any]) -> None:
    with running("bundled_plugins.docker", config) as provider:
        deaf = provider.resource(CONTAINER, "deaf")
        deaf.up(SLEEP | {"destroyGraceSeconds": 30})
        threading.Timer(1, provider.cancel).start()
        started = time.monotonic()
        with pytest.raises(CallFailed, match="cancelled"):
            deaf.destroy()
        assert time.monotonic() - started < 10


@pytest.mark.bundled_only("limits")
@pytest.mark.root
def test_cancel_reaches_those_who_queue_for_a_connection(sshd: Sshd, config: dict[str, Any]) -> None:
    with running("bundled_plugins.docker", config) as provider:
        deaf = [provider.resource(CONTAINER, f"deaf{index}") for index in range(MAX_CONNECTIONS + 2)]
        for container in deaf:
            container.up(SLEEP | {"destroyGraceSeconds": 30})
        with ThreadPoolExecutor(len(deaf)) as pool:
            calls = [pool.submit(container.destroy) for container in deaf]
            threading.Timer(1, provider.cancel).start()
            started = time.monotonic()
            for call in calls:
                with pytest.raises(CallFailed, match="cancelled"):
                    call.result(20)
            assert time.monotonic() - started < 15


@pytest.mark.bundled_only("limits")
@pytest.mark.root
def test_time_limit_ends_a_connection_that_hangs() -> None:
    hang = {"host": "ssh://nowhere", "sshOpts": '["-F", "none", "-o", "ProxyCommand=sleep 60"]'}
    with running("bundled_plugins.docker", hang) as provider:
        started = time.monotonic()
        with pytest.raises(CallFailed, match="no answer to Head /_ping from ssh://nowhere within 2 s"):
            provider.resource(NETWORK, "lab").up({}, timeout=2)
        assert time.monotonic() - started < 15


def _ssh_children(port: int) -> list[int]:
    """Pids of ssh clients to a port of loopback."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if arguments[0] == b"ssh" and str(port).encode() in arguments:
                found.append(int(entry.name))
    return found


def _wait_until_gone(pids: list[int], limit_s: float = 10) -> None:
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), limit_s, lambda: f"some of {pids} run")
