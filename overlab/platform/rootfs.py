"""Debian root file system of the machines, and the packages that an engine needs on top of it.

One run of mmdebstrap builds both from the same package lists::

    rootfs.tar     the plain system: kernel, cloud-init, sshd; no engine
    engine/*.deb   docker.io and all that it needs beyond the plain system, as apt resolved it
    versions.txt   package, version: the plain system's and the engine's

The entry is keyed by packages, options and ``REVISION``, not by the archive's current state, so that an existing entry
stays usable without a network. Increment ``REVISION`` to pick up newer packages.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from overlab.core.progress import Progress
from overlab.core.tools import run
from overlab.platform import cache, debian, mirror

REVISION = 1
SUITE = "bullseye"
"""The last Debian whose docker.io (20.10.5) has the consul backend."""

_PACKAGE_LIST = Path(__file__).with_name("rootfs-packages.txt")
_DPKG_CONFIG = Path(__file__).with_name("rootfs-dpkg.cfg")

IN_PRIVATE_NAMESPACES = tuple(
    "setpriv --pdeathsig=KILL unshare --mount --propagation=private --pid --fork --kill-child --mount-proc".split()
)
"""Prefix of a build's command: its mounts and processes are removed with it, and it is killed with this process."""

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
    return [package.name for package in debian.needed([use], _PACKAGE_LIST)]


def _bootstrap(directory: Path, progress: Progress) -> None:
    engine = directory / "engine"
    engine.mkdir()
    apt_options = ['APT::Install-Recommends "false"', "Acquire::Languages none", 'APT::Sandbox::User "root"']
    hooks = [
        _DOWNLOAD_ENGINE.format(packages=" ".join(_packages("engine")), target=engine),
        _LIST_VERSIONS.format(target=directory / "versions.txt"),
    ]
    # inside the entry under construction: the remains of a killed build are removed by the next one
    scratch = directory / ".scratch"
    scratch.mkdir()
    try:
        run(
            [
                *IN_PRIVATE_NAMESPACES,
                "mmdebstrap",
                "--mode=root",
                "--variant=minbase",
                "--skip=output/dev",
                f"--keyring={mirror.archive_keyring()}",
                f"--include={','.join(_packages('plain'))}",
                *(f"--aptopt={option}" for option in [*apt_options, *mirror.transport_options()]),
                f"--dpkgopt={_DPKG_CONFIG}",
                *(f"--customize-hook={hook}" for hook in hooks),
                SUITE,
                directory / "rootfs.tar",
                *mirror.detect().sources(SUITE),
            ],
            log=cache.log_file("rootfs"),
            progress=progress,
            # the initramfs is built later, once for the image
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(scratch), "LC_ALL": "C", "INITRD": "No"},
            limit_s=1800,
        )
    finally:
        shutil.rmtree(scratch)
