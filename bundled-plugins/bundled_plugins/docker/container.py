"""``docker:index/container:Container``."""

from __future__ import annotations

import time
from typing import Any

from docker.errors import DockerException

from bundled_plugins.docker import images
from bundled_plugins.docker.base import DockerResource
from bundled_plugins.docker.client import Api
from bundled_plugins.docker.container_inputs import OUTPUTS, ContainerInputs, NetworkAttachment, publishes_twice
from bundled_plugins.docker.container_read import observed
from bundled_plugins.docker.container_spec import create_body, limits, uploads_tar
from bundled_plugins.docker.errors import error_context, mentions, not_found, wrap_docker_errors
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import shapes
from bundled_plugins.runtime.model_resource import PartiallyCreated
from bundled_plugins.runtime.resource import Difference, Kind, Operation
from bundled_plugins.runtime.values import Properties, unwrap

_COMPUTED_LISTS = {name for name, shape in shapes(ContainerInputs).items() if shape.many and shape.prop.computed}
_FILLED_BY_DAEMON = (*(name for name, shape in shapes(ContainerInputs).items() if shape.prop.computed), *OUTPUTS)
_UPDATABLE = ("restart", "maxRetryCount", "cpuShares", "memory", "memoryReservation", "cpuSet", "memorySwap")


class Container(DockerResource):
    """A container: created, attached to its networks, given its files, and started."""

    token = "docker:index/container:Container"
    model = ContainerInputs
    outputs = OUTPUTS

    def diff(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Difference:
        """The model's answer, and two more reasons to replace, which the official provider has too: the creation did
        not finish, so that lists which the daemon fills are absent from the state; a container port has two node ports.
        """
        difference = super().diff(op, id, olds, old_inputs, news)
        if not any(name in olds for name in _FILLED_BY_DAEMON if name not in old_inputs):
            difference.paths |= dict.fromkeys(_COMPUTED_LISTS - {*olds, *news}, Kind.ADD_REPLACE)
        if publishes_twice(unwrap(news.get("ports"))):
            difference.paths["ports"] = Kind.UPDATE_REPLACE
        difference.delete_before_replace = bool(difference.replaces)
        return difference

    def create_object(self, op: Operation, api: Api, inputs: Properties) -> str:
        """Create, join networks, upload, start, wait: in this order; the image is pulled when it is missing."""
        spec = ContainerInputs.parse(inputs)
        body, archive = create_body(spec), uploads_tar(spec.uploads) if spec.uploads else None
        id_ = _create(op, api, spec, body)
        try:
            with wrap_docker_errors():
                _join(api, id_, spec.networks_advanced or [])
                if archive is not None:
                    _upload(api, id_, archive)
                if spec.start is not False:
                    with error_context("Unable to start container"):
                        api.start(id_)
                    if spec.wait:
                        _wait_healthy(op, api, id_, spec.wait_timeout or 60)
        except ProviderError as error:
            raise PartiallyCreated(id_, error) from error
        return id_

    def read_object(self, op: Operation, api: Api, id: str, known: Properties) -> tuple[str, Properties] | None:
        inspect = _inspect(api, id)
        return None if inspect is None else (inspect["Id"], observed(inspect, known))

    def update_object(self, op: Operation, api: Api, id: str, olds: Properties, news: Properties) -> Properties:
        """Start a stopped container that must run, and change limits; everything else is for the state only."""
        if news.get("mustRun") and not olds.get("mustRun") and news.get("start") is not False:
            with error_context("Unable to start container"):
                api.start(id)
        if any((olds.get(key) or None) != (news.get(key) or None) for key in _UPDATABLE):
            spec = ContainerInputs.parse({"image": "", **{key: news[key] for key in _UPDATABLE if news.get(key)}})
            with error_context("Unable to update a container"):
                api.call("POST", f"/containers/{id}/update", json=limits(spec))
        return {}

    def delete_object(self, op: Operation, api: Api, id: str, known: Properties) -> None:
        """Stop with the grace period in the state (none = at once), then remove; already gone = success."""
        try:
            api.stop(id, timeout=known.get("destroyGraceSeconds") or 0)
        except DockerException as error:
            if not mentions(error, "No such container"):
                raise ProviderError(f"Error stopping container {id}: {error}") from error
        try:
            api.remove_container(id, force=True, v=bool(known.get("removeVolumes")))
        except DockerException as error:
            if mentions(error, "is already in progress"):
                _wait_gone(op, api, id)
            elif not mentions(error, "No such container"):
                raise ProviderError(f"Error deleting container {id}: {error}") from error


def _create(op: Operation, api: Api, spec: ContainerInputs, body: dict[str, Any]) -> str:
    """The new container's id. The daemon reports a missing image itself; it is not asked for beforehand."""
    try:
        return _post(api, spec, body)
    except DockerException as error:
        if not (not_found(error) and mentions(error, "No such image")):
            with error_context("Unable to create container"):
                raise
    with error_context(f"Unable to create container with image {spec.image}"):
        images.pull(op, api, spec.image)
    with error_context("Unable to create container"):
        return _post(api, spec, body)


def _post(api: Api, spec: ContainerInputs, body: dict[str, Any]) -> str:
    params = {"name": spec.name, "platform": spec.platform}
    return str(api.call("POST", "/containers/create", params=params, json=body).json()["Id"])


def _join(api: Api, id: str, networks: list[NetworkAttachment]) -> None:
    if not networks:
        return
    try:
        api.disconnect_container_from_network(id, "bridge")
    except DockerException as error:
        if not mentions(error, "is not connected to the network bridge"):
            with error_context("Unable to disconnect the default network"):
                raise
    for network in networks:
        with error_context(f"Unable to connect to network '{network.name}'"):
            api.connect_container_to_network(
                id,
                network.name,
                aliases=network.aliases,
                ipv4_address=network.ipv4_address,
                ipv6_address=network.ipv6_address,
                link_local_ips=network.link_local_ips,
                mac_address=network.mac_address,
                driver_opt=dict(option.split("=", 1) for option in network.driver_opts or []) or None,
            )


def _upload(api: Api, id: str, archive: bytes) -> None:
    with error_context("Unable to upload volume content"):
        api.call(
            "PUT",
            f"/containers/{id}/archive",
            params={"path": "/", "noOverwriteDirNonDir": "true"},
            data=archive,
            headers={"Content-Type": "application/x-tar"},
        )


def _wait_healthy(op: Operation, api: Api, id: str, limit_s: int) -> None:
    started, status = time.monotonic(), "unknown"
    while time.monotonic() - started < limit_s:
        with error_context("error inspecting container state"):
            health = api.inspect_container(id)["State"].get("Health")
        if not health:
            raise ProviderError(
                "you have supplied a 'wait' argument, but the container does not have a healthcheck defined. "
                "Please remove the 'wait' argument or add a 'healthcheck' attribute"
            )
        status = health["Status"]
        if status == "healthy":
            return
        op.log("info", f"waiting for health: {status}, {time.monotonic() - started:.0f} of {limit_s} s", True)
        op.pause(1)
    raise ProviderError(f"container failed to be in healthy state (last seen: {status}, after {limit_s} s)")


def _wait_gone(op: Operation, api: Api, id: str, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while _inspect(api, id) is not None:
        if time.monotonic() >= deadline:
            raise ProviderError(f"Error waiting for container removal '{id}': still there after {limit_s:g} s")
        op.pause(0.5)


def _inspect(api: Api, id: str) -> dict[str, Any] | None:
    try:
        result: dict[str, Any] = api.inspect_container(id)
    except DockerException as error:
        if not_found(error):
            return None
        raise
    return result
