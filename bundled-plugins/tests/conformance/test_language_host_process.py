"""How the children of the bundled language host end, and the host itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from bundled_plugins.language_host.interpreter import Interpreter
from bundled_plugins.language_host.process import Child, Children, describe_exit
from bundled_plugins.language_host.server import LanguageHost
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, language_pb2, language_pb2_grpc

from conformance.harness import ROOT, Engine, started, until

pytestmark = pytest.mark.bundled_only("language host")

HERE = Interpreter(Path(sys.executable), None)


#: A child with a grandchild in its group; both write their ids.
FAMILY = """
import os, signal, subprocess, sys, time
{prepare}
grandchild = subprocess.Popen(["sleep", "3600"])
print(os.getpid(), grandchild.pid, flush=True)
time.sleep(3600)
"""


@pytest.fixture
def doomed() -> Iterator[list[int]]:
    """Ids of processes that a failed test may leave behind."""
    ids: list[int] = []
    yield ids
    for each in ids:
        if _lives(each):
            os.kill(each, signal.SIGKILL)


class Families:
    """Starts children that each have a grandchild in their group."""

    def __init__(self, directory: Path, doomed: list[int]) -> None:
        self._directory = directory
        self._doomed = doomed

    def start(self, prepare: str = "") -> tuple[Child, list[int]]:
        """The child, and the ids of child and grandchild. ``prepare`` is what the child does first."""
        script = self._directory / "family.py"
        script.write_text(FAMILY.format(prepare=prepare))
        child = Child(HERE, ["module", "family"], directory=str(script.parent), environment=os.environ, piped=True)
        ids = [int(each) for each in child.stdout.readline().split()]
        assert len(ids) == 2
        self._doomed += ids
        return child, ids


@pytest.fixture
def families(tmp_path: Path, doomed: list[int]) -> Families:
    return Families(tmp_path, doomed)


def close(child: Child) -> str:
    """Close the pipes; what was written to stderr."""
    with child.stdout, child.stderr as stderr:
        return stderr.read().decode()


def gone(ids: list[int]) -> bool:
    return not any(_lives(each) for each in ids)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("prepare", "grace_s"),
    [
        # Said, since a background job of a shell is born deaf.
        ("signal.signal(signal.SIGINT, signal.default_int_handler)", 60.0),
        ("signal.signal(signal.SIGINT, lambda *_: None)", 1.0),
    ],
    ids=["heeding", "deaf"],
)
def test_stop_ends_the_process_group_in_time(families: Families, prepare: str, grace_s: float) -> None:
    # The deaf one also leaves its grandchild deaf to nothing: it must die by SIGKILL of the group.
    child, ids = families.start(prepare)
    start = time.monotonic()

    child.stop(grace_s)

    assert time.monotonic() - start < 10
    assert child.was_stopped
    assert child.wait() != 0
    until(lambda: gone(ids), 5, lambda: f"of {ids} some live")
    close(child)


def test_grandchild_that_ignores_the_interrupt_dies_with_its_parent(families: Families) -> None:
    child, ids = families.start("signal.signal(signal.SIGINT, signal.SIG_IGN)")
    os.kill(ids[0], signal.SIGTERM)  # only the parent heeds
    child.wait()
    assert _lives(ids[1])  # nobody asked for a stop: what a program leaves behind on purpose stays
    os.kill(ids[1], signal.SIGKILL)
    close(child)

    child, ids = families.start(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "real = subprocess.Popen\n"
        "def popen(*a, **k):\n"
        "    process = real(*a, **k)\n"
        "    signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "    return process\n"
        "subprocess.Popen = popen",
    )
    child.stop(grace_s=3.0)
    assert child.wait() == -signal.SIGINT
    until(lambda: gone(ids), 5, lambda: f"of {ids} some live")
    close(child)


def test_stop_after_the_end_does_nothing(tmp_path: Path) -> None:
    script = tmp_path / "short.py"
    script.write_text("raise SystemExit(5)\n")
    child = Child(HERE, ["module", "short"], directory=str(tmp_path), environment=os.environ, piped=True)
    assert child.wait() == 5

    child.stop()

    assert not child.was_stopped
    assert not child.running
    close(child)


def test_children_are_stopped_together(families: Families) -> None:
    children = Children()
    started = [families.start("signal.signal(signal.SIGINT, lambda *_: None)") for _ in range(3)]
    for child, _ in started:
        children.add(child)
    start = time.monotonic()

    for thread in children.begin_stop(grace_s=2.0):
        thread.join(20)

    assert time.monotonic() - start < 5  # one after the other would take 6
    for child, ids in started:
        assert gone(ids[:1])
        close(child)


def test_child_does_not_outlive_a_killed_host(tmp_path: Path, doomed: list[int]) -> None:
    script = tmp_path / "family.py"
    script.write_text(FAMILY.format(prepare="signal.signal(signal.SIGINT, signal.SIG_IGN)"))
    host = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from bundled_plugins.language_host.interpreter import Interpreter\n"
        "from bundled_plugins.language_host.process import Child\n"
        f"Child(Interpreter(Path(sys.executable), None), ['module', 'family'], directory={str(tmp_path)!r}, "
        "environment=os.environ, piped=False)\n"
        "time.sleep(3600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", host], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        ids = [int(each) for each in process.stdout.readline().split()]
        assert len(ids) == 2
        doomed += ids

        process.kill()

        until(lambda: gone(ids), 5, lambda: f"of {ids} some live")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (3, "exited with non-zero exit code: 3"),
        (-9, "was ended by signal 9 (SIGKILL)"),
        (-64, "was ended by signal 64 (SIGRTMAX)"),
        (-99, "was ended by signal 99 (unknown)"),
    ],
)
def test_exit_is_described(code: int, text: str) -> None:
    assert describe_exit(code) == text


@contextmanager
def hosted() -> Iterator[language_pb2_grpc.LanguageRuntimeStub]:
    """A host process; at the end its engine is gone, which must end it without a word."""
    with started("-m", "bundled_plugins.language_host", "127.0.0.1:1") as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
                yield language_pb2_grpc.LanguageRuntimeStub(channel)
            process.stdin.close()
            assert process.wait(15) == 0
            assert process.stderr.read() == b""
        finally:
            process.kill()


def test_cancel_does_not_end_the_host() -> None:
    with hosted() as host:
        for _ in range(2):
            host.Cancel(empty_pb2.Empty(), timeout=5)
            assert host.GetPluginInfo(empty_pb2.Empty(), timeout=5).version == "3.259.0"


def test_cancel_interrupts_the_running_program(tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho started > $PWD/started\nexec sleep 3600\n")
    python.chmod(0o755)
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path))
    info.options.update({"virtualenv": "env"})
    with hosted() as host:
        running = host.Run.future(language_pb2.RunRequest(info=info, pwd=str(tmp_path)))
        until((tmp_path / "started").exists, 10, lambda: f"no program; Run: {running}")

        host.Cancel(empty_pb2.Empty(), timeout=5)

        assert running.result(5) == language_pb2.RunResponse(bail=True)


def test_policy_pack_ends_when_the_engine_drops_its_stream(tmp_path: Path, doomed: list[int]) -> None:
    (tmp_path / "__main__.py").write_text(
        "import os, time\nfrom pathlib import Path\nPath('id').write_text(str(os.getpid()))\ntime.sleep(3600)\n"
    )
    (tmp_path / "env").symlink_to(sys.prefix)
    written = tmp_path / "id"
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path))
    info.options.update({"virtualenv": "env"})
    request = language_pb2.RunPluginRequest(kind="analyzer", pwd=str(tmp_path), args=["127.0.0.1:1"], info=info)
    with hosted() as host:
        stream: Any = host.RunPlugin(request)
        with grpc.insecure_channel(f"127.0.0.1:{int(next(stream).stdout)}") as channel:
            analyzer = analyzer_pb2_grpc.AnalyzerStub(channel)
            configuring = analyzer.ConfigureStack.future(analyzer_pb2.AnalyzerStackConfigureRequest())
            until(written.exists, 20, lambda: f"no pack; ConfigureStack: {configuring}")
        until(lambda: written.exists() and written.read_text() != "", 20, lambda: "no plugin")
        plugin = int(written.read_text())
        doomed.append(plugin)
        assert not gone([plugin])

        stream.cancel()

        until(lambda: gone([plugin]), 8, lambda: f"plugin {plugin} lives")


def test_what_is_not_supported_is_refused_by_name(tmp_path: Path) -> None:
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path))
    with hosted() as host:
        for stream, reason in (
            (host.InstallDependencies(language_pb2.InstallDependenciesRequest(info=info)), "`pulumi install` is not"),
            (
                host.RunPlugin(language_pb2.RunPluginRequest(kind="resource", info=info)),
                "plugins of the kind 'resource'",
            ),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                next(iter(stream))
            assert str(refused.value.details()).startswith(reason)


def test_what_cannot_be_run_is_an_error_of_the_stack() -> None:
    engine = Engine()
    host = LanguageHost(engine.address)
    try:
        response = host.Run(language_pb2.RunRequest(attach_debugger=True), None)  # type: ignore[arg-type]
    finally:
        engine.stop()
    assert response == language_pb2.RunResponse(bail=True)
    assert [each.text for each in engine.messages] == [
        "the bundled Python language host cannot attach a debugger; run without it"
    ]
