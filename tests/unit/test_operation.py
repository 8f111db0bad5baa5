"""Two commands that change one lab at once: the second is refused with the first one's name."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.stack.operation import only_one

_HOLD = """
import sys
from pathlib import Path
from overlab.core.paths import LabPaths
from overlab.stack.operation import only_one
with only_one(LabPaths("t", Path(sys.argv[1])), "up"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def paths(tmp_path: Path) -> LabPaths:
    return LabPaths("t", tmp_path / "labs" / "t")


def test_the_second_command_is_refused_with_the_first_ones_name(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    with only_one(paths, "replace docker01"):
        with pytest.raises(OverlabError) as refused, only_one(paths, "up"):
            pytest.fail("both hold the lab")
        assert re.fullmatch(
            rf"lab t is being changed by `overlab replace docker01` of ada \(process {os.getpid()}, since [\d:]+\)",
            refused.value.what,
        )
    with only_one(paths, "up"):
        pass


def test_a_lab_is_free_when_its_holder_was_killed(paths: LabPaths) -> None:
    command = [sys.executable, "-c", _HOLD, str(paths.state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OverlabError, match=f"process {holder.pid}"), only_one(paths, "down"):
            pytest.fail("both hold the lab")
        holder.send_signal(signal.SIGKILL)
    with only_one(paths, "down"):
        assert paths.state.stat().st_mode & 0o777 == 0o700


def test_labs_do_not_wait_for_each_other(paths: LabPaths, tmp_path: Path) -> None:
    with only_one(paths, "up"), only_one(LabPaths("u", tmp_path / "labs" / "u"), "up"):
        pass
