"""Base images of the machines: golden (docker.io inside) and plain (no engine at all), both bootable qcow2 disks."""

from __future__ import annotations

import shutil
from pathlib import Path

from components.ground import Image
from overlab.ground import cache, disk, rootfs
from overlab.ground.progress import Progress, run
from overlab.ground.rootfs import Rootfs

GUEST = Path(__file__).parent / "guest"
"""What goes into the guest: ``files/`` as it lies there, and the scripts that run in its chroot."""

_FILE = "disk.qcow2"
_ENTER = """\
set -eu
root=$1
shift
mkdir -p "$root/dev"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sys "$root/sys"
mount -t tmpfs tmp "$root/tmp"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"""


def ensure(progress: Progress) -> Image:
    """The golden image: the engine is installed and not enabled."""
    source = rootfs.ensure(progress)
    return _ensure("image", source, progress, engine=True)


def ensure_plain(progress: Progress) -> Image:
    """The same system without an engine."""
    source = rootfs.ensure(progress)
    return _ensure("plain-image", source, progress, engine=False)


def _ensure(kind: str, source: Rootfs, progress: Progress, *, engine: bool) -> Image:
    def build(directory: Path) -> None:
        with progress.step("golden image" if engine else "plain image"):
            _build(source, directory, engine, cache.log_file(kind), progress)

    parts = {"rootfs": rootfs.key_parts(), "guest": _guest_digests(), "disk": cache.file_digest(Path(disk.__file__))}
    directory = cache.entry(kind, parts, build, progress, space_mib=4000)
    return Image(
        source=str(directory / _FILE),
        content=(directory / "sha256").read_text()[:16],
        engine=source.engine_version if engine else None,
    )


def _build(source: Rootfs, directory: Path, engine: bool, log: Path, progress: Progress) -> None:
    # inside the entry under construction: what a killed build leaves is removed by the next one
    scratch = directory / ".scratch"
    root = scratch / "root"
    root.mkdir(parents=True)
    tar = ["tar", "--extract", "--file", source.tar, "--directory", root, "--numeric-owner", "--xattrs"]
    run([*tar, "--xattrs-include=*"], log=log, progress=progress)
    _configure(root, source.engine_debs if engine else [], log, progress)
    disk.build(root, directory / _FILE, scratch, log, progress)
    for link in ("vmlinuz", "initrd.img"):
        shutil.copyfile((root / link).resolve(), directory / link)
    (directory / "sha256").write_text(cache.file_digest(directory / _FILE))
    shutil.rmtree(scratch)


def _configure(root: Path, debs: list[Path], log: Path, progress: Progress) -> None:
    lab = root / "lab"
    shutil.copytree(GUEST, lab)
    run(["cp", "--recursive", "--preserve=mode", "--no-target-directory", lab / "files", root], log=log)
    for deb in debs:
        (lab / "debs").mkdir(exist_ok=True)
        shutil.copyfile(deb, lab / "debs" / deb.name)
    run(
        [
            *rootfs.IN_NAMESPACES_OF_ITS_OWN,
            "sh",
            "-c",
            _ENTER,
            "enter",
            root,
            "sh",
            "/lab/configure.sh",
            *(["/lab/debs"] if debs else []),
        ],
        log=log,
        progress=progress,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        limit_s=900,
    )
    shutil.rmtree(lab)


def _guest_digests() -> dict[str, str]:
    files = sorted(path for path in GUEST.rglob("*") if path.is_file())
    return {str(path.relative_to(GUEST)): f"{path.stat().st_mode & 0o111:o} {cache.file_digest(path)}" for path in files}
