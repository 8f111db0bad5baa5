"""``docker:index/container:Container``."""

from __future__ import annotations

import time
from typing import Any

from docker.errors import DockerException

from bundled_plugins.docker import images
from bundled_plugins.docker.base import DockerResource, Unfinished
from bundled_plugins.docker.client import DEFAULT_LIMIT_S, Api
from bundled_plugins.docker.container_inputs import OUTPUTS, ContainerInputs, NetworkAttachment
from bundled_plugins.docker.container_read import observed
from bundled_plugins.docker.container_spec import create_body, limits, uploads_tar
from bundled_plugins.docker.errors import BROKEN, Failed, missing, says, told
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import shapes
from bundled_plugins.runtime.resource import Difference, Operation
from bundled_plugins.runtime.values import Properties

_UPDATABLE = ("restart", "maxRetryCount", "cpuShares", "memory", "memoryReservation", "cpuSet", "memorySwap")


class Container(DockerResource):
    """A container, made with its networks and files and then started."""

    token = "docker:index/container:Container"
    model = ContainerInputs
    outputs = OUTPUTS

    def diff(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Difference:
        difference = super().diff(op, id, olds, old_inputs, news)
        difference.delete_before_replace = bool(difference.replaces)
        return difference

    def make(self, op: Operation, api: Api, inputs: Properties) -> tuple[str, Properties]:
        """Create, join networks, upload, start, wait: in this order; the image is pulled when it is missing."""
        spec = ContainerInputs.parse(inputs)
        body, archive = create_body(spec), uploads_tar(spec.uploads) if spec.uploads else None
        id_ = _create(op, api, spec, body)
        try:
            _join(api, id_, spec.networks_advanced or [])
            if archive is not None:
                _upload(api, id_, archive)
            if spec.start is not False:
                with told("Unable to start container"):
                    api.start(id_)
                if spec.wait:
                    _wait_healthy(op, api, id_, spec.wait_timeout or 60)
            logs = _attached(op, api, id_, spec) if spec.attach else {}
            live = self.observe(op, api, id_, inputs)
        except (*BROKEN, ProviderError) as error:
            raise Unfinished(id_, error) from error
        if live is None:
            raise ProviderError(f"expected non-nil error with nil state during Create of {op.urn}")
        return id_, live[1] | logs

    def observe(self, op: Operation, api: Api, id: str, known: Properties) -> tuple[str, Properties] | None:
        inspect = _inspect(api, id)
        return None if inspect is None else (inspect["Id"], observed(inspect, known))

    def change(self, op: Operation, api: Api, id: str, olds: Properties, news: Properties) -> Properties:
        """Start a stopped container that must run, and change limits; everything else is for the state only."""
        if news.get("mustRun") and not olds.get("mustRun") and news.get("start") is not False:
            with told("Unable to start container"):
                api.start(id)
        if any((olds.get(key) or None) != (news.get(key) or None) for key in _UPDATABLE):
            # The state may come from the official plugin and hold more than this one knows.
            spec = ContainerInputs.parse({key: news[key] for key in shapes(ContainerInputs) if key in news})
            with told("Unable to update a container"):
                api.call("POST", f"/containers/{id}/update", json=limits(spec))
        return news

    def remove(self, op: Operation, api: Api, id: str, known: Properties) -> None:
        """Stop with the grace period in the state (none = at once), then remove; already gone = success."""
        if not known.get("attach"):
            try:
                api.stop(id, timeout=known.get("destroyGraceSeconds") or 0)
            except DockerException as error:
                if not says(error, "No such container"):
                    raise Failed(f"Error stopping container {id}: {error}") from error
        try:
            api.remove_container(id, force=True, v=bool(known.get("removeVolumes")))
        except DockerException as error:
            if says(error, "is already in progress"):
                _wait_gone(op, api, id)
            elif not says(error, "No such container"):
                raise Failed(f"Error deleting container {id}: {error}") from error


def _create(op: Operation, api: Api, spec: ContainerInputs, body: dict[str, Any]) -> str:
    """The new container's id. The daemon itself tells whether the image is there: no question beforehand."""
    try:
        return _post(api, spec, body)
    except DockerException as error:
        if not (missing(error) and says(error, "No such image")):
            with told("Unable to create container"):
                raise
    with told(f"Unable to create container with image {spec.image}"):
        images.pull(op, api, spec.image)
    with told("Unable to create container"):
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
        if not says(error, "is not connected to the network bridge"):
            with told("Unable to disconnect the default network"):
                raise
    for network in networks:
        with told(f"Unable to connect to network '{network.name}'"):
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
    with told("Unable to upload volume content"):
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
        with told("error inspecting container state"):
            health = api.inspect_container(id)["State"].get("Health")
        if not health:
            raise Failed(
                "you have supplied a 'wait' argument, but the container does not have a healthcheck defined. "
                "Please remove the 'wait' argument or add a 'healthcheck' attribute"
            )
        status = health["Status"]
        if status == "healthy":
            return
        op.log("info", f"waiting for health: {status}, {time.monotonic() - started:.0f} of {limit_s} s", True)
        op.pause(1)
    raise Failed(f"container failed to be in healthy state (last seen: {status}, after {limit_s} s)")


def _attached(op: Operation, api: Api, id: str, spec: ContainerInputs) -> Properties:
    """Wait for the container's end; its output when asked for."""
    started = time.monotonic()
    while (inspect := _inspect(api, id)) is not None and inspect["State"]["Running"]:
        op.log("info", f"attached, {time.monotonic() - started:.0f} s", True)
        op.pause(min(1.0, op.remaining(DEFAULT_LIMIT_S)))
        if op.remaining(DEFAULT_LIMIT_S) == 0:
            limit = op.timeout_s or DEFAULT_LIMIT_S
            raise Failed(f"Unable to wait container end of execution: it still runs after {limit:g} s")
    if spec.rm:
        _wait_gone(op, api, id)
        return {}
    if not spec.logs or inspect is None:
        return {}
    with told("unable to read container logs"):
        return {"containerLogs": api.logs(id, stdout=True, stderr=True).decode(errors="replace")}


def _wait_gone(op: Operation, api: Api, id: str, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while _inspect(api, id) is not None:
        if time.monotonic() >= deadline:
            raise Failed(f"Error waiting for container removal '{id}': still there after {limit_s:g} s")
        op.pause(0.5)


def _inspect(api: Api, id: str) -> dict[str, Any] | None:
    try:
        result: dict[str, Any] = api.inspect_container(id)
    except DockerException as error:
        if missing(error):
            return None
        raise
    return result
