"""The state of the lab's machines as libvirt has it, of node containers as their engine has it."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from components.config.platform import Platform
from components.config.settings import Settings
from overlab.platform import libvirt_api
from overlab.platform.libvirt_api import LibvirtError

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
    hypervisors = platform.hypervisors_by_name
    with ThreadPoolExecutor(max(1, len(hypervisors))) as pool:
        uris = [hypervisor.uri for hypervisor in hypervisors.values()]
        answers = dict(zip(hypervisors, pool.map(partial(_domain_states, prefix, limit_s), uris), strict=True))
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


def _domain_states(prefix: str, limit_s: float, uri: str) -> dict[str, str] | str:
    """Domain whose name begins with ``prefix`` -> its state; an error's text where libvirt fails."""

    def listed(connection: Any) -> dict[str, str]:
        domains = [domain for domain in connection.listAllDomains() if domain.name().startswith(prefix)]
        return {domain.name(): _STATES[domain.state()[0]] for domain in domains}

    try:
        return libvirt_api.ask(uri, listed, limit_s, read_only=True)
    except LibvirtError as error:
        return f"libvirt at {uri}: {error}"
