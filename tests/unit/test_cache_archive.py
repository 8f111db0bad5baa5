"""The cache as a file: complete or refused, and nothing of a refused one stays."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.platform import cache, cache_archive

_QUIET = Progress(quiet=True)


def _build(directory: Path) -> None:
    (directory / "bin").mkdir()
    (directory / "bin" / "tool").write_text("#!/bin/sh\n")
    (directory / "bin" / "tool").chmod(0o755)
    (directory / "link").symlink_to("bin/tool")


def _never(directory: Path) -> None:
    raise AssertionError("it was in the file")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with two entries, and an empty cache."""
    monkeypatch.setenv("OVERLAB_CACHE", str(tmp_path / "cache"))
    for kind in ("rootfs", "images", "image"):
        cache.entry(kind, {"a": 1}, _build, _QUIET)
    cache_archive.write(tmp_path / "file.tar", _QUIET)
    monkeypatch.setenv("OVERLAB_CACHE", str(tmp_path / "other" / "cache"))
    return tmp_path / "file.tar"


def test_an_imported_entry_is_not_built_again(file: Path, tmp_path: Path) -> None:
    assert sorted(one.parent.name for one in cache_archive.read(file, _QUIET)) == ["images", "rootfs"]
    content = cache.entry("rootfs", {"a": 1}, _never, _QUIET)
    assert (content / "link").read_text() == "#!/bin/sh\n"
    assert (content / "bin" / "tool").stat().st_mode & 0o777 == 0o755
    assert [one.problem for one in cache.inspect_entries(full=True)] == [None, None]
    assert not list((tmp_path / "other" / "cache").glob(".import-*"))
    assert cache_archive.read(file, _QUIET) == []


def test_what_is_built_from_other_entries_is_not_in_the_file(file: Path) -> None:
    cache_archive.read(file, _QUIET)
    assert cache.find("image", {"a": 1}) is None


@pytest.mark.parametrize("changed", ["content", "manifest", "extra"])
def test_an_entry_that_does_not_match_its_checksums_is_refused(file: Path, tmp_path: Path, changed: str) -> None:
    forged = tmp_path / "forged.tar"
    with tarfile.open(file) as old, tarfile.open(forged, "w") as new:
        for member in old:
            data = old.extractfile(member).read() if member.isreg() else b""  # type: ignore[union-attr]
            if changed == "content" and member.name.endswith("bin/tool"):
                data = b"#!/bin/no\n"
            if changed == "manifest" and member.name.endswith(cache.MANIFEST):
                data = json.dumps({"files": {}}).encode()
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
        if changed == "extra":
            name = next(one.name for one in old.getmembers() if one.name.endswith("content"))
            new.addfile(tarfile.TarInfo(f"{name}/extra"))
    with pytest.raises(OverlabError, match="is damaged: "):
        cache_archive.read(forged, _QUIET)
    assert cache.inspect_entries() == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../x/y", "rootfs/../../x", "rootfs/short/content", "x"])
def test_a_name_that_is_no_entry_is_refused(file: Path, tmp_path: Path, name: str) -> None:
    forged = tmp_path / "forged.tar"
    with tarfile.open(forged, "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(OverlabError, match="no file of overlab's cache"):
        cache_archive.read(forged, _QUIET)


def test_a_link_out_of_the_file_is_refused(file: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged.tar"
    link = tarfile.TarInfo(f"rootfs/{'0' * 32}/content")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    with tarfile.open(forged, "w") as tar:
        tar.addfile(link)
    with pytest.raises(OverlabError, match="cannot be read"):
        cache_archive.read(forged, _QUIET)


def test_another_file_than_the_one_that_was_sent_is_refused(file: Path) -> None:
    with pytest.raises(OverlabError, match="has SHA-256"):
        cache_archive.read(file, _QUIET, "0" * 64)
    assert cache_archive.read(file, _QUIET, cache.file_digest(file))


def test_a_damaged_or_an_empty_cache_is_not_written(file: Path, tmp_path: Path) -> None:
    with pytest.raises(OverlabError, match="has none of"):
        cache_archive.write(tmp_path / "new.tar", _QUIET)
    cache_archive.read(file, _QUIET)
    (cache.entry("rootfs", {"a": 1}, _never, _QUIET) / "bin" / "tool").write_text("#!/bin/no\n")
    with pytest.raises(OverlabError, match="damaged"):
        cache_archive.write(tmp_path / "new.tar", _QUIET)
    assert not (tmp_path / "new.tar").exists()


def test_something_else_is_no_such_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    with pytest.raises(OverlabError, match="cannot be read"):
        cache_archive.read(tmp_path / "text", _QUIET)
