"""The state of the lab's machines as libvirt has it, of node containers as their engine has it."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from components.config.platform import Platform
from components.config.settings import Settings

LIMIT_S = 20.0

RUNNING = "running"
UNKNOWN = "unknown"
"""The hypervisor did not report it."""

_STATES = ("no state", RUNNING, "blocked", "paused", "shutting down", "shut off", "crashed", "suspended")


def states(settings: Settings, platform: Platform, limit_s: float = LIMIT_S) -> dict[str, str]:
    """Node -> its state as libvirt or Docker names it, ``missing``, or ``unknown`` and why. Raises nothing."""
    prefix = f"overlab-{settings.name}-"
    if platform.node_engine is not None:
        answer = _container_states(platform.node_engine.docker_host, prefix, limit_s)
        return {key: _state(answer, f"{prefix}{key}") for key in settings.nodes}
    answers: dict[str, dict[str, str] | str] = {}

    def ask(name: str, uri: str) -> None:
        answers[name] = _domain_states(uri, prefix)

    # libvirt has no timeout of its own on a call: a libvirtd that hangs is abandoned with its thread.
    threads = []
    for name, hypervisor in platform.hypervisors_by_name.items():
        answers[name] = f"libvirt at {hypervisor.uri} did not answer within {limit_s:g} s"
        threads.append(threading.Thread(target=ask, args=(name, hypervisor.uri), daemon=True))
        threads[-1].start()
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {
        key: _state(answers.get(node.hypervisor, "no such hypervisor"), f"{prefix}{key}")
        for key, node in settings.nodes.items()
    }


def _state(answer: dict[str, str] | str, name: str) -> str:
    return f"{UNKNOWN}: {answer}" if isinstance(answer, str) else answer.get(name, "missing")


def _container_states(docker_host: str, prefix: str, limit_s: float) -> dict[str, str] | str:
    """Container whose name begins with ``prefix`` -> its state; an error's text where the engine fails."""
    import docker

    try:
        with contextlib.closing(docker.DockerClient(base_url=docker_host, timeout=round(limit_s))) as client:
            listed = client.api.containers(all=True, filters={"name": f"^/{prefix}"})
    except (docker.errors.DockerException, OSError) as error:
        return str(error)
    return {container["Names"][0].lstrip("/"): container["State"] for container in listed}


def _domain_states(uri: str, prefix: str) -> dict[str, str] | str:
    """Domain whose name begins with ``prefix`` -> its state; an error's text where libvirt fails."""
    import libvirt

    libvirt.registerErrorHandler(_ignore_error, None)
    try:
        connection = libvirt.openReadOnly(uri)
        try:
            domains = [domain for domain in connection.listAllDomains() if domain.name().startswith(prefix)]
            return {domain.name(): _STATES[domain.state()[0]] for domain in domains}
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        return str(error)


def _ignore_error(_context: Any, _error: Any) -> None:
    """libvirt would write to standard error."""
