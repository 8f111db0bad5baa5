"""Images by name: look up and pull."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from docker.errors import DockerException

from bundled_plugins.docker.client import Api
from bundled_plugins.docker.errors import BROKEN, error_context, not_found
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.resource import Operation


def find(api: Api, name: str) -> dict[str, Any] | None:
    """The inspected image, None when the daemon does not have it."""
    try:
        image: dict[str, Any] = api.call("GET", f"/images/{quote(name, safe='/:@')}/json").json()
    except DockerException as error:
        if not_found(error):
            return None
        raise
    return image


def pull(op: Operation, api: Api, name: str, platform: str | None = None) -> dict[str, Any]:
    """Pull, and the inspected image; raises ProviderError when it is still not there afterwards."""
    op.log("info", f"pulling {name}", True)
    reported = ""
    with error_context(f"unable to pull image {name}: error pulling image {name}"):
        try:
            for line in api.pull(name, stream=True, decode=True, auth_config={}, platform=platform or None):
                op.check_cancelled()
                reported = line.get("error", reported)
        except BROKEN:
            op.check_cancelled()
            raise
    image = find(api, name)
    if image is None:
        raise ProviderError(f"unable to find or pull image {name}" + (f": {reported}" if reported else ""))
    return image


def repo_digest(name: str, digests: list[str]) -> str:
    """The digest to report: the only one, else the first of the same repository, else the first."""
    if len(digests) <= 1:
        return digests[0] if digests else ""
    repository = name.split(":", 1)[0]
    return next((digest for digest in digests if digest.startswith(repository)), digests[0])
