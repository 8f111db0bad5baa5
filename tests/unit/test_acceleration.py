"""Acceleration is decided by a guest that really ran."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from overlab.platform import acceleration

_qemu = pytest.mark.skipif(shutil.which(acceleration.QEMU) is None, reason=f"needs {acceleration.QEMU}")


@_qemu
def test_the_probe_guest_reaches_its_end_without_kvm() -> None:
    assert acceleration.boots("tcg") is None


@_qemu
def test_a_guest_that_does_not_run_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "_LIMIT_S", 1)
    monkeypatch.setattr(acceleration, "_BOOT_CODE", b"\xf4\xeb\xfd")  # hlt; jmp -3
    assert acceleration.boots("tcg") == "no sign of the guest within 1 s"


@_qemu
def test_an_accelerator_that_is_not_there_is_named() -> None:
    assert "nonsense" in str(acceleration.boots("nonsense"))


def test_the_device_file_alone_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "_cpu_flags", lambda: ["sse", "lm"])
    found = acceleration.probe()
    assert found.domain_type == "qemu"
    assert "neither vmx nor svm" in found.reason


def test_flags_alone_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "_cpu_flags", lambda: ["vmx"])
    monkeypatch.setattr(acceleration, "boots", lambda accelerator: f"{accelerator} failed")
    found = acceleration.probe()
    assert found.domain_type == "qemu"
    assert "kvm failed" in found.reason or "/dev/kvm is missing" in found.reason


@pytest.mark.skipif(shutil.which("as") is None, reason="needs binutils (as, ld)")
def test_the_code_is_its_source_assembled(tmp_path: Path) -> None:
    source = Path(acceleration.__file__).parent / "scripts" / "accel-probe.s"
    subprocess.run(["as", source, "-o", tmp_path / "p.o"], check=True)
    link = "ld -Ttext 0x7c00 --oformat binary -o".split()
    subprocess.run([*link, str(tmp_path / "p.img"), str(tmp_path / "p.o")], check=True)
    assert (tmp_path / "p.img").read_bytes() == acceleration.boot_sector()
