"""Long steps show what they wait for; a failing tool's error has its output."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from overlab.core import progress as module
from overlab.core import tools
from overlab.core.errors import ToolError, WaitError
from overlab.core.progress import Progress
from overlab.core.tools import output, run, stop_running
from overlab.core.wait import NotYet, until


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Progress:
    monkeypatch.setattr(module, "_SHOW_AFTER_S", 0.1)
    monkeypatch.setattr(module, "_REPEAT_PLAIN_S", 0.2)
    return Progress(Console(file=screen, width=200))


def test_plain_lines_show_step_elapsed_and_what_is_waited_for(progress: Progress, screen: io.StringIO) -> None:
    with progress.step("outer"), progress.step("inner"):
        progress.waiting_for("the moon")
        time.sleep(0.6)
    assert "inner ... 0 s: the moon" in screen.getvalue()
    assert "inner: done in 0.6 s" in screen.getvalue()
    assert [(timing.name, timing.depth) for timing in progress.timings] == [("inner", 1), ("outer", 0)]


def test_short_steps_leave_no_line_but_a_timing(screen: io.StringIO) -> None:
    progress = Progress(Console(file=screen))
    with progress.step("quick"):
        pass
    assert screen.getvalue() == ""
    assert progress.timings[0].name == "quick"


def test_failed_step_is_marked_and_passes_on(progress: Progress, screen: io.StringIO) -> None:
    def fail() -> None:
        with progress.step("bad"):
            time.sleep(0.15)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert "bad: failed after" in screen.getvalue()
    assert progress.timings[0].failed


def test_a_terminal_gets_a_live_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHOW_AFTER_S", 0.1)
    screen = io.StringIO()
    progress = Progress(Console(file=screen, force_terminal=True, width=100))
    with progress.step("long"):
        progress.waiting_for("[brackets] are text")
        time.sleep(0.6)
    assert "[brackets] are text" in screen.getvalue()


def test_threads_have_their_own_steps(progress: Progress) -> None:
    def work(name: str) -> None:
        with progress.step(name):
            time.sleep(0.1)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {timing.depth for timing in progress.timings} == {0}


def test_tool_error_shows_command_code_last_lines_and_log(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        run(["sh", "-c", "seq 1 40; echo 'out of cheese' >&2; exit 7"], log=tmp_path / "log")
    text = str(caught.value)
    assert "seq 1 40" in text
    assert "exit code 7" in text
    assert "out of cheese" in text
    assert "    40\n" in text
    assert "    9\n" not in text
    assert str(tmp_path / "log") in text


def test_last_line_of_a_running_tool_is_shown(tmp_path: Path, progress: Progress, screen: io.StringIO) -> None:
    with progress.step("tool"):
        run(["sh", "-c", "echo Unpacking; sleep 1"], log=tmp_path / "log", progress=progress)
    assert "Unpacking" in screen.getvalue()


def test_tool_over_its_limit_ends_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="did not end within"):
        run(["sh", "-c", "sleep 600 & echo $!; wait"], log=tmp_path / "log", limit_s=0.5)
    child = int((tmp_path / "log").read_text().splitlines()[-1])
    assert _gone(child)


def test_stop_running_ends_tools_of_other_threads(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            run(["sleep", "600"], log=tmp_path / "log")
        except ToolError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until("the tool to start", lambda: _running_tools(), 10)
    stop_running()
    thread.join(10)
    assert "exit code -15" in str(errors[0])


def test_missing_tool_is_named() -> None:
    with pytest.raises(ToolError, match="`no-such-tool` is not installed"):
        output(["no-such-tool"])


def test_a_failing_tools_output_is_in_the_error() -> None:
    assert output(["echo", "hi"]) == "hi\n"
    with pytest.raises(ToolError, match=r"exit code 3:\n    why"):
        output(["sh", "-c", "echo why >&2; exit 3"])


def test_wait_returns_the_probes_value() -> None:
    left = [1, 2, 3]

    def probe() -> str:
        if left:
            raise NotYet(f"{left.pop()} left")
        return "there"

    assert until("it", probe, 5, interval_s=0.01) == "there"


def test_a_failed_wait_reports_elapsed_limit_and_last_observation() -> None:
    def probe() -> None:
        raise NotYet("only two of three")

    with pytest.raises(WaitError, match=r"waited 0\.\d of 0\.3 s for members; seen last: only two of three"):
        until("members", probe, 0.3, interval_s=0.05)


def test_wait_passes_on_other_errors_at_once() -> None:
    def probe() -> None:
        raise ValueError("broken probe")

    with pytest.raises(ValueError, match="broken probe"):
        until("it", probe, 60)


def _running_tools() -> None:
    if not tools._running:
        raise NotYet("none runs")


def _gone(pid: int) -> bool:
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or " Z " in stat.read_text():
            return True
        time.sleep(0.05)
    return False
