"""The engine's packages, to be carried to nodes whose image has no engine."""

from __future__ import annotations

import tarfile
from pathlib import Path

from components.ground import Packages
from overlab.ground import cache, rootfs
from overlab.ground.progress import Progress

_FILE = "engine.tar"


def ensure(progress: Progress) -> Packages:
    """One tar with the ``.deb`` files of docker.io and all that it needs on top of the plain image.

    The set is what apt resolved against the plain image's own package list; installing it needs no network.
    """
    source = rootfs.ensure(progress)

    def build(directory: Path) -> None:
        bundle(source.engine_debs, directory / _FILE)

    file = cache.entry("engine-debs", {"rootfs": rootfs.key_parts(), "format": 1}, build, progress, space_mib=200) / _FILE
    return Packages(bundle=str(file), content=cache.file_digest(file)[:16], engine=source.engine_version)


def bundle(debs: list[Path], target: Path) -> None:
    """An uncompressed tar with the files at its top level; equal files give an equal tar."""
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        for deb in sorted(debs, key=lambda path: path.name):
            member = tarfile.TarInfo(deb.name)
            member.size = deb.stat().st_size
            with deb.open("rb") as file:
                tar.addfile(member, file)
