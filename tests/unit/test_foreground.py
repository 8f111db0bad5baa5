"""An interrupted program ends within limits, with everything below it, and it is said what is waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from overlab.core.process import ProcessRecord, descendants

_HARNESS = """
import sys
from pathlib import Path
from overlab.stack import foreground
foreground.GRACE_S, foreground.KILL_AFTER_S = float(sys.argv[2]), 1.0
ended = foreground.run(["sh", sys.argv[1]], cwd=Path("/"), env={"PATH": "/usr/bin:/bin"},
                       running=lambda: ["DockerEngine/docker01-dockerd"], say=lambda text: print(text, flush=True))
print(ended, flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str, float], subprocess.Popen[str]]]:
    """Run a shell script in the foreground of a session of its own; returns when the script runs."""
    started: list[subprocess.Popen[str]] = []

    def run(script: str, grace_s: float) -> subprocess.Popen[str]:
        os.mkfifo(tmp_path / "started")
        (tmp_path / "script").write_text(f"cd {tmp_path}\n{script}\n")
        process = subprocess.Popen(
            [sys.executable, "-c", _HARNESS, str(tmp_path / "script"), str(grace_s)],
            start_new_session=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        (tmp_path / "started").read_text()
        return process

    yield run
    for process in started:
        for one in descendants(process.pid):
            one.signal(signal.SIGKILL)
        process.communicate()


def alive(pid: str) -> bool:
    return ProcessRecord.of(int(pid)) is not None


# A child in a session of its own, as plugins have process groups of theirs.
_DEAF = "trap '' INT; setsid sleep 600 & echo $! >child; echo >started; wait; sleep 600"


def test_one_that_ignores_interrupts_is_killed_with_its_children(
    start: Callable[[str, float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start(_DEAF, 0.5)
    child = (tmp_path / "child").read_text()
    assert alive(child)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # once, as a terminal does
    out, _ = process.communicate(timeout=20)
    assert 1.4 < time.monotonic() - begun < 10
    lines = out.splitlines()
    assert lines[0] == "interrupted: waiting for DockerEngine/docker01-dockerd (at most 0.5 s, then interrupted again)"
    assert lines[1] == "interrupted: waiting for DockerEngine/docker01-dockerd (at most 1 s, then killed)"
    assert lines[2].startswith("killed: it did not end within 1 s of the second interrupt")
    assert "in progress: DockerEngine/docker01-dockerd; overlab up goes on from here" in lines[2]
    assert lines[3] == "Ended(code=-9, interrupted=True)"
    assert not alive(child)


def test_a_second_interrupt_shortens_the_wait(
    start: Callable[[str, float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start(_DEAF, 600)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout is not None
    assert "at most 600 s" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert "at most 1 s, then killed" in out.splitlines()[0]
    assert not alive((tmp_path / "child").read_text())


def test_sigterm_is_an_interrupt_too(start: Callable[[str, float], subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start("trap 'exit 7' INT; echo >started; while :; do sleep 0.1; done", 600)
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert out.splitlines()[-1] == "Ended(code=7, interrupted=True)"


def test_without_an_interrupt_nothing_is_said(start: Callable[[str, float], subprocess.Popen[str]]) -> None:
    out, _ = start("echo >started; exit 3", 0.1).communicate(timeout=20)
    assert out.splitlines() == ["Ended(code=3, interrupted=False)"]
