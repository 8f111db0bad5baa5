"""The guard's renumbering, on real interfaces in network namespaces of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from components import engine_guard

NAMESPACE = "/run/docker/netns/1-0123456789"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare for network namespaces"
)


def renumbered(tmp_path: Path, *numbers: int) -> list[str]:
    """The ends in an overlay's namespace after ``renumber``, of ends with these numbers made in this order."""
    guard = tmp_path / "engine-guard"
    guard.write_text(engine_guard.script())
    pairs = [f"link add veth{number} up type veth peer name out{number}" for number in numbers]
    steps = [
        "set -eu; mount -t tmpfs none /run; mkdir -p /run/docker/netns",
        f"touch {NAMESPACE}; unshare --net={NAMESPACE} true",
        f"printf '%s\\n' {' '.join(repr(pair) for pair in pairs)} | nsenter --net={NAMESPACE} ip -batch -",
        f"sh {guard} renumber",
        f"nsenter --net={NAMESPACE} ip -o link show up type veth | sed 's/@.*//; s/.*: //' | grep veth",
    ]
    done = subprocess.run(["unshare", "-nm", "sh", "-c", "\n".join(steps)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((0,), ["veth0"]),
        ((0, 1), ["veth2", "veth1"]),
        ((0, 3, 1), ["veth4", "veth3", "veth1"]),
        # The engine counts on from the first: that is the highest already.
        ((7, 1), ["veth7", "veth1"]),
        ((9, 10), ["veth11", "veth10"]),
    ],
)
def test_the_first_end_has_the_highest_number(tmp_path: Path, before: tuple[int, ...], after: list[str]) -> None:
    assert renumbered(tmp_path, *before) == after
