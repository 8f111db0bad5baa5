"""The cache never hands out an entry that is incomplete, and never builds one twice."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.platform import cache

_spawn = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OVERLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    """Writes two files and counts how often it was asked to."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self, entry_dir: Path) -> None:
        self.builds += 1
        (entry_dir / "sub").mkdir()
        (entry_dir / "sub" / "data").write_bytes(b"x" * 1000)
        (entry_dir / "link").symlink_to("sub/data")


@pytest.fixture
def build() -> Builder:
    return Builder()


def entry(build: Callable[[Path], None], **parts: object) -> Path:
    return cache.entry("thing", parts, build, Progress(quiet=True))


def test_built_once_and_found_again(build: Builder) -> None:
    assert entry(build, a=1, b=2) == entry(build, b=2, a=1)
    assert build.builds == 1
    assert cache.find("thing", {"a": 1, "b": 2})


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": 1, "b": None}, {}])
def test_other_inputs_are_another_entry(build: Builder, other: dict[str, object]) -> None:
    assert entry(build, a=1) != cache.entry("thing", other, build, Progress(quiet=True))
    assert build.builds == 2


def _truncate(content: Path) -> None:
    (content / "sub" / "data").write_bytes(b"x" * 10)


def _flip_bit_and_keep_size(content: Path) -> None:
    (content / "sub" / "data").write_bytes(b"y" + b"x" * 999)


def _remove_file(content: Path) -> None:
    (content / "sub" / "data").unlink()


def _add_file(content: Path) -> None:
    (content / "sub" / "stray").touch()


def _retarget_link(content: Path) -> None:
    (content / "link").unlink()
    (content / "link").symlink_to("elsewhere")


def _break_manifest(content: Path) -> None:
    (content.parent / "manifest.json").write_text("{")


def _remove_manifest(content: Path) -> None:
    (content.parent / "manifest.json").unlink()


def _remove_content(content: Path) -> None:
    for path in (content / "sub" / "data", content / "link"):
        path.unlink()
    (content / "sub").rmdir()
    content.rmdir()


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _flip_bit_and_keep_size,
        _remove_file,
        _add_file,
        _retarget_link,
        _break_manifest,
        _remove_manifest,
        _remove_content,
    ],
)
def test_damaged_entry_is_built_again(build: Builder, damage: Callable[[Path], None]) -> None:
    content = entry(build)
    damage(content)
    assert not cache.find("thing", {})
    assert entry(build) == content
    assert build.builds == 2
    assert (content / "sub" / "data").read_bytes() == b"x" * 1000
    assert [state.problem for state in cache.inspect_entries(full=True)] == [None]


def test_corruption_with_an_unchanged_time_is_found_by_the_full_check_only(build: Builder) -> None:
    content = entry(build)
    data = content / "sub" / "data"
    times = (data.stat().st_atime_ns, data.stat().st_mtime_ns)
    data.write_bytes(b"y" * 1000)
    os.utime(data, ns=times)
    assert cache.inspect_entries()[0].problem is None
    [found] = cache.inspect_entries(full=True)
    assert found.problem == "sub/data was changed"
    shutil.rmtree(found.directory)  # as `doctor` proposes
    entry(build)
    assert build.builds == 2
    assert data.read_bytes() == b"x" * 1000


def test_touched_but_equal_file_is_kept_and_trusted_again(build: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    content = entry(build)
    os.utime(content / "sub" / "data", (1, 1))
    entry(build)
    assert build.builds == 1
    monkeypatch.setattr(cache, "file_digest", lambda path: pytest.fail(f"{path} was read again"))
    assert cache.find("thing", {})


def test_failed_build_leaves_nothing_and_passes_on(root: Path) -> None:
    def fail(entry_dir: Path) -> None:
        (entry_dir / "half").touch()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        entry(fail)
    assert [path for path in (root / "thing").iterdir() if not path.name.endswith(".lock")] == []


def test_too_little_space_is_refused_before_building(build: Builder) -> None:
    with pytest.raises(OverlabError, match=r"(?s)no space left to build thing.*OVERLAB_CACHE"):
        cache.entry("thing", {}, build, Progress(quiet=True), space_mib=1 << 40)
    assert build.builds == 0


def test_full_disk_while_building_is_a_sentence() -> None:
    def fill(entry_dir: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OverlabError, match="no space left to build thing"):
        entry(fill)


# -- several processes -----------------------------------------------------------------------------


def _slow_build(entry_dir: Path) -> None:
    (entry_dir / "pid").write_text(str(os.getpid()))
    with Path(os.environ["BUILDS"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(float(os.environ["BUILD_S"]))
    (entry_dir / "done").touch()


def _use(result: str) -> None:
    content = cache.entry("thing", {}, _slow_build, Progress(quiet=True))
    assert (content / "done").exists()
    Path(result).write_text((content / "pid").read_text())


def _start(result: Path) -> SpawnProcess:
    process = _spawn.Process(target=_use, args=(str(result),))
    process.start()
    return process


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BUILDS", str(tmp_path / "builds"))
    return tmp_path / "builds"


def _wait_for(path: Path) -> None:
    limit = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < limit, f"{path} did not appear"
        time.sleep(0.01)


def test_two_processes_race_and_one_builds(tmp_path: Path, builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_S", "1")
    processes = [_start(tmp_path / name) for name in ("first", "second", "third")]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(builds.read_text().split()) == 1
    assert {(tmp_path / name).read_text() for name in ("first", "second", "third")} == {builds.read_text().strip()}


def test_killed_builder_leaves_no_entry_and_the_next_one_builds(
    root: Path, tmp_path: Path, builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILD_S", "600")
    killed = _start(tmp_path / "killed")
    _wait_for(builds)
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join(30)
    assert len(list((root / "thing").glob(".tmp-*"))) == 1
    assert not cache.find("thing", {})
    monkeypatch.setenv("BUILD_S", "0")
    _use(str(tmp_path / "next"))
    assert list((root / "thing").glob(".tmp-*")) == []


def test_abandoned_build_of_another_key_is_removed_but_a_running_one_is_not(
    root: Path, tmp_path: Path, builds: Path, build: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILD_S", "600")
    running = _start(tmp_path / "running")
    try:
        _wait_for(builds)
        abandoned = root / "thing" / f".tmp-{'0' * 32}-dead"
        abandoned.mkdir()
        entry(build, another=True)
        assert not abandoned.exists()
        assert len(list((root / "thing").glob(".tmp-*"))) == 1
    finally:
        running.kill()
        running.join(30)


def test_waiting_shows_for_whom(tmp_path: Path, builds: Path, build: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_S", "1.5")
    running = _start(tmp_path / "running")
    _wait_for(builds)
    seen: list[str] = []
    progress = Progress(quiet=True)
    monkeypatch.setattr(progress, "waiting_for", seen.append)
    cache.entry("thing", {}, build, progress)
    running.join(30)
    assert build.builds == 0
    assert f"process {running.pid} " in seen[0]


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_cache_that_anyone_may_write_is_not_run_from(build: Builder, root: Path, mode: int) -> None:
    entry(build)
    root.chmod(mode)
    with pytest.raises(OverlabError, match="may be written by others"):
        entry(build)
    with pytest.raises(OverlabError, match="may be written by others"):
        cache.find("thing", {})
    root.chmod(0o755)
    assert cache.find("thing", {})


@pytest.mark.root
def test_a_cache_of_another_user_is_not_run_from(build: Builder, root: Path) -> None:
    entry(build)
    os.chown(root, 12345, 12345)
    with pytest.raises(OverlabError, match="owner 12345"):
        cache.find("thing", {})
