"""Removal: only below the lab's own directories, no link followed, no mount crossed, whatever the names are."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from overlab.cli import app
from overlab.core import removal
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths, run_root, state_root

HOSTILE = [
    "..",
    ".",
    "/etc",
    "../x",
    "a/../../x",
    "",
    "-rf",
    "~",
    "a\n",
    "a\0b",
    "$(id)",
    "\x1b[2J",
    "A",
    "é",
    "a" * 99,
]
LINKS = ["{victim}", "{victim}/kept", "/", ".", "..", "nowhere", "../../victim"]

names = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20)
names = names.filter(lambda name: name not in (".", "..")) | st.sampled_from(["...", "-rf", "a b", "\x1b[2J", "*"])
trees = st.recursive(
    st.binary(max_size=3) | st.sampled_from(LINKS),
    lambda inner: st.dictionaries(names, inner, max_size=4),
    max_leaves=9,
)
"""A file's content, a link's target, or the entries of a directory."""


def build(path: Path, tree: bytes | str | dict[str, object], victim: Path) -> None:
    if isinstance(tree, bytes):
        path.write_bytes(tree)
    elif isinstance(tree, str):
        path.symlink_to(tree.format(victim=victim))
    else:
        path.mkdir()
        for name, inner in tree.items():
            assert isinstance(inner, bytes | str | dict)
            build(path / name, inner, victim)


def outside(directory: Path) -> Path:
    """A directory that must survive."""
    (directory / "victim" / "kept").mkdir(parents=True)
    (directory / "victim" / "kept" / "file").write_text("precious")
    return directory / "victim"


def unharmed(victim: Path) -> bool:
    return (victim / "kept" / "file").read_text() == "precious"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@given(st.sampled_from(HOSTILE) | st.text(max_size=30))
def test_only_a_lab_name_becomes_a_path(name: str) -> None:
    try:
        paths = LabPaths(name)
    except OverlabError:
        return
    assert (paths.state.parent, paths.run.parent) == (state_root() / "labs", run_root())
    assert paths.state.name == paths.run.name == name


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_no_lab_name(name: str) -> None:
    with pytest.raises(OverlabError, match="is not a lab's name"):
        LabPaths(name)


@given(tree=trees)
def test_a_tree_is_removed_and_what_its_links_lead_to_stays(tree: bytes | str | dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        victim, labs = outside(directory), directory / "labs"
        labs.mkdir()
        build(labs / "x", tree, victim)
        removal.remove(labs / "x", labs)
        assert not os.path.lexists(labs / "x")
        assert list(labs.iterdir()) == []
        assert unharmed(victim)


@given(st.lists(st.sampled_from(["..", ".", "x", "victim", "kept", "link", "/", ""]), max_size=5).map("/".join))
def test_nothing_outside_is_removed_whatever_the_path(text: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        victim, labs = outside(Path(temporary)), Path(temporary, "labs")
        labs.mkdir()
        (labs / "link").symlink_to(victim)
        for path in (labs / text, Path(f"{labs}/{text}"), Path(text)):
            with contextlib.suppress(OverlabError):
                removal.remove(path, labs)
            assert unharmed(victim)
            assert labs.exists()


def test_a_lab_removes_only_its_own(tmp_path: Path) -> None:
    lab, other = LabPaths("a"), LabPaths("ab")
    for paths in (lab, other):
        paths.backend.mkdir(parents=True)
    for path in (other.state, other.backend, lab.state.parent, lab.state / ".." / "ab", Path("/"), Path("backend")):
        with pytest.raises(OverlabError, match="not removed"):
            lab.remove(path)
    assert other.backend.exists()
    lab.remove(lab.backend)
    assert lab.state.exists()
    lab.remove(lab.state)
    lab.remove(lab.state)
    assert list((tmp_path / "state" / "overlab" / "labs").iterdir()) == [other.state]


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    victim, lab = outside(tmp_path), LabPaths("a")
    lab.state.mkdir(parents=True)
    lab.docker.symlink_to(victim)
    with pytest.raises(OverlabError, match="Not a directory"):
        lab.remove(lab.docker / "kept")
    assert unharmed(victim)
    lab.remove(lab.docker)
    assert unharmed(victim)
    assert not lab.docker.is_symlink()


def test_a_tree_deeper_than_a_path_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    descriptor = os.open(tmp_path / "top", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    try:
        removal.remove(tmp_path / "top", tmp_path)
        assert list(tmp_path.iterdir()) == []
    finally:  # pytest could not remove it
        subprocess.run(["rm", "-rf", tmp_path / "top"], check=True)


# -- the command -----------------------------------------------------------------------------------


def refused(tmp_path: Path, stack: str, run: Callable[[str], tuple[int, str]]) -> bool:
    """Whether the command refuses the name and leaves everything as it is."""
    victim = outside(tmp_path)
    for directory in (tmp_path / "state" / "overlab" / "x", tmp_path / "state" / "overlab" / "labs" / "a" / "b"):
        directory.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    code, error = run(str(victim) if stack == "ABSOLUTE" else stack)
    named = "a stack's name: letters" in error or "is not a lab's name" in error
    return code in (1, 2) and named and sorted(tmp_path.rglob("*")) == before and unharmed(victim)


@pytest.mark.parametrize("stack", ["ABSOLUTE", ".", "..", "../x", "a/../../x", "-s", "a/b", "Upper", "a" * 30])
@pytest.mark.parametrize("options", [["--platform"], ["--platform", "--force"]])
def test_down_of_what_is_no_name_removes_nothing(tmp_path: Path, stack: str, options: list[str]) -> None:
    def run(name: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["down", *options, f"--stack={name}"])
        return done.exit_code, done.stderr

    assert refused(tmp_path, stack, run)


@pytest.mark.slow
@pytest.mark.parametrize("stack", ["ABSOLUTE", ".", "../x"])
def test_the_real_command_removes_nothing_either(tmp_path: Path, stack: str) -> None:
    def run(name: str) -> tuple[int, str]:
        command = [sys.executable, "-c", "from overlab.cli import main; main()", "-s", name, "down", "--platform"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert refused(tmp_path, stack, run)


# -- mounts ----------------------------------------------------------------------------------------


@pytest.fixture(params=["directory", "file", "tmpfs", "the tree itself"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A tree in which something is mounted: of the same file system, or of another."""
    victim, tree = outside(tmp_path), tmp_path / "labs" / "a"
    (tree / "deep" / "dir with space").mkdir(parents=True)
    (tree / "deep" / "file").touch()
    (tree / "first").touch()
    source, target = {
        "directory": (["--bind", str(victim)], tree / "deep" / "dir with space"),
        "file": (["--bind", str(victim / "kept" / "file")], tree / "deep" / "file"),
        "tmpfs": (["-t", "tmpfs", "none"], tree / "deep" / "dir with space"),
        "the tree itself": (["--bind", str(victim)], tree),
    }[request.param]
    subprocess.run(["mount", *source, target], check=True)
    yield target
    subprocess.run(["umount", target], check=True)
    assert unharmed(victim)
    removal.remove(tree, tree.parent)
    assert not tree.exists()


@pytest.mark.root
def test_a_mount_is_named_before_anything_is_removed(mounted: Path, tmp_path: Path) -> None:
    before = sorted((tmp_path / "labs").rglob("*"))
    with pytest.raises(OverlabError) as caught:
        removal.remove(tmp_path / "labs" / "a", tmp_path / "labs")
    assert (caught.value.what.split(": ")[1], caught.value.remedy) == (f"{mounted} is mounted", f"umount {mounted}")
    assert sorted((tmp_path / "labs").rglob("*")) == before


@pytest.mark.root
@pytest.mark.usefixtures("mounted")
def test_a_mount_that_appears_meanwhile_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(removal, "mounts", lambda _: [])
        with pytest.raises(OverlabError, match=r"mount point|busy"):
            removal.remove(tmp_path / "labs" / "a", tmp_path / "labs")
    assert unharmed(tmp_path / "victim")


@pytest.mark.root
def test_root_removes_nothing_below_another_users_directory(tmp_path: Path) -> None:
    (tmp_path / "theirs" / "x").mkdir(parents=True)
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(OverlabError, match="belongs to user 12345"):
        removal.remove(tmp_path / "theirs" / "x", tmp_path / "theirs")
    assert (tmp_path / "theirs" / "x").exists()
