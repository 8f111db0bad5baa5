"""Base images of the machines: preinstalled (with docker.io) and plain (no engine), both bootable qcow2 disks."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from components.config.platform import MachineImage
from overlab.core.errors import ToolError
from overlab.core.progress import Progress
from overlab.core.removal import remove
from overlab.core.tools import run
from overlab.platform import cache, container_images, disk, oci, rootfs
from overlab.platform.mmdebstrap import IN_PRIVATE_NAMESPACES
from overlab.platform.rootfs import Rootfs

GUEST = Path(__file__).parent / "guest"
"""The guest's ``files/``, copied as they are, and the scripts that run in its chroot."""

EMULATED = "mitigations=off nokaslr norandmaps apparmor=0 selinux=0 audit=0 nowatchdog no_timer_check".split()
"""What the kernel of an emulated machine is started with beside the other's defaults: without KVM each of these costs a
multiple. ``norandmaps``: code at the same address in each process is translated once."""

_FILE = "disk.qcow2"
_SCRATCH = ".scratch"
_ENTER = """\
set -eu
root=$1
shift
mount --bind "$root" "$root"
mkdir -p "$root/dev"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sys "$root/sys"
mount -t tmpfs tmp "$root/tmp"
mount -t tmpfs run "$root/run"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"""


def ensure(progress: Progress, *, emulated: bool) -> MachineImage:
    """The preinstalled image: its engine is not enabled; it holds the container images of our registry.

    ``emulated``: for machines without KVM, whose kernel does without its own protection; see :data:`EMULATED`.

    A pull on the machine finds their layers and asks the registry only for the manifest.
    """
    source = rootfs.ensure(progress)
    storage = container_images.ensure(progress)

    def build(directory: Path) -> None:
        with progress.step("preinstalled image"), tree(source, directory) as root:
            configure(root, source.engine_debs, progress)
            _preload(root, storage, progress)
            _finish(root, directory, progress, emulated=emulated)

    parts = key_parts() | {"storage": storage.parent.name, "kernel": EMULATED if emulated else []}
    directory = cache.entry("image", parts, build, progress, space_mib=4000)
    return _image(directory)


def ensure_plain(progress: Progress, *, emulated: bool) -> MachineImage:
    """The same system without an engine."""
    source = rootfs.ensure(progress)

    def build(directory: Path) -> None:
        with progress.step("plain image"), tree(source, directory) as root:
            configure(root, [], progress)
            _finish(root, directory, progress, emulated=emulated)

    parts = key_parts() | {"kernel": EMULATED if emulated else []}
    return _image(cache.entry("plain-image", parts, build, progress, space_mib=4000))


def key_parts() -> dict[str, object]:
    code = [cache.file_digest(Path(module)) for module in (__file__, str(disk.__file__))]
    return {"rootfs": rootfs.key_parts(), "guest": guest_digests(), "code": code}


def _image(directory: Path) -> MachineImage:
    return MachineImage(source=str(directory / _FILE), content_hash=(directory / "sha256").read_text()[:16])


# -- steps -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def tree(source: Rootfs, directory: Path) -> Iterator[Path]:
    """The unpacked root file system.

    Inside the entry under construction: the remains of a killed build are removed by the next one.
    """
    root = directory / _SCRATCH / "root"
    root.mkdir(parents=True)
    unpack = "tar --extract --numeric-owner --xattrs --xattrs-include=*".split()
    run([*unpack, "--file", source.tar, "--directory", root], log=cache.log_file("image"))
    yield root
    remove(directory / _SCRATCH, directory)


def configure(root: Path, debs: list[Path], progress: Progress) -> None:
    lab = root / "lab"
    shutil.copytree(GUEST, lab)
    copy_files(lab / "files", root)
    _copy_all(debs, lab / "debs")
    _in_chroot(root, ["/lab/configure.sh", *(["/lab/debs"] if debs else [])], progress)
    remove(lab, root)


def _preload(root: Path, storage: Path, progress: Progress) -> None:
    """Let the image's own dockerd load the container images. Where it cannot run here, machines pull them instead."""
    lab = root / "lab"
    lab.mkdir()
    shutil.copy(GUEST / "preload.sh", lab)
    archives: list[str] = []
    for name in container_images.names():
        archives.append(f"/lab/{len(archives)}.tar")
        oci.export(storage, name, root / archives[-1].lstrip("/"))
    try:
        _in_chroot(root, ["/lab/preload.sh", *archives], progress)
    except ToolError as error:
        remove(root / "var/lib/docker", root)
        progress.note(f"container images are not in the preinstalled image, machines will pull them: {error.what}")
    remove(lab, root)


def start_kernel_with(root: Path, words: list[str]) -> None:
    """Add words to the kernel's command line."""
    file = root / "boot/grub/grub.cfg"
    lines = file.read_text().splitlines()
    lines = [" ".join([line, *words]) if line.startswith("linux16 ") else line for line in lines]
    file.write_text("\n".join(lines) + "\n")


def _finish(root: Path, directory: Path, progress: Progress, *, emulated: bool) -> None:
    """The disk, its checksum, and kernel and initramfs beside it for those who boot them directly."""
    start_kernel_with(root, EMULATED if emulated else [])
    disk.build(root, directory / _FILE, directory / _SCRATCH, cache.log_file("image"), progress)
    for link in ("vmlinuz", "initrd.img"):
        shutil.copyfile((root / link).resolve(), directory / link)
    (directory / "sha256").write_text(cache.file_digest(directory / _FILE))


def _in_chroot(root: Path, command: list[str], progress: Progress) -> None:
    """Run a shell script in the tree, in private namespaces, without a network."""
    run(
        [*IN_PRIVATE_NAMESPACES, "--net", "sh", "-c", _ENTER, "enter", root, "sh", *command],
        log=cache.log_file("image"),
        progress=progress,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        limit_s=900,
    )


def _copy_all(files: list[Path], target: Path) -> None:
    target.mkdir()
    for file in files:
        shutil.copyfile(file, target / file.name)


def copy_files(source: Path, root: Path) -> None:
    """Owned by root, modes 0755 or 0644, independent of the checkout's owner and umask."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        target = root / file.relative_to(source)
        for directory in reversed(target.parents):
            if not directory.exists():
                directory.mkdir()
                directory.chmod(0o755)
        shutil.copyfile(file, target)
        target.chmod(0o755 if os.access(file, os.X_OK) else 0o644)


def guest_digests() -> dict[str, str]:
    """Content of each file and whether it is executable; links as what they point to."""
    files = sorted(path for path in GUEST.rglob("*") if path.is_file())
    return {str(path.relative_to(GUEST)): f"{os.access(path, os.X_OK)} {cache.file_digest(path)}" for path in files}
