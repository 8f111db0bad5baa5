"""The lab's node containers, their volumes and their network on the engine that runs them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.platform.private_dockerd import PrivateDockerd
from overlab.stack.lab_object import REMOVAL_ORDER, LabObject, Standing, lab_prefix
from overlab.stack.state import CONTAINER, DOCKER_NETWORK, DOCKER_VOLUME, State

_LIMIT_S = 60
_RUNS = ("running", "restarting")


def find(host: str, lab: str, state: State) -> list[LabObject]:
    """Every object of the lab.

    A volume counts as unknown where no container that the state has mounts it, even if the state has the volume: it
    holds another instance's engine. Raises :class:`OverlabError` where the engine does not answer.
    """
    prefix, ours = lab_prefix(lab), host == PrivateDockerd(LabPaths(lab)).host
    unknown: Standing = "unknown" if ours else "foreign"
    with _client(host) as api:
        networks = [one for one in api.networks(names=[prefix]) if one["Name"] == prefix]
        known_networks = state.keys(host, DOCKER_NETWORK)
        # a container on a network that is removed is of no use
        lost = any(one["Id"] not in known_networks for one in networks)
        known = frozenset() if lost else state.keys(host, CONTAINER)
        containers = list(_containers(api, f"{prefix}-", known))
        mounted = {name for one in containers if one["Id"] in known for name in _volumes(one)}
        volumes = [one["Name"] for one in api.volumes()["Volumes"] or () if one["Name"].startswith(f"{prefix}-")]
    docker = f"docker -H {host}"
    found = [
        LabObject(
            "container",
            one["Names"][0].lstrip("/"),
            one["Id"],
            host,
            unknown if one["Id"] not in known else "known" if one["State"] in _RUNS else "stopped",
            f"{docker} rm -f {one['Names'][0].lstrip('/')}",
        )
        for one in containers
    ]
    found += [
        LabObject(
            "network",
            prefix,
            one["Id"],
            host,
            "known" if one["Id"] in known_networks else unknown,
            f"{docker} network rm {one['Id']}",
        )
        for one in networks
    ]
    known_volumes = state.keys(host, DOCKER_VOLUME)
    for name in volumes:
        standing = unknown if name not in mounted else "known" if name in known_volumes else "in use"
        found.append(LabObject("volume", name, name, host, standing, f"{docker} volume rm {name}"))
    return found


def remove(host: str, objects: Iterable[LabObject]) -> None:
    """Remove them, dependents first; one that is gone already counts as removed."""
    import docker

    with _client(host) as api:
        for one in sorted(objects, key=lambda one: REMOVAL_ORDER.index(one.kind)):
            with contextlib.suppress(docker.errors.NotFound):
                if one.kind == "container":
                    api.remove_container(one.key, force=True, v=True)
                elif one.kind == "network":
                    api.remove_network(one.key)
                else:
                    api.remove_volume(one.key)


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
        if one["Id"] in known or one["Names"][0].lstrip("/").startswith(prefix):
            yield one


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
        raise OverlabError(f"the engine {host} that runs the nodes: {error}", "overlab doctor") from error
