"""The lab's node containers, their volumes and their network on the engine that runs them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from overlab.core.errors import OverlabError
from overlab.stack.lab_object import REMOVAL_ORDER, Kind, LabObject, Standing, lab_prefix
from overlab.stack.state import CONTAINER, DOCKER_NETWORK, DOCKER_VOLUME, State

_LIMIT_S = 60
_RUNS = ("running", "restarting")
_WITH_USERS = "{docker} ps -aq --filter {kind}={key} | xargs -r {docker} rm -f; {docker} {kind} rm {key}"
_REMEDIES: dict[Kind, str] = {"container": "{docker} rm -f {key}", "network": _WITH_USERS, "volume": _WITH_USERS}
"""Where an object cannot be removed. A container that is not the lab's may use it."""


def find(host: str, lab: str, state: State) -> list[LabObject]:
    """Every object of the lab, on the lab's own engine: what the state does not have is a leftover.

    A volume counts as unknown where no container that the state has mounts it, even if the state has the volume: it
    holds another instance's engine. Raises :class:`OverlabError` where the engine does not answer.
    """
    prefix = lab_prefix(lab)
    with _client(host) as api:
        networks = [one for one in api.networks(names=[prefix]) if one["Name"] == prefix]
        known_networks = state.keys(host, DOCKER_NETWORK)
        # a container on a network that is removed is of no use
        lost = any(one["Id"] not in known_networks for one in networks)
        known = frozenset() if lost else state.keys(host, CONTAINER)
        containers = list(_containers(api, f"{prefix}-", known))
        mounted = {name for one in containers if one["Id"] in known for name in _volumes(one)}
        volumes = [one["Name"] for one in api.volumes()["Volumes"] or () if one["Name"].startswith(f"{prefix}-")]
    known_volumes = state.keys(host, DOCKER_VOLUME)
    found: list[tuple[Kind, str, str, Standing]] = []
    for one in containers:
        runs: Standing = "known" if one["State"] in _RUNS else "stopped"
        found.append(("container", _name(one), one["Id"], runs if one["Id"] in known else "unknown"))
    for one in networks:
        found.append(("network", prefix, one["Id"], "known" if one["Id"] in known_networks else "unknown"))
    for name in volumes:
        needed: Standing = "known" if name in known_volumes else "in use"
        found.append(("volume", name, name, needed if name in mounted else "unknown"))
    return [LabObject(kind, name, key, host, standing, _remedy(host, kind, key)) for kind, name, key, standing in found]


def remove(host: str, objects: Iterable[LabObject]) -> None:
    """Remove them, dependents first; one that is gone already counts as removed.

    Raises :class:`OverlabError` with the command that removes it where the engine refuses.
    """
    import docker

    with _client(host) as api:
        calls = {
            "container": lambda key: api.remove_container(key, force=True, v=True),
            "network": api.remove_network,
            "volume": api.remove_volume,
        }
        for one in sorted(objects, key=lambda one: REMOVAL_ORDER.index(one.kind)):
            try:
                calls[one.kind](one.key)
            except docker.errors.NotFound:
                continue
            except docker.errors.APIError as error:
                raise OverlabError(f"{one} cannot be removed: {error.explanation or error}", one.remedy) from error


def _remedy(host: str, kind: Kind, key: str) -> str:
    return _REMEDIES[kind].format(docker=f"docker -H {host}", kind=kind, key=key)


def start(one: LabObject) -> None:
    """Start a container that is in the state. Raises :class:`OverlabError` with what the engine says."""
    with _client(one.host) as api:
        if api.inspect_container(one.key)["State"]["Paused"]:
            api.unpause(one.key)
        else:
            api.start(one.key)


def reset(one: LabObject) -> None:
    """Kill a container's processes and start it again. Raises :class:`OverlabError` with what the engine says."""
    with _client(one.host) as api:
        api.restart(one.key, timeout=0)


def _containers(api: Any, prefix: str, known: frozenset[str]) -> Iterator[dict[str, Any]]:
    for one in api.containers(all=True):
        if one["Id"] in known or _name(one).startswith(prefix):
            yield one


def _name(container: dict[str, Any]) -> str:
    return str(container["Names"][0]).lstrip("/")


def _volumes(container: dict[str, Any]) -> Iterator[str]:
    for mount in container.get("Mounts") or ():
        if mount.get("Type") == "volume":
            yield mount["Name"]


@contextlib.contextmanager
def _client(host: str) -> Iterator[Any]:
    """Docker's own client. Raises :class:`OverlabError` with what the engine, or its transport, says."""
    import docker
    import requests

    try:
        with contextlib.closing(docker.DockerClient(base_url=host, timeout=_LIMIT_S)) as client:
            yield client.api
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise OverlabError(
            f"the engine {host} that runs the nodes: {error}", "overlab up, or overlab down: each starts it again"
        ) from error
