"""``docker:index/volume:Volume``."""

from __future__ import annotations

from typing import Annotated, Any

from docker.errors import DockerException

from bundled_plugins.docker.base import DockerResource, retried
from bundled_plugins.docker.client import Api
from bundled_plugins.docker.errors import error_context, not_found
from bundled_plugins.docker.labels import Label, as_list, as_mapping
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.model_resource import NAME_LIMIT
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties


class VolumeInputs(Model):
    """Inputs of a Volume."""

    unsupported = ("cluster",)

    name: Annotated[str | None, Prop(replace=True, autoname=NAME_LIMIT)] = None
    driver: Annotated[str | None, Prop(replace=True, computed=True)] = None
    driver_opts: Annotated[dict[str, str] | None, Prop(replace=True)] = None
    labels: Annotated[list[Label] | None, Prop(replace=True, unordered=True)] = None


class Volume(DockerResource):
    """A volume; its id is its name. Docker silently adopts an existing one of that name and driver."""

    token = "docker:index/volume:Volume"
    model = VolumeInputs
    outputs = ("mountpoint",)

    def create_object(self, op: Operation, api: Api, inputs: Properties) -> str:
        spec = VolumeInputs.parse(inputs)
        with error_context("Unable to create volume"):
            volume = api.create_volume(
                spec.name, driver=spec.driver, driver_opts=spec.driver_opts, labels=as_mapping(spec.labels)
            )
        return str(volume["Name"])

    def read_object(self, op: Operation, api: Api, id: str, known: Properties) -> tuple[str, Properties] | None:
        with error_context("Unable to inspect volume"):
            try:
                return id, _facts(api.inspect_volume(id))
            except DockerException as error:
                if not_found(error):
                    return None
                raise

    def delete_object(self, op: Operation, api: Api, id: str, known: Properties) -> None:
        """Waits up to 30 s for the last container that uses it."""

        def attempt() -> None:
            try:
                api.remove_volume(id, force=True)
            except DockerException as error:
                if not not_found(error):
                    raise

        retried(op, attempt, "volume is in use", "in_use")


def _facts(volume: dict[str, Any]) -> Properties:
    return {
        "name": volume["Name"],
        "driver": volume["Driver"],
        "driverOpts": volume.get("Options") or {},
        "labels": as_list(volume.get("Labels")),
        "mountpoint": volume["Mountpoint"],
    }
