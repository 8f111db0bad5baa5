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
from overlab.platform import cache, mirror

REVISION = 1
SUITE = "bullseye"
"""The last Debian whose docker.io (20.10.5) has the consul backend."""

PACKAGES = (
    "systemd-sysv",
    # the power button
    "acpid",
    "udev",
    "dbus",
    "kmod",
    "procps",
    # not the cloud kernel: it has no IDE, so the cloud-init CD-ROM stays invisible
    "linux-image-amd64",
    # /init of the small initramfs
    "busybox-static",
    "cloud-init",
    "ifupdown",
    "iproute2",
    # full-size packets that must not be cut up: a busybox cannot send them
    "iputils-ping",
    # for a machine that is given no network-config
    "isc-dhcp-client",
    # a machine knows its own name without a line in /etc/hosts
    "libnss-myhostname",
    "iptables",
    "openssh-server",
    "ca-certificates",
    "curl",
)
ENGINE_PACKAGES = ("docker.io",)

IN_NAMESPACES_OF_ITS_OWN = (
    "setpriv",
    "--pdeathsig=KILL",
    "unshare",
    "--mount",
    "--propagation=private",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)
"""Prefix of a build's command: its mounts and processes are removed with it, and it is killed with this process."""

_MODULES = "/lib/modules/*/kernel"
DPKG_FILTERS = (
    *(
        f"path-exclude={path}"
        for path in (
            "/usr/share/man/*",
            "/usr/share/info/*",
            "/usr/share/locale/*",
            "/usr/share/doc/*",
            "/usr/share/i18n/*",
            "/usr/share/lintian/*",
            "/usr/share/bug/*",
            # hardware that no virtual machine has: udev would probe it at each boot
            *(
                f"{_MODULES}/{subtree}/*"
                for subtree in (
                    "sound",
                    "net/bluetooth",
                    "net/mac80211",
                    "net/wireless",
                    "net/can",
                    "drivers/net/ethernet",
                    "drivers/net/wireless",
                    "drivers/net/can",
                    "drivers/net/usb",
                    "drivers/net/phy",
                    *(
                        f"drivers/{name}"
                        for name in (
                            "bluetooth comedi edac extcon gpu hid hwmon i2c iio infiniband input isdn leds media mfd"
                            " misc mmc mtd mux ntb nvdimm pcmcia parport platform power pwm rtc soundwire spi ssb"
                            " staging target thermal thunderbolt usb uwb video w1 watchdog"
                        ).split()
                    ),
                )
            ),
        )
    ),
    "path-include=/usr/share/doc/*/copyright",
    f"path-include={_MODULES}/drivers/net/ethernet/intel/e1000/*",
)

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
        "packages": PACKAGES,
        "engine": ENGINE_PACKAGES,
        "filters": DPKG_FILTERS,
    }


def ensure(progress: Progress) -> Rootfs:
    """The root file system and the engine's packages, from the cache or built now (a minute; needs a mirror)."""

    def build(directory: Path) -> None:
        with progress.step("root file system from Debian packages"):
            _bootstrap(directory, progress)

    return Rootfs(cache.entry("rootfs", key_parts(), build, progress, space_mib=3000))


def _bootstrap(directory: Path, progress: Progress) -> None:
    engine = directory / "engine"
    engine.mkdir()
    apt_options = ['APT::Install-Recommends "false"', "Acquire::Languages none", 'APT::Sandbox::User "root"']
    hooks = [
        _DOWNLOAD_ENGINE.format(packages=" ".join(ENGINE_PACKAGES), target=engine),
        _LIST_VERSIONS.format(target=directory / "versions.txt"),
    ]
    # inside the entry under construction: the remains of a killed build are removed by the next one
    scratch = directory / ".scratch"
    scratch.mkdir()
    try:
        run(
            [
                *IN_NAMESPACES_OF_ITS_OWN,
                "mmdebstrap",
                "--mode=root",
                "--variant=minbase",
                "--skip=output/dev",
                f"--keyring={mirror.archive_keyring()}",
                f"--include={','.join(PACKAGES)}",
                *(f"--aptopt={option}" for option in [*apt_options, *mirror.transport_options()]),
                *(f"--dpkgopt={line}" for line in DPKG_FILTERS),
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
