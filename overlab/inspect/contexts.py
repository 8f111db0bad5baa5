"""Docker's own client on this machine, pointed at a node's engine."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from components.config import conventions
from components.config.platform import Platform
from components.config.settings import Settings
from overlab import openssh
from overlab.core.errors import OverlabError
from overlab.core.files import write_private
from overlab.core.paths import LabPaths
from overlab.inspect import ssh_config
from overlab.platform.namespace import Namespace

UNSET = ("DOCKER_CONTEXT", "DOCKER_API_VERSION", "DOCKER_TLS")
"""Variables that would override those that are set, or contradict them."""


def over_ssh(settings: Settings, platform: Platform, node: str | None, path: str) -> str:
    """Shell exports by which ``docker`` talks to a node over SSH, from inside and outside the lab's namespace.

    Docker's client starts ``ssh`` without an option for its configuration. So a directory with an ``ssh`` that has the
    lab's configuration and includes the caller's own comes first in PATH (``path`` is the present one). Without a node
    nothing else is exported: ``docker -H ssh://NODE`` then works for every node.
    """
    directory = _write_ssh(settings, platform)
    rest = [entry for entry in path.split(":") if entry != str(directory)]
    lines = [f"export PATH={shlex.quote(':'.join([str(directory), *rest]))}"]
    if node is None:
        return "\n".join([*lines, *(f"# docker -H ssh://{key} ps" for key in settings.nodes)]) + "\n"
    openssh.node_named(settings, node)
    unset = f"unset {' '.join([*UNSET, 'DOCKER_TLS_VERIFY', 'DOCKER_CERT_PATH'])}"
    return "\n".join([unset, *lines, f"export DOCKER_HOST=ssh://{node}", ""])


def over_tls(settings: Settings, platform: Platform, node: str) -> str:
    """Shell exports by which ``docker`` talks to a node's TLS port, with the lab's client certificate.

    Raises :class:`OverlabError` where the engines have no such port.
    """
    tls, address = platform.identity.tls, openssh.node_named(settings, node).address
    if settings.engine.api != "tls" or tls is None:
        raise OverlabError(
            f"the engines of lab {settings.name} have no TLS port", "set engine.api to tls, or leave out --tls"
        )
    certificates = LabPaths(settings.name).run / "docker-certs"
    for name, source in (("ca.pem", tls.ca), ("cert.pem", tls.client_cert), ("key.pem", tls.client_key)):
        write_private(certificates / name, source.read_bytes())
    lines = [
        f"unset {' '.join(UNSET)}",
        f"export DOCKER_HOST=tcp://{address}:{conventions.ENGINE_PORT}",
        "export DOCKER_TLS_VERIFY=1",
        f"export DOCKER_CERT_PATH={shlex.quote(str(certificates))}",
    ]
    if platform.kind == "bundled":
        enter = shlex.join(Namespace.of(LabPaths(settings.name)).command(["docker"]))
        lines.append(f"# this address is reached only from inside the lab's network namespace: {enter} ps")
    return "\n".join(lines) + "\n"


def _write_ssh(settings: Settings, platform: Platform) -> Path:
    """The directory with the lab's ``ssh``, in the run directory of the lab."""
    real = shutil.which("ssh", path="/usr/local/bin:/usr/bin:/bin")
    if real is None:
        raise OverlabError("no ssh on this machine", "install the package openssh-client")
    config = ssh_config.write(settings, platform)
    script = f'#!/bin/sh\nexec {shlex.quote(real)} -F {shlex.quote(str(config))} "$@"\n'
    write_private(config.with_name("ssh"), script.encode(), 0o700)
    return config.parent
