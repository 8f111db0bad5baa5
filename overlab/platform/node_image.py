"""The root file system of nodes as containers: the machines' own, without kernel, boot and first-boot data."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overlab.core.errors import OverlabError
from overlab.core.paths import cache_entry
from overlab.core.progress import Progress
from overlab.core.tools import run
from overlab.platform import cache, debian, mirror, rootfs, vm_image

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = "overlab/node"
CHANGES = ("ENV container=docker", 'ENTRYPOINT ["/sbin/init"]')
"""What ``docker import`` adds to the bare tree: systemd knows by ``container`` that it boots no machine."""

NODE = Path(__file__).parent / "node"
"""The nodes' ``files/``, copied into the image as they are, and the Dockerfile."""

BASE_ENV = "OVERLAB_NODE_BASE"
BASE = "debian:bullseye-slim"
"""From which Docker builds the image, unless the environment names another one."""

_OF_A_KERNEL = ("linux-image-amd64", "busybox-static")
_SHOWN_LINES = 15
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


def can_be_made() -> bool:
    """Whether this user and machine can make a root file system, and no base image for Docker is named."""
    return os.geteuid() == 0 and shutil.which("mmdebstrap") is not None and BASE_ENV not in os.environ


def ensure(progress: Progress) -> NodeImage:
    """The root file system with the engine installed and not enabled, from the cache or built now (seconds)."""
    source = rootfs.ensure(progress)

    def build(directory: Path) -> None:
        with progress.step("node image"), vm_image.tree(source, directory) as root:
            vm_image.configure(root, source.engine_debs, progress)
            _add_files(root)
            _pack(root, directory / "node.tar")
        (directory / "sha256").write_text(cache.file_digest(directory / "node.tar"))

    parts = vm_image.key_parts() | {"node": _code()}
    directory = cache.entry("node-image", parts, build, progress, space_mib=2000)
    return NodeImage(directory / "node.tar", (directory / "sha256").read_text()[:16])


def imported(client: DockerClient, progress: Progress) -> str:
    """The image's name on an engine, which imports it where it has not."""
    image = ensure(progress)
    with progress.step("node image into the engine"):
        load(image, client)
    return image.reference


def load(image: NodeImage, client: DockerClient) -> None:
    """Import it into the engine, unless the engine has it."""
    if not client.api.images(image.reference, quiet=True):
        repository, tag = image.reference.split(":")
        client.api.import_image_from_file(str(image.tar), repository, tag, changes=list(CHANGES))


def built(client: DockerClient, progress: Progress) -> str:
    """The image's name on an engine, which builds it from Debian's image and packages where it has not: no root here.

    Raises :class:`OverlabError` with the end of what the build wrote.
    """
    base = os.environ.get(BASE_ENV, BASE)
    arguments = {"BASE": base, "PACKAGES": " ".join(_packages()), "SOURCES": _sources()}
    parts = {"node": _code(), "guest": vm_image.guest_digests(), "arguments": arguments}
    reference = f"{REPOSITORY}:{cache_entry('node', parts).name[:16]}"
    if not client.api.images(reference, quiet=True):
        with progress.step("node image, built by Docker"), tempfile.TemporaryDirectory() as directory:
            _write_context(Path(directory))
            _build(client, directory, reference, arguments)
    return reference


def _build(client: DockerClient, directory: str, reference: str, arguments: dict[str, str]) -> None:
    lines: deque[str] = deque(maxlen=_SHOWN_LINES)
    file = cache.log_file("node-image")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as log:
        for step in client.api.build(
            path=directory, tag=reference, buildargs=arguments, rm=True, forcerm=True, decode=True
        ):
            text = str(step.get("stream") or step.get("error") or "")
            log.write(text)
            lines.extend(line for line in text.splitlines() if line.strip())
            if "error" in step:
                raise OverlabError(
                    f"Docker could not build the nodes' image from {arguments['BASE']}:\n  " + "\n  ".join(lines),
                    f"see {log.name}; {BASE_ENV} names another image of Debian {rootfs.SUITE},"
                    f" {mirror.MAIN_ENV} another mirror",
                )


def _packages() -> list[str]:
    """Those of the root file system, but for a kernel's."""
    packages = debian.needed(["plain", "engine"], rootfs.PACKAGE_LIST)
    return [one.name for one in packages if one.name not in _OF_A_KERNEL]


def _sources() -> str:
    """Of the mirror that the environment names; else the base image has its own."""
    named = mirror.named()
    return "\\n".join(named.sources(rootfs.SUITE)) if named else ""


def _write_context(directory: Path) -> None:
    shutil.copyfile(NODE / "Dockerfile", directory / "Dockerfile")
    (directory / "lab").mkdir()
    shutil.copyfile(vm_image.GUEST / "configure.sh", directory / "lab" / "configure.sh")
    for name in ("files", "node"):
        (directory / name / "etc/systemd/system").mkdir(parents=True)
    vm_image.copy_files(vm_image.GUEST / "files", directory / "files")
    _add_files(directory / "node")
    for path in directory.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)


def _code() -> list[str]:
    files = [Path(__file__), *sorted(path for path in NODE.rglob("*") if path.is_file())]
    return [cache.file_digest(file) for file in files]


def _add_files(root: Path) -> None:
    _mask(root)
    vm_image.copy_files(NODE / "files", root)
    _enable(root, "overlab-sysctl.service")


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
