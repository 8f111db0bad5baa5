"""The engine's packages as they are carried to a node: same content, cheaper to unpack, same bytes each time."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from overlab.platform import debs

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")

_CONTROL = (
    "Package: tiny\nVersion: 1.0-1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: tiny\n"
)


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(_CONTROL)
    (tree / "DEBIAN/postinst").write_text("#!/bin/sh\n")
    (tree / "DEBIAN/postinst").chmod(0o755)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/tiny").write_text("tiny" * 1000)
    (tree / "usr/bin/tiny").chmod(0o755)
    target = tmp_path / "tiny_1.0-1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, target], check=True, capture_output=True)
    return target


def listing(deb: Path) -> tuple[list[str], list[str]]:
    contents = subprocess.check_output(["dpkg-deb", "--contents", deb], text=True).splitlines()
    members = subprocess.check_output(["ar", "t", deb], text=True).split()
    return [" ".join(line.split()[:3] + line.split()[5:]) for line in contents], members


@pytest.mark.skipif(shutil.which("ar") is None, reason="binutils is not installed")
def test_a_repacked_package_has_the_same_files_compressed_by_gzip(
    deb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERLAB_CACHE", str(tmp_path / "cache"))
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    repacked = debs.repack(deb, first)
    assert repacked.name == deb.name
    assert listing(deb)[0] == listing(repacked)[0]
    assert "data.tar.xz" in listing(deb)[1]
    assert "data.tar.gz" in listing(repacked)[1]
    field = ["dpkg-deb", "--field"]
    assert subprocess.check_output([*field, repacked]) == subprocess.check_output([*field, deb])
    assert debs.repack(deb, second).read_bytes() == repacked.read_bytes()
    assert int(repacked.read_bytes()[24:36]) == 0, "the archive carries the time of its making"


def test_a_bundle_has_the_packages_at_its_top_level_and_is_the_same_each_time(deb: Path, tmp_path: Path) -> None:
    other = deb.with_name("another_2_all.deb")
    other.write_bytes(b"not looked into")
    debs.bundle([deb, other], tmp_path / "1.tar")
    other.touch()
    debs.bundle([other, deb], tmp_path / "2.tar")
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    with tarfile.open(tmp_path / "1.tar") as tar:
        assert tar.getnames() == ["another_2_all.deb", "tiny_1.0-1_all.deb"]
