"""The provider itself: configuration, connection, end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bundled_plugins.libvirt.connection import libvirt_uri
from bundled_plugins.runtime.errors import ProviderError

from conformance.daemons_libvirt import PrivateLibvirt
from conformance.harness import CallFailed, Provider, Refused, running
from conformance.libvirt.conftest import NETWORK


@pytest.mark.bundled_only("version")
def test_the_version_is_the_one_that_the_sdk_asks_for(dry: Provider) -> None:
    assert dry.version() == "0.5.4"


def test_a_missing_uri_is_refused_with_its_remedy() -> None:
    with running("bundled_plugins.libvirt", configure=False, env={"LIBVIRT_DEFAULT_URI": ""}) as plugin:
        with pytest.raises(Refused) as refused:
            plugin.check_config({})
        assert "pulumi config set libvirt:uri" in refused.value.reason("uri")


@pytest.mark.bundled_only("test driver")
def test_the_uri_comes_from_the_environment_when_it_is_not_given() -> None:
    with running("bundled_plugins.libvirt", configure=False, env={"LIBVIRT_DEFAULT_URI": "test:///default"}) as plugin:
        assert plugin.check_config({}) == {"uri": "test:///default"}


@pytest.mark.bundled_only("refusals")
def test_an_unknown_configuration_key_is_refused_by_name() -> None:
    with running("bundled_plugins.libvirt", configure=False) as plugin, pytest.raises(Refused) as refused:
        plugin.check_config({"uri": "test:///default", "color": "red"})
    assert "'color' is no property of the provider libvirt; check its spelling" in refused.value.reason("color")


def test_configure_dials_at_once_and_names_the_uri(tmp_path: Path) -> None:
    uri = f"qemu:///system?socket={tmp_path}/none"
    with running("bundled_plugins.libvirt", configure=False) as plugin, pytest.raises(CallFailed) as failed:
        plugin.configure(plugin.check_config({"uri": uri}))
    assert "failed to connect" in failed.value.message
    assert f"{tmp_path}/none" in failed.value.message
    assert "No such file or directory" in failed.value.message


@pytest.mark.bundled_only("plans")
def test_another_uri_replaces_nothing(dry: Provider) -> None:
    diff = dry.diff_config({"uri": "test:///default"}, {"uri": "test:///other"})
    assert diff.changed
    assert not diff.replace


@pytest.mark.bundled_only("internals")
def test_libvirt_prints_nothing_to_stderr_by_itself(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with running("bundled_plugins.libvirt", {"uri": "test:///default"}) as plugin:
        assert plugin.read(NETWORK, "gone", "00000000-0000-4000-8000-000000000000") is None
    assert "libvirt" not in capfd.readouterr().err


@pytest.mark.bundled_only("refusals")
def test_unsupported_types_are_refused_by_name(dry: Provider) -> None:
    with pytest.raises(CallFailed, match="libvirt:index/ignition:Ignition is not supported by the bundled libvirt"):
        dry.check("libvirt:index/ignition:Ignition", "it", {})
    with pytest.raises(CallFailed, match="getNodeDevices is not supported"):
        dry.invoke("libvirt:index/getNodeDevices:getNodeDevices", {})


@pytest.mark.bundled_only("logins")
def test_a_dead_connection_is_dialed_again(hypervisor: PrivateLibvirt, tmp_path: Path) -> None:
    """A proxy before libvirtd cuts every connection once; the plugin's next call works again."""
    with _Proxy(hypervisor.daemon.paths.libvirt_socket, tmp_path / "proxy") as proxy:
        uri = f"qemu:///system?socket={proxy.path}"
        with running("bundled_plugins.libvirt", {"uri": uri}) as plugin:
            not_found = "00000000-0000-4000-8000-000000000000"
            assert plugin.read(NETWORK, "n", not_found) is None
            proxy.cut()
            _eventually(lambda: plugin.read(NETWORK, "n", not_found) is None)


@pytest.mark.bundled_only("internals")
@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu+ssh://root@hv/system", "qemu+ssh://root@hv/system?no_tty=1"),
        ("qemu+ssh://hv/system?sshauth=privkey&keyfile=/k", "qemu+ssh://hv/system?keyfile=/k&no_tty=1"),
        ("qemu+ssh://hv/system?known_hosts_verify=ignore", "qemu+ssh://hv/system?no_verify=1&no_tty=1"),
    ],
)
def test_ssh_uris_of_the_official_provider_are_understood(given: str, used: str) -> None:
    assert libvirt_uri(given) == used


@pytest.mark.bundled_only("internals")
@pytest.mark.parametrize("option", ["knownhosts=/x", "sshauth=ssh-password"])
def test_uri_options_that_ssh_does_not_have_are_refused(option: str) -> None:
    with pytest.raises(ProviderError, match="is not supported by the bundled libvirt plugin"):
        libvirt_uri(f"qemu+ssh://hv/system?{option}")


def test_the_process_ends_with_the_engine(hypervisor: PrivateLibvirt) -> None:
    with running("bundled_plugins.libvirt", {"uri": hypervisor.uri}) as plugin:
        begun = time.monotonic()
        plugin.cancel()
        os.killpg(plugin.process.pid, signal.SIGINT)
        assert plugin.process.wait(5) == 0
        assert time.monotonic() - begun < 4


class _Proxy:
    """Forwards a unix socket to another, and can cut all that goes through."""

    def __init__(self, target: Path, path: Path) -> None:
        self.path = path
        self._target = target
        self._listener = socket.socket(socket.AF_UNIX)
        self._open: list[socket.socket] = []

    def __enter__(self) -> _Proxy:
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self._target))
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)


def _eventually(condition: Callable[[], bool], limit_s: float = 10) -> None:
    begun = time.monotonic()
    while True:
        try:
            assert condition()
            return
        except CallFailed:
            if time.monotonic() - begun > limit_s:
                raise
            time.sleep(0.05)
