"""Images: which software runs must not depend on the day it is pulled."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .rule import Parameters, Resource, ResourceRule, items
from .types import CONTAINER, IMAGE, SERVICE

_IMAGE_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")
_DIGEST = re.compile(r"[a-z0-9+._-]+:[0-9a-fA-F]{32,}")


def parts(reference: str) -> tuple[str, str, str]:
    """Repository, tag and digest of an image reference; the last two may be empty."""
    name, _, digest = reference.partition("@")
    path, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return path + slash + last, tag, digest


def of(resource: Resource) -> str | None:
    """The image that a container, a service or an image resource names."""
    if resource.type == SERVICE:
        spec = resource.props.get("taskSpec") or {}
        image = (spec.get("containerSpec") or {}).get("image")
    else:
        image = resource.props.get("name" if resource.type == IMAGE else "image")
    return str(image) if image else None


def unpinned(resource: Resource, parameters: Parameters) -> Iterator[str]:
    """Neither a digest, nor an image id, nor a tag that stays."""
    reference = of(resource)
    if reference is None or _IMAGE_ID.fullmatch(reference):
        return
    _, tag, digest = parts(reference)
    if digest:
        if not _DIGEST.fullmatch(digest):
            yield f"the image '{reference}' has a digest that is none"
    elif not tag:
        yield f"the image '{reference}' names no tag, which means latest"
    elif tag.lower() in parameters["floating_tags"]:
        yield f"the image '{reference}' has the tag '{tag}', which moves"


RULES = (
    ResourceRule(
        name="image-pinned",
        reason="An image without a fixed tag or a digest is another one tomorrow.",
        remedy="name a version (busybox:1.35) or a digest (busybox@sha256:...)",
        types=(CONTAINER, SERVICE, IMAGE),
        predicate=unpinned,
        parameters=items("floating_tags", ["latest"], "Tags, in lower case, that move."),
    ),
)
