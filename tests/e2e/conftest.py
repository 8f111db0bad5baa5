"""Whole labs, on node containers where a test does not need machines; skipped with the reason where neither can run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlab.platform import container_host
from tests.e2e.lab import RealLab

ON_MACHINES = {"test_hypervisors.py", "test_machines.py", "test_plain_image.py"}
_MACHINE_TOOLS = ("qemu-system-x86_64", "libvirtd", "mmdebstrap")
_CONTAINER_TOOLS = ("dockerd", "mmdebstrap")
_MACHINES_GIB, _CONTAINERS_GIB = 5, 3


def _why_not(*, machines: bool) -> str | None:
    if os.geteuid() != 0:
        return "not root: the bundled platform needs network and mount namespaces"
    tools = _MACHINE_TOOLS if machines else _CONTAINER_TOOLS
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (make test installs them)"
    if not machines and (lacking := list(container_host.missing())):
        return f"this machine does not have: {'; '.join(lacking)}"
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1024**2
    needed = _MACHINES_GIB if machines else _CONTAINERS_GIB
    return f"{free:.1f} GiB of memory free, {needed} needed" if free < needed else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    reasons = {machines: _why_not(machines=machines) for machines in (True, False)} if here else {}
    for item in here:
        machines = item.path.name in ON_MACHINES
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.timeout(3600))
        item.add_marker(pytest.mark.xdist_group("labs"))
        if reason := reasons[machines]:
            kind = "MACHINES" if machines else "NODE CONTAINERS"
            item.add_marker(pytest.mark.skip(reason=f"NO {kind} HERE: {reason}"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The lab of stack ``plain``; gone, platform and all, at the end."""
    lab = RealLab("plain", tmp_path_factory.mktemp("plain"))
    settings = lab.file.read_bytes()
    try:
        yield lab
    finally:
        lab.overlab("down", "--platform", "--force")
        # Plain Pulumi writes its salt into it.
        lab.file.write_bytes(settings)
