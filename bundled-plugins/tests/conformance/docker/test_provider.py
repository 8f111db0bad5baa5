"""The provider's configuration, and reaching the daemon over unix and TLS sockets."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bundled_plugins.docker.provider import DockerPlugin
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.values import UNKNOWN, Secret

from conformance.daemons import IMAGE, TLS_PORT, PrivateDocker, write_certificates
from conformance.harness import CallFailed, Provider, Refused, running

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"


@pytest.fixture(autouse=True)
def _no_docker_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOST", "CONTEXT", "SSH_OPTS", "CERT_PATH", "CA_MATERIAL", "CERT_MATERIAL", "KEY_MATERIAL", "CONFIG"):
        monkeypatch.delenv(f"DOCKER_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


# CheckConfig


@pytest.mark.bundled_only("internals")
def test_json_text_goes_back_as_compact_json_text() -> None:
    news = {"host": "ssh://u@h", "disableDockerDaemonCheck": "true", "version": "5.1.0"}
    compact = '["-o","X=ä"]'
    for given in ('["-o", "X=ä"]', compact, '[ "-o", "X=\\u00e4" ]'):
        checked = DockerPlugin().check_config({}, news | {"sshOpts": given})
        assert checked.failures == []
        assert checked.inputs == news | {"sshOpts": compact}
    assert DockerPlugin().check_config({}, {"sshOpts": Secret("[ ]")}).inputs == {"sshOpts": Secret("[]")}
    assert DockerPlugin().check_config({}, {"sshOpts": UNKNOWN}).inputs == {"sshOpts": UNKNOWN}


@pytest.mark.bundled_only("refusals")
@pytest.mark.parametrize(
    ("news", "property"),
    [
        ({"sshOpts": '"-o X=y"'}, "sshOpts"),
        ({"sshOpts": "-o X=y"}, ""),
        ({"hots": "unix:///x"}, "hots"),
        ({"disableDockerDaemonCheck": '"yes"'}, "disableDockerDaemonCheck"),
        ({"registryAuth": "[]"}, "registryAuth"),
        ({"context": "lab"}, "context"),
    ],
)
def test_wrong_configuration_is_refused_by_name(news: dict[str, str], property: str) -> None:
    assert [failure.property for failure in DockerPlugin().check_config({}, news).failures] == [property]


@pytest.mark.bundled_only("internals")
def test_unknown_host_is_accepted() -> None:
    assert DockerPlugin().check_config({}, {"host": UNKNOWN}).inputs == {"host": UNKNOWN}


@pytest.mark.bundled_only("version")
def test_version() -> None:
    with running("bundled_plugins.docker", configure=False) as provider:
        assert provider.version() == "5.1.0"


def test_changed_host_is_an_update_of_the_provider_in_place() -> None:
    with running("bundled_plugins.docker", configure=False) as provider:
        diff = provider.diff_config({"host": "unix:///a"}, {"host": "unix:///b"})
        assert diff.changed
        assert not diff.replace


# Configure


@pytest.mark.bundled_only("internals")
def test_ssh_hosts_are_never_dialed_by_configure() -> None:
    daemon = DockerPlugin().configure({"host": "ssh://root@192.0.2.1:2222", "sshOpts": '["-v"]'}, {})
    assert daemon.target.host == "ssh://root@192.0.2.1:2222"
    assert daemon.target.ssh_options == ("-v",)


def test_host_that_does_not_answer_fails_configure(tmp_path: Path) -> None:
    with (
        pytest.raises(
            CallFailed,
            match="docker native provider returned an unexpected error from Configure: failed to connect to any docker "
            f"daemon: .*Cannot connect to the Docker daemon at unix://{tmp_path}/none.sock. Is the docker daemon",
        ),
        running("bundled_plugins.docker", {"host": f"unix://{tmp_path}/none.sock"}),
    ):
        pass


@pytest.mark.bundled_only("internals")
def test_host_comes_from_the_environment_or_from_flat_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://from-environment")
    monkeypatch.setenv("DOCKER_SSH_OPTS", "-o A=b")
    plugin = DockerPlugin()
    assert plugin.configure({}, {}).target.host == "ssh://from-environment"
    assert plugin.configure({}, {}).target.ssh_options == ("-o", "A=b")
    assert plugin.configure({}, {"docker:config:host": "ssh://variable"}).target.host == "ssh://variable"
    assert plugin.configure({"host": "ssh://input"}, {"docker:config:host": "ssh://v"}).target.host == "ssh://input"


@pytest.mark.bundled_only("internals")
def test_a_docker_context_of_the_environment_is_refused_where_no_host_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    with pytest.raises(ProviderError, match="DOCKER_CONTEXT is not supported by the bundled docker plugin"):
        DockerPlugin().configure({}, {})
    assert DockerPlugin().configure({"host": "ssh://h"}, {}).target.host == "ssh://h"


@pytest.mark.bundled_only("refusals")
@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        ("ssh://u:secret@h", "plain-text password is not supported"),
        ("ssh://h?x=1", "extra query after the host"),
        ("ssh://h#x", "extra fragment after the host"),
        ("ssh://", "no host specified"),
        ("ssh://h:port", "Port could not be cast"),
        ("npipe:////./pipe/docker", "is not understood"),
    ],
)
def test_host_that_cannot_be_used_is_refused_with_the_reason(host: str, complaint: str) -> None:
    with pytest.raises(ProviderError, match=complaint):
        DockerPlugin().configure({"host": host}, {})


@pytest.mark.bundled_only("internals")
def test_tls_material_must_be_complete_and_of_one_kind(tmp_path: Path) -> None:
    plugin = DockerPlugin()
    with pytest.raises(ProviderError, match="go together; missing: caMaterial, keyMaterial"):
        plugin.configure({"host": "tcp://h:1", "certMaterial": "x"}, {})
    whole = {"caMaterial": "x", "certMaterial": "x", "keyMaterial": "x"}
    with pytest.raises(ProviderError, match="exclude each other"):
        plugin.configure({"host": "tcp://h:1", "certPath": "/x", **whole}, {})
    with pytest.raises(ProviderError, match=r"must hold ca\.pem, cert\.pem, key\.pem"):
        plugin.configure({"host": "tcp://h:1", "certPath": str(tmp_path)}, {})
    with pytest.raises(ProviderError, match="the TLS material cannot be used"):
        plugin.configure({"host": "tcp://h:1", **whole}, {})


@pytest.mark.bundled_only("internals")
def test_tls_material_for_an_ssh_host_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").write_text("x")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(ProviderError, match="DOCKER_CERT_PATH"):
        DockerPlugin().configure({"host": "ssh://h"}, {})


# the wire


@pytest.mark.parametrize("how", ["material", "path"])
def test_tcp_with_tls(daemon: PrivateDocker, how: str) -> None:
    texts = {name: (daemon.tls / f"{name}.pem").read_text() for name in ("ca", "cert", "key")}
    material = {f"{name}Material": text for name, text in texts.items()}
    how_said = material if how == "material" else {"certPath": str(daemon.tls)}
    with (
        daemon.forwarded(TLS_PORT) as port,
        running("bundled_plugins.docker", {"host": f"tcp://127.0.0.1:{port}"} | how_said) as provider,
    ):
        image = provider.resource("docker:index/remoteImage:RemoteImage", "image")
        assert image.up({"name": IMAGE, "keepLocally": True}) == "create"


def test_tls_daemon_of_another_authority_is_not_trusted(daemon: PrivateDocker, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    with daemon.forwarded(TLS_PORT) as port:
        config = {"host": f"tcp://127.0.0.1:{port}", "certPath": str(tmp_path)}
        with (
            pytest.raises(CallFailed, match=r"failed to connect to any docker daemon: .*CERTIFICATE_VERIFY_FAILED"),
            running("bundled_plugins.docker", config),
        ):
            pass


@pytest.mark.bundled_only("limits")
@pytest.mark.parametrize("how", ["unix", "tcp"])
def test_cancel_breaks_off_a_request_that_the_daemon_takes_its_time_for(daemon: PrivateDocker, how: str) -> None:
    with (
        daemon.forwarded(TLS_PORT) as port,
        running(
            "bundled_plugins.docker",
            {"host": daemon.host}
            if how == "unix"
            else {"host": f"tcp://127.0.0.1:{port}", "certPath": str(daemon.tls)},
        ) as provider,
    ):
        deaf = provider.resource(CONTAINER, "deaf")
        deaf.up({"image": IMAGE, "command": ["sleep", "600"], "destroyGraceSeconds": 30})
        threading.Timer(1, provider.cancel).start()
        started = time.monotonic()
        with pytest.raises(CallFailed, match="cancelled"):
            deaf.destroy()
        assert time.monotonic() - started < 10
    daemon.clear()


@pytest.mark.bundled_only("logins")
def test_many_parallel_first_operations_share_one_client(daemon: PrivateDocker, provider: Provider) -> None:
    networks = [provider.resource(NETWORK, f"n{index}") for index in range(16)]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda network: network.up({}), networks)) == ["create"] * 16
        list(pool.map(lambda network: network.destroy(), networks))


@pytest.mark.bundled_only("refusals")
def test_unsupported_resource_is_named(provider: Provider) -> None:
    with pytest.raises(CallFailed, match="docker:index/secret:Secret is not supported by the bundled docker plugin"):
        provider.check("docker:index/secret:Secret", "x", {})


def test_refused_configuration_over_the_wire() -> None:
    with running("bundled_plugins.docker", configure=False) as provider, pytest.raises(Refused, match="nonsense"):
        provider.check_config({"nonsense": "x"})
