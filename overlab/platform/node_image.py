"""The root file system of nodes as containers: the machines' own, without kernel, boot and first-boot data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from overlab.core.progress import Progress
from overlab.core.tools import run
from overlab.platform import cache, rootfs, vm_image
from overlab.platform.private_dockerd import PrivateDockerd

REPOSITORY = "overlab/node"
CHANGES = ("ENV container=docker", 'ENTRYPOINT ["/sbin/init"]')
"""What ``docker import`` adds to the bare tree: systemd knows by ``container`` that it boots no machine."""

FILES = Path(__file__).parent / "node" / "files"
"""Copied into the image as they are."""

_LEFT_OUT = ("./boot/*", "./usr/lib/modules/*", "./lib/modules/*", "./vmlinuz*", "./initrd.img*")
_MASKED = """
acpid.service cloud-final.service lab-cloud-init.service networking.service
systemd-logind.service systemd-modules-load.service
systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service
""".split()
"""Units that find a machine's hardware, its first-boot data or its network, which a container is given."""


@dataclass(frozen=True)
class NodeImage:
    """A root file system as ``docker import`` takes it."""

    tar: Path
    content_hash: str

    @property
    def reference(self) -> str:
        """The image's name on an engine that imported it."""
        return f"{REPOSITORY}:{self.content_hash}"


def ensure(progress: Progress) -> NodeImage:
    """The root file system with the engine installed and not enabled, from the cache or built now (seconds)."""
    source = rootfs.ensure(progress)

    def build(directory: Path) -> None:
        with progress.step("node image"), vm_image.tree(source, directory) as root:
            vm_image.configure(root, source.engine_debs, progress)
            _mask(root)
            vm_image.copy_files(FILES, root)
            _enable(root, "overlab-sysctl.service")
            _pack(root, directory / "node.tar")
        (directory / "sha256").write_text(cache.file_digest(directory / "node.tar"))

    code = [Path(__file__), *sorted(path for path in FILES.rglob("*") if path.is_file())]
    parts = vm_image.key_parts() | {"node": [cache.file_digest(file) for file in code]}
    directory = cache.entry("node-image", parts, build, progress, space_mib=2000)
    return NodeImage(directory / "node.tar", (directory / "sha256").read_text()[:16])


def load(image: NodeImage, engine: PrivateDockerd) -> None:
    """Import it into the engine, unless the engine has it."""
    with engine.client() as client:
        if client.api.images(image.reference, quiet=True):
            return
        repository, tag = image.reference.split(":")
        client.api.import_image_from_file(str(image.tar), repository, tag, changes=list(CHANGES))


def _mask(root: Path) -> None:
    for unit in _MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


def _enable(root: Path, unit: str) -> None:
    wants = root / "etc/systemd/system/sysinit.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / unit).symlink_to(f"../{unit}")


def _pack(root: Path, tar: Path) -> None:
    options = "--create --numeric-owner --xattrs --xattrs-include=* --sort=name".split()
    run(
        ["tar", *options, *(f"--exclude={path}" for path in _LEFT_OUT), "--file", tar, "--directory", root, "."],
        log=cache.log_file("node-image"),
    )
