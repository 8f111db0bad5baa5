"""Debian root file system of the machines, and the packages that an engine needs on top of it.

One run of mmdebstrap builds both from the same package lists::

    rootfs.tar     the plain system: kernel, cloud-init, sshd; no engine
    engine/*.deb   docker.io and all that it needs beyond the plain system, as apt resolved it
    versions.txt   package, version: the plain system's and the engine's

The entry is keyed by packages, options and ``REVISION``, not by the archive's current state, so that an existing entry
stays usable without a network. Increment ``REVISION`` to pick up newer packages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from overlab.core.progress import Progress
from overlab.core.removal import remove
from overlab.platform import cache, debian, mmdebstrap

REVISION = 1
SUITE = "bullseye"
"""The last Debian whose docker.io (20.10.5) has the consul backend."""

PACKAGE_LIST = Path(__file__).with_name("rootfs-packages.txt")
_DPKG_CONFIG = Path(__file__).with_name("rootfs-dpkg.cfg")

# Packages that the plain system has are not downloaded again, so what lands in the archive directory is the difference.
_DOWNLOAD_ENGINE = (
    'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get clean && '
    'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -y --download-only install {packages} && '
    'cp "$1"/var/cache/apt/archives/*.deb {target}/'
)
_LIST_VERSIONS = "chroot \"$1\" dpkg-query -W -f '${{Package}} ${{Version}}\\n' > {target}"


@dataclass(frozen=True)
class Rootfs:
    """What :func:`ensure` built."""

    directory: Path

    @property
    def tar(self) -> Path:
        return self.directory / "rootfs.tar"

    @property
    def engine_debs(self) -> list[Path]:
        return sorted((self.directory / "engine").glob("*.deb"))


def key_parts() -> dict[str, object]:
    """Everything that decides the content, for this entry's key and those of entries built from it."""
    return {
        "revision": REVISION,
        "suite": SUITE,
        "packages": _packages("plain"),
        "engine": _packages("engine"),
        "dpkg": cache.file_digest(_DPKG_CONFIG),
    }


def ensure(progress: Progress) -> Rootfs:
    """The root file system and the engine's packages, from the cache or built now (a minute; needs a mirror)."""

    def build(directory: Path) -> None:
        with progress.step("root file system from Debian packages"):
            _bootstrap(directory, progress)

    return Rootfs(cache.entry("rootfs", key_parts(), build, progress, space_mib=3000))


def _packages(use: str) -> list[str]:
    return [package.name for package in debian.needed([use], PACKAGE_LIST)]


def _bootstrap(directory: Path, progress: Progress) -> None:
    engine = directory / "engine"
    engine.mkdir()
    hooks = [
        _DOWNLOAD_ENGINE.format(packages=" ".join(_packages("engine")), target=engine),
        _LIST_VERSIONS.format(target=directory / "versions.txt"),
    ]
    options = ["--variant=minbase", "--skip=output/dev", f"--dpkgopt={_DPKG_CONFIG}"]
    # inside the entry under construction: the remains of a killed build are removed by the next one
    scratch = directory / ".scratch"
    scratch.mkdir()
    try:
        mmdebstrap.bootstrap(
            SUITE,
            directory / "rootfs.tar",
            _packages("plain"),
            [*options, *(f"--customize-hook={hook}" for hook in hooks)],
            scratch=scratch,
            log=cache.log_file("rootfs"),
            progress=progress,
            limit_s=1800,
        )
    finally:
        remove(scratch, scratch.parent)
