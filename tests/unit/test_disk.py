"""A disk made without loop devices and mounts: the right tables, the right file system, and it boots by itself."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlab.core.process import ProcessRecord, end, spawn
from overlab.core.progress import Progress
from overlab.core.wait import NotYet, until
from overlab.platform import disk

_NEEDED = ("parted", "mke2fs", "debugfs", "grub-mkimage", "qemu-img")
_SAID = "configured by its own disk"
_GRUB_CFG = f"serial\nterminal_output serial\necho {_SAID}\n"

_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_MISSING = [tool for tool in _NEEDED if shutil.which(tool, path=_PATH) is None]

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners of files in the image"),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk")


@pytest.fixture(scope="module")
def image(work: Path) -> Path:
    root = work / "root"
    (root / "boot/grub").mkdir(parents=True)
    (root / "boot/grub/grub.cfg").write_text(_GRUB_CFG)
    (root / "hello").write_text("hello")
    os.chown(root / "hello", 33, 34)
    (root / "hello").chmod(0o4755)
    modules = pytest.MonkeyPatch()
    modules.setattr(disk, "_GRUB_MODULES", (*disk._GRUB_MODULES, "serial", "echo"))
    disk.build(root, work / "disk.qcow2", work, work / "log", Progress(quiet=True))
    modules.undo()
    return work / "disk.qcow2"


@pytest.fixture(scope="module")
def raw(image: Path, work: Path) -> Path:
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, work / "again.raw"], check=True)
    return work / "again.raw"


def test_the_image_is_small_and_its_disk_has_the_stated_size(image: Path) -> None:
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", image]))
    assert info["format"] == "qcow2"
    assert info["virtual-size"] == disk.SIZE_MIB << 20
    assert info["actual-size"] < 20 << 20
    check = subprocess.run(["qemu-img", "check", image], capture_output=True, check=False)
    assert check.returncode == 0


def test_partitions(raw: Path) -> None:
    text = subprocess.check_output(["parted", "--script", "--machine", raw, "unit", "MiB", "print"], text=True)
    assert ":gpt:" in text
    assert "1:1.00MiB:2.00MiB:1.00MiB::bios:bios_grub;" in text
    assert "2:2.00MiB:4095MiB:4093MiB:ext4:root:;" in text


def test_the_file_system_holds_the_tree_with_owners_and_modes(raw: Path) -> None:
    partition = f"{raw}?offset={2 << 20}"
    checked = subprocess.run(["e2fsck", "-fn", partition], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.splitlines()[-1].startswith("root: ")
    stat = subprocess.check_output(["debugfs", "-R", "stat /hello", partition], text=True)
    assert "Mode:  04755" in stat
    assert "User:    33   Group:    34" in stat
    assert subprocess.check_output(["debugfs", "-R", "cat /hello", partition]) == b"hello"


def test_boot_code_points_at_the_core_image(raw: Path) -> None:
    with raw.open("rb") as file:
        first = file.read(512)
        file.seek(1 << 20)
        core = file.read(512)
    assert first[510:] == b"\x55\xaa"
    assert struct.unpack_from("<Q", first, 0x5C) == (2048,)
    start, sectors, segment = struct.unpack_from("<QHH", core, 500)
    assert (start, segment) == (2049, 0x820)
    assert 20 < sectors < 2048


@pytest.fixture
def machine(image: Path, tmp_path: Path) -> Iterator[tuple[ProcessRecord, Path]]:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    console = tmp_path / "console"
    command = "qemu-system-x86_64 -machine pc,accel=tcg -m 128 -display none -vga none -nodefaults -snapshot".split()
    command += ["-drive", f"file={image},if=virtio", "-serial", f"file:{console}"]
    process = spawn(command, tmp_path / "log")
    yield process, console
    end([process], grace_s=0)


def test_it_boots_to_its_own_configuration(machine: tuple[ProcessRecord, Path]) -> None:
    process, console = machine

    def reported() -> None:
        text = console.read_text(errors="replace") if console.exists() else ""
        assert process.alive(), text
        if _SAID not in text:
            raise NotYet(repr(text[-200:]))

    until("GRUB to read its configuration from the disk", reported, 90)
