"""``docker:index/remoteImage:RemoteImage``."""

from __future__ import annotations

from typing import Annotated, Any

from docker.errors import DockerException

from bundled_plugins.docker import images
from bundled_plugins.docker.base import DockerResource
from bundled_plugins.docker.client import Api
from bundled_plugins.docker.errors import error_context, not_found
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.resource import Difference, Operation
from bundled_plugins.runtime.values import Properties


class RemoteImageInputs(Model):
    """Inputs of a RemoteImage."""

    unsupported = ("build",)

    name: Annotated[str, Prop(replace=True)]
    platform: Annotated[str | None, Prop(replace=True, write_only=True)] = None
    pull_triggers: Annotated[list[str] | None, Prop(replace=True, unordered=True, write_only=True)] = None
    triggers: Annotated[dict[str, str] | None, Prop(replace=True, write_only=True)] = None
    keep_locally: Annotated[bool | None, Prop(write_only=True)] = None
    force_remove: Annotated[bool | None, Prop(write_only=True)] = None


class RemoteImage(DockerResource):
    """An image that the daemon has; pulled only when it does not have it yet. The id is image id + name."""

    token = "docker:index/remoteImage:RemoteImage"
    model = RemoteImageInputs
    outputs = ("imageId", "repoDigest")

    def diff(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Difference:
        difference = super().diff(op, id, olds, old_inputs, news)
        difference.delete_before_replace = False
        return difference

    def create_object(self, op: Operation, api: Api, inputs: Properties) -> str:
        name = inputs["name"]
        with error_context("Unable to read Docker image into resource"):
            image = images.find(api, name) or images.pull(op, api, name, inputs.get("platform"))
        return _id(image, name)

    def read_object(self, op: Operation, api: Api, id: str, known: Properties) -> tuple[str, Properties] | None:
        name = known.get("name") or id.removeprefix("sha256:")[64:]
        image = images.find(api, name)
        return None if image is None else (_id(image, name), {"name": name} | _facts(image, name))

    def update_object(self, op: Operation, api: Api, id: str, olds: Properties, news: Properties) -> Properties:
        """Only keepLocally and forceRemove change in place; an image that is missing is pulled."""
        name = news["name"]
        with error_context("Unable to read Docker image into resource"):
            return _facts(images.find(api, name) or images.pull(op, api, name, news.get("platform")), name)

    def delete_object(self, op: Operation, api: Api, id: str, known: Properties) -> None:
        """Remove by name, parents are kept; nothing happens with keepLocally."""
        if known.get("keepLocally"):
            return
        with error_context("Unable to remove Docker image"):
            try:
                api.remove_image(known["name"], force=bool(known.get("forceRemove")), noprune=True)
            except DockerException as error:
                if not not_found(error):
                    raise


def _id(image: dict[str, Any], name: str) -> str:
    return f"{image['Id']}{name}"


def _facts(image: dict[str, Any], name: str) -> Properties:
    return {"imageId": image["Id"], "repoDigest": images.repo_digest(name, image.get("RepoDigests") or [])}
