"""The provider ``docker`` 5.1.0: its configuration and what it serves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundled_plugins.docker.client import Daemon, Target
from bundled_plugins.docker.container import Container
from bundled_plugins.docker.errors import Unreachable
from bundled_plugins.docker.image import RemoteImage
from bundled_plugins.docker.network import Network
from bundled_plugins.docker.transport import TlsMaterial
from bundled_plugins.docker.volume import Volume
from bundled_plugins.runtime.errors import CheckFailure, ProviderError
from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.resource import Checked, Plugin
from bundled_plugins.runtime.values import Properties, Secret, Value, has_unknown, unwrap

DEFAULT_HOST = "unix:///var/run/docker.sock"
_NOT_OURS = frozenset({"version", "pluginDownloadURL"})


class ProviderInputs(Model):
    """Configuration of the provider."""

    unsupported = ("context", "registryAuth")

    host: str | None = None
    ssh_opts: list[str] | None = None
    ca_material: str | None = None
    cert_material: str | None = None
    key_material: str | None = None
    cert_path: str | None = None
    disable_docker_daemon_check: bool | None = None


_JSON_TEXT = frozenset({"sshOpts", "disableDockerDaemonCheck"})
_VARIABLES = {
    "host": "DOCKER_HOST",
    "caMaterial": "DOCKER_CA_MATERIAL",
    "certMaterial": "DOCKER_CERT_MATERIAL",
    "keyMaterial": "DOCKER_KEY_MATERIAL",
    "certPath": "DOCKER_CERT_PATH",
}


class DockerPlugin(Plugin):
    """Containers, networks, images and volumes of one Docker daemon."""

    name = "docker"
    version = "5.1.0"
    resources = (Container, Network, RemoteImage, Volume)

    def check_config(self, olds: Properties, news: Properties) -> Checked:
        """What is not a string arrives, and goes back, as JSON text. The daemon is not contacted."""
        try:
            inputs = {key: _decoded(key, value) for key, value in news.items() if key not in _NOT_OURS}
        except ValueError as error:
            return Checked(news, [CheckFailure("", str(error))])
        failures = ProviderInputs.failures(inputs, "the provider docker")
        if failures:
            return Checked(news, failures)
        return Checked({key: _json_text(key, inputs.get(key), value) for key, value in news.items()})

    def configure(self, args: Properties, variables: Mapping[str, str]) -> Daemon:
        """Dials everything but ssh hosts, whose machines may not exist yet."""
        given = {key: _decoded(key, value) for key, value in args.items() if key not in _NOT_OURS}
        for key, variable in _VARIABLES.items():
            value = variables.get(f"docker:config:{key}") or os.environ.get(variable)
            if key not in given and value:
                given[key] = value
        if "sshOpts" not in given and os.environ.get("DOCKER_SSH_OPTS"):
            given["sshOpts"] = os.environ["DOCKER_SSH_OPTS"].split()
        if not given.get("host") and os.environ.get("DOCKER_CONTEXT"):
            raise ProviderError(
                "DOCKER_CONTEXT is not supported by the bundled docker plugin; set the provider's 'host' or DOCKER_HOST"
            )
        return _reached(ProviderInputs.parse(given))

    def cancel(self, client: Any) -> None:
        if isinstance(client, Daemon):
            client.stop()


def _decoded(key: str, value: Value) -> Value:
    """The value behind the JSON text of a property that is not a string."""
    bare = unwrap(value)
    if key not in _JSON_TEXT or not isinstance(bare, str):
        return bare
    try:
        return json.loads(bare)
    except ValueError as error:
        raise ValueError(f"provider input '{key}' must be JSON text: {error}") from error


def _json_text(key: str, decoded: Value, value: Value) -> Value:
    """What is not a string as compact JSON text, as the official provider writes it; secret if it was."""
    if key not in _JSON_TEXT or has_unknown(decoded):
        return value
    text = json.dumps(decoded, separators=(",", ":"), ensure_ascii=False)
    return Secret(text) if isinstance(value, Secret) else text


def _reached(inputs: ProviderInputs) -> Daemon:
    """The daemon; the first that answers where no host is given."""
    hosts = [inputs.host] if inputs.host else _usual_hosts()
    refusals = []
    for host in hosts:
        daemon = Daemon(_target(inputs, host))
        if daemon.target.is_ssh:
            return daemon
        try:
            daemon.ping()
        except Unreachable as error:
            refusals.append(str(error))
        else:
            return daemon
    raise ProviderError(
        "docker native provider returned an unexpected error from Configure: "
        f"failed to connect to any docker daemon: {'; '.join(refusals)}"
    )


def _target(inputs: ProviderInputs, host: str) -> Target:
    tls = _material(inputs)
    if tls is not None and host.startswith("ssh://"):
        raise ProviderError(
            f'host "{host}" is an ssh host, and TLS material is given too (certPath or certMaterial, or '
            "DOCKER_CERT_PATH or DOCKER_CERT_MATERIAL in the environment): TLS is for tcp hosts; give one of the two"
        )
    return Target(
        host=host,
        ssh_options=tuple(inputs.ssh_opts or ()),
        tls=None if host.startswith("unix://") else tls,
        ping=not inputs.disable_docker_daemon_check,
    )


def _material(inputs: ProviderInputs) -> TlsMaterial | None:
    texts = {
        "caMaterial": inputs.ca_material,
        "certMaterial": inputs.cert_material,
        "keyMaterial": inputs.key_material,
    }
    absent = [name for name, value in texts.items() if not value]
    if len(absent) == len(texts):
        return TlsMaterial.from_directory(inputs.cert_path) if inputs.cert_path else None
    if absent:
        raise ProviderError(f"caMaterial, certMaterial and keyMaterial go together; missing: {', '.join(absent)}")
    if inputs.cert_path:
        raise ProviderError("certPath and caMaterial, certMaterial, keyMaterial exclude each other; give one")
    return TlsMaterial(inputs.ca_material or "", inputs.cert_material or "", inputs.key_material or "")


def _usual_hosts() -> list[str]:
    home = Path.home() / ".docker"
    return [DEFAULT_HOST, f"unix://{home}/run/docker.sock", f"unix://{home}/desktop/docker.sock"]
