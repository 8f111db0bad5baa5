"""Image references: the parts of one, in whichever spelling. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

HUB: Final = "docker.io"
_HUB_ALIASES: Final = ("docker.io", "index.docker.io", "registry-1.docker.io")
_OFFICIAL: Final = "library/"
TOOLBOX: Final = "busybox"
"""The repository whose containers idle where no command is stated, and have the tools for checks."""


@dataclass(frozen=True)
class Image:
    """``docker.io/library/busybox:1.35`` and ``busybox:1.35`` are equal."""

    registry: str
    repository: str
    """Without ``library/`` on Docker Hub."""
    tag: str
    """Empty where only a digest is stated, else ``latest`` by default."""
    digest: str

    @property
    def is_toolbox(self) -> bool:
        """Whether it is a busybox, of whichever registry."""
        return self.repository.rsplit("/", 1)[-1] == TOOLBOX


def parse(reference: str) -> Image:
    """The image that a reference names, as Docker reads it."""
    name, _, digest = reference.partition("@")
    registry, slash, rest = name.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, rest = HUB, name
    path, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    repository = f"{path}{slash}{last}"
    if registry in _HUB_ALIASES:
        registry, repository = HUB, repository.removeprefix(_OFFICIAL)
    return Image(registry, repository, tag or ("" if digest else "latest"), digest)


def pinned(reference: str, digests: Mapping[str, str]) -> str:
    """The reference with the digest of its image in place of the tag; as it is where that has none, or states one.

    ``digests`` is by ``repository:tag``.
    """
    image = parse(reference)
    found = next((digest for known, digest in digests.items() if parse(known) == image), None)
    return f"{reference.removesuffix(f':{image.tag}')}@{found}" if found else reference
