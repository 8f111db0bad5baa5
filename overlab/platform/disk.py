"""A bootable disk from a directory: GPT, GRUB for BIOS, one ext4 file system labelled ``root``.

Built in files only: no loop device and no mount, so an interruption orphans nothing.
"""

from __future__ import annotations

import struct
from pathlib import Path

from overlab.core.progress import Progress
from overlab.core.tools import run

SIZE_MIB = 4096
_SECTOR = 512
_BIOS_GRUB_MIB = (1, 2)  # partition 1
_ROOT_MIB = (2, SIZE_MIB - 1)  # partition 2; the backup GPT needs the last sectors
_GRUB_DIRECTORY = Path("/usr/lib/grub/i386-pc")
_GRUB_MODULES = ("biosdisk", "part_gpt", "ext2", "linux16", "normal")

# Where GRUB's boot.img keeps the LBA of the core image, and where the core's first sector keeps the list of the
# sectors that follow it (grub/i386/pc/boot.h: GRUB_BOOT_MACHINE_KERNEL_SECTOR; offsets.h: the last block list entry).
_BOOT_KERNEL_SECTOR = 0x5C
_BOOT_DRIVE_CHECK = 0x66
_CORE_BLOCK_LIST = _SECTOR - 12
_CODE_SEGMENT = 0x0820
_BOOT_CODE_BYTES = 440  # the disk's GPT signature and protective table follow


def build(root: Path, target: Path, scratch: Path, log: Path, progress: Progress) -> None:
    """Write the qcow2 image ``target`` with the tree ``root``. ``scratch`` gets large sparse files."""
    raw = scratch / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(SIZE_MIB << 20)
    progress.waiting_for("partition table")
    run(["parted", "--script", raw, *_partitions()], log=log, progress=progress)
    run(_mke2fs(root, raw), log=log, progress=progress)
    install_grub(raw, scratch, log, progress)
    run(["qemu-img", "convert", "-O", "qcow2", "-o", "compat=1.1", raw, target], log=log, progress=progress)
    raw.unlink()


def install_grub(raw: Path, scratch: Path, log: Path, progress: Progress) -> None:
    """Boot code into the first sector, GRUB's core into the BIOS partition; it reads ``/boot/grub/grub.cfg``."""
    core = scratch / "core.img"
    run(
        [
            "grub-mkimage",
            "--format=i386-pc",
            f"--output={core}",
            "--prefix=(hd0,gpt2)/boot/grub",
            *_GRUB_MODULES,
        ],
        log=log,
        progress=progress,
    )
    first_sector = (_BIOS_GRUB_MIB[0] << 20) // _SECTOR
    boot = bytearray((_GRUB_DIRECTORY / "boot.img").read_bytes()[:_BOOT_CODE_BYTES])
    struct.pack_into("<Q", boot, _BOOT_KERNEL_SECTOR, first_sector)
    struct.pack_into("<H", boot, _BOOT_DRIVE_CHECK, 0x9090)  # as grub-bios-setup: do not second-guess the BIOS's drive
    image = bytearray(core.read_bytes())
    rest = -(-(len(image) - _SECTOR) // _SECTOR)
    struct.pack_into("<QHH", image, _CORE_BLOCK_LIST, first_sector + 1, rest, _CODE_SEGMENT)
    with raw.open("r+b") as file:
        file.write(boot)
        file.seek(first_sector * _SECTOR)
        file.write(image)
    core.unlink()


def _partitions() -> list[str]:
    words = ["mklabel", "gpt", "unit", "MiB"]
    words += ["mkpart", "bios", *map(str, _BIOS_GRUB_MIB), "set", "1", "bios_grub", "on"]
    return [*words, "mkpart", "root", "ext4", *map(str, _ROOT_MIB)]


def _mke2fs(root: Path, raw: Path) -> list[str | Path]:
    start, end = _ROOT_MIB
    # Everything is initialized here: a lazy one would be done by the guest, at its first boot.
    options = f"offset={start << 20},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
    command: list[str | Path] = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-m", "0", "-J", "size=32"]
    return [*command, "-O", "^metadata_csum,^64bit", "-E", options, "-d", root, raw, f"{(end - start) << 10}"]
