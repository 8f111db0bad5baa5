"""The engine's packages, for nodes whose image has no engine."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path

from components.config.platform import Packages
from overlab.core.progress import Progress
from overlab.core.removal import remove
from overlab.core.tools import run
from overlab.platform import cache, rootfs

_FILE = "engine.tar"


def ensure(progress: Progress) -> Packages:
    """One tar with the ``.deb`` files of docker.io and all that it needs on top of the plain image.

    The set is what apt resolved against the plain image's own package list; installing it needs no network. The files
    are recompressed with gzip: a node without KVM unpacks that in a fifth of the time that Debian's xz takes.
    """
    source = rootfs.ensure(progress)

    def build(directory: Path) -> None:
        with progress.step("engine packages"), tempfile.TemporaryDirectory(dir=directory) as scratch:
            debs = [repack(deb, Path(scratch), progress) for deb in source.engine_debs]
            bundle(debs, directory / _FILE)

    parts = {"rootfs": rootfs.key_parts(), "code": cache.file_digest(Path(__file__))}
    file = cache.entry("engine-debs", parts, build, progress, space_mib=700) / _FILE
    return Packages(bundle=str(file), content_hash=cache.file_digest(file)[:16])


def repack(deb: Path, scratch: Path, progress: Progress | None = None) -> Path:
    """The same package with its content compressed by gzip, as a file of the same name in ``scratch``."""
    tree, target = scratch / deb.stem, scratch / deb.name
    log = cache.log_file("engine-debs")
    run(["dpkg-deb", "--raw-extract", deb, tree], log=log, progress=progress)
    # --root-owner-group: all files of these packages are root's
    build = "dpkg-deb --root-owner-group -Zgzip -z6 --build".split()
    run([*build, tree, target], log=log, progress=progress, env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
    remove(tree, scratch)
    return target


def bundle(debs: list[Path], target: Path) -> None:
    """An uncompressed tar with the files at its top level; equal files give an equal tar."""
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        for deb in sorted(debs, key=lambda path: path.name):
            member = tarfile.TarInfo(deb.name)
            member.size = deb.stat().st_size
            with deb.open("rb") as file:
                tar.addfile(member, file)
