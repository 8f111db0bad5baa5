"""Images by name: look up and pull."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from docker.errors import DockerException

from bundled_plugins.docker.client import Api
from bundled_plugins.docker.errors import BROKEN, Failed, missing, told
from bundled_plugins.runtime.resource import Operation


def find(api: Api, name: str) -> dict[str, Any] | None:
    """The inspected image, None when the daemon does not have it."""
    try:
        image: dict[str, Any] = api.call("GET", f"/images/{quote(name, safe='/:@')}/json").json()
    except DockerException as error:
        if missing(error):
            return None
        raise
    return image


def pull(op: Operation, api: Api, name: str, platform: str | None = None) -> dict[str, Any]:
    """Pull, and the inspected image; raises Failed when it is still not there afterwards."""
    op.log("info", f"pulling {name}", True)
    reported = ""
    with told(f"unable to pull image {name}: error pulling image {name}"):
        try:
            for line in _progress(api, name, platform):
                op.check_cancelled()
                reported = line.get("error", reported)
        except BROKEN:
            op.check_cancelled()
            raise
    image = find(api, name)
    if image is None:
        raise Failed(f"unable to find or pull image {name}" + (f": {reported}" if reported else ""))
    return image


def _progress(api: Api, name: str, platform: str | None) -> Iterator[dict[str, Any]]:
    credentials = api.registries.for_image(name)
    lines: Iterator[dict[str, Any]] = api.pull(
        name, stream=True, decode=True, auth_config=credentials, platform=platform or None
    )
    return lines


def repo_digest(name: str, digests: list[str]) -> str:
    """The digest to tell: the only one, else the first of the same repository, else the first."""
    if len(digests) <= 1:
        return digests[0] if digests else ""
    repository = name.split(":", 1)[0]
    return next((digest for digest in digests if digest.startswith(repository)), digests[0])
