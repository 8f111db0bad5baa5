"""Real machines: where they cannot be had, every test here is skipped with the reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import RealLab

MEMORY_GIB = 5


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "not root: the bundled platform needs network and mount namespaces"
    missing = [tool for tool in ("qemu-system-x86_64", "libvirtd", "mmdebstrap") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (make up installs them)"
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    return f"{free:.1f} GiB of memory free, {MEMORY_GIB} needed" if free < MEMORY_GIB else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = _why_not()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(3600))
            item.add_marker(pytest.mark.xdist_group("machines"))
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"NO REAL MACHINES HERE: {reason}"))


def _lab(stack: str, directory: Path) -> Iterator[RealLab]:
    lab = RealLab(stack, directory)
    settings = lab.file.read_bytes()
    try:
        yield lab
    finally:
        lab.overlab("down", "--platform", "--force")
        # Plain Pulumi writes its salt into it.
        lab.file.write_bytes(settings)


@pytest.fixture(scope="module")
def ci(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The lab of stack ``ci``; gone, platform and all, at the end."""
    yield from _lab("ci", tmp_path_factory.mktemp("ci"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The lab of stack ``plain``; gone, platform and all, at the end."""
    yield from _lab("plain", tmp_path_factory.mktemp("plain"))
