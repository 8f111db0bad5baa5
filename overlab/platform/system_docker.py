"""The machine's own Docker as the engine that runs nodes as containers: nothing of it is changed but the lab's objects
and the nodes' image."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from components.config import conventions
from components.config.platform import NodeEngine
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.platform import container_host, docker_info, node_image
from overlab.platform.container_host import ContainerHost

if TYPE_CHECKING:
    from docker import DockerClient

_LIMIT_S = 300


def ensure(host: str, progress: Progress) -> NodeEngine:
    """The engine at ``host`` with the nodes' image, and how nodes run there.

    Raises :class:`OverlabError` where it does not answer, or lacks what nodes need.
    """
    info = docker_info.usable(host)
    with client(host) as docker:
        image = (node_image.imported if node_image.can_be_made() else node_image.built)(docker, progress)
        found = _host(docker, image, info)
        if missing := list(_missing(docker, image, found)):
            raise OverlabError(
                f"the machine of the Docker at {host} cannot run nodes: it lacks {', '.join(missing)}",
                "load the kernel's modules there, or run this on a machine that has them",
            )
    driver = "systemd" if info.get("CgroupDriver") == "systemd" else "cgroupfs"
    return NodeEngine(docker_host=host, image=image, cgroup_driver=driver, **asdict(found))


def has_image(engine: NodeEngine) -> bool:
    """Whether the engine answers and has the nodes' image."""
    try:
        with client(engine.docker_host) as docker:
            return bool(docker.api.images(engine.image, quiet=True))
    except OverlabError:
        return False


@contextlib.contextmanager
def client(host: str) -> Iterator[DockerClient]:
    """Docker's own client of it. Raises :class:`OverlabError` with what the engine, or its transport, says."""
    import docker
    import requests

    try:
        with contextlib.closing(docker.DockerClient(base_url=host, timeout=_LIMIT_S)) as found:
            yield found
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise OverlabError(f"the Docker at {host}: {error}", "see its journal, then run this again") from error


def _host(docker: DockerClient, image: str, info: dict[str, Any]) -> ContainerHost:
    """Privileged where that works: a machine in a container may not have every capability itself."""
    namespace: Literal["private", "host"] = "private" if str(info.get("CgroupVersion")) == "2" else "host"
    every = ContainerHost(privileged=True, capabilities=(), cgroup_namespace=namespace)
    if _runs(docker, image, every, "true"):
        return every
    return ContainerHost(False, container_host.detect().capabilities, namespace)


def _missing(docker: DockerClient, image: str, host: ContainerHost) -> Iterator[str]:
    for name, probe in container_host.PROBES.items():
        if not _runs(docker, image, host, probe):
            yield f"the kernel's {name}"


def _runs(docker: DockerClient, image: str, host: ContainerHost, script: str) -> bool:
    """Whether it ends well in a container such as nodes are, without a network; nothing of it persists."""
    from docker.errors import APIError

    rights: dict[str, Any] = {"privileged": True} if host.privileged else {"cap_add": list(host.capabilities)}
    options = list(conventions.NODE_SECURITY_OPTIONS)
    container = docker.containers.create(
        image, ["-c", script], entrypoint="sh", network_mode="none", security_opt=options, **rights
    )
    try:
        container.start()
        return bool(container.wait(timeout=_LIMIT_S)["StatusCode"] == 0)
    except APIError as error:
        if "operation not permitted" not in str(error):
            raise
        return False
    finally:
        container.remove(force=True)
