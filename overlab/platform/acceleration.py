"""Whether machines can run with KVM here, decided by booting one: the device file alone proves nothing."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

QEMU = "qemu-system-x86_64"
_LIMIT_S = 20.0
_EXIT_CODE = 0x2A << 1 | 1  # isa-debug-exit turns the guest's 0x2a into this

# scripts/accel-probe.s, assembled
_BOOT_CODE = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cbf0010b90018f3ab66c70600100320000066c70600200330000066c7060030830000000f20e0"
    "6683c8200f22e066b8001000000f22d866b9800000c00f32660d000100000f300f20c0660d010000800f22c0660f0116a07c"
    "ea697c080048b88877665544332211b9a086010048c1c007488d444801ffc975f3b02ae6f4f4ebfd0f1f4000000000000000"
    "000000000000009a20000f00907c"
)


@dataclass(frozen=True)
class Acceleration:
    """libvirt's domain type for machines here, and the reason."""

    domain_type: Literal["kvm", "qemu"]
    reason: str


def probe() -> Acceleration:
    """``kvm`` if the CPU has it and a guest reached 64-bit mode with it, else ``qemu`` (TCG). Takes up to 20 s."""
    flags = set(_cpu_flags())
    if not flags & {"vmx", "svm"}:
        return Acceleration("qemu", "the CPU has neither vmx nor svm (/proc/cpuinfo)")
    if not Path("/dev/kvm").exists():
        return Acceleration("qemu", "/dev/kvm is missing")
    failure = boots("kvm")
    if failure is not None:
        return Acceleration("qemu", f"a guest did not boot with KVM: {failure}")
    return Acceleration("kvm", "a guest booted with KVM")


def boots(accelerator: str) -> str | None:
    """None if a guest reached 64-bit mode with paging under that accelerator, else what happened instead."""
    with tempfile.TemporaryDirectory(prefix="overlab-probe-") as directory:
        disk = Path(directory) / "boot.img"
        disk.write_bytes(boot_sector())
        cmd = [QEMU, "-accel", accelerator, "-machine", "pc", "-cpu", "max", "-m", "16", "-nodefaults"]
        cmd += ["-display", "none", "-nic", "none", "-no-reboot"]
        cmd += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-drive", f"file={disk},format=raw,if=ide"]
        try:
            done = subprocess.run(
                cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S, check=False
            )
        except FileNotFoundError:
            return f"{QEMU} is not installed"
        except subprocess.TimeoutExpired:
            return f"no sign of the guest within {_LIMIT_S:g} s"
    if done.returncode == _EXIT_CODE:
        return None
    errors = done.stderr.strip().splitlines()
    return f"{QEMU} ended with code {done.returncode}{': ' + errors[0] if errors else ''}"


def boot_sector() -> bytes:
    return _BOOT_CODE.ljust(510, b"\0") + b"\x55\xaa"


def _cpu_flags() -> list[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return line.split(":", 1)[1].split()
    return []
