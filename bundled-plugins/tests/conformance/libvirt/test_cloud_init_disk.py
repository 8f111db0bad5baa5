"""Cloud-init disks on a real libvirtd."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from bundled_plugins.libvirt import iso
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.values import Properties, Secret

from conformance.harness import CallFailed, running
from conformance.libvirt.conftest import ISO, Bench

USER = "#cloud-config\npassword: hunter2-äöü\n"
META = "instance-id: vm1\nlocal-hostname: vm1\n"


def program(bench: Bench, **more: object) -> Properties:
    return {"name": "vm1.iso", "pool": bench.named("pool"), "userData": USER, "metaData": META} | more


def test_the_disk_carries_the_texts_under_their_names(bench: Bench) -> None:
    bench.pool()
    disk = bench.resource(ISO, "seed")
    assert disk.up(program(bench, networkConfig="version: 2\n")) == "create"
    key, unique = disk.id.split(";")
    assert key == str(bench.directory / "pool" / "vm1.iso")
    assert len(unique) == 36
    listed = subprocess.run(
        ["isoinfo", "-R", "-f", "-i", key], capture_output=True, text=True, check=True
    ).stdout.split()
    assert listed == ["/meta-data", "/network-config", "/user-data"]
    label = subprocess.run(["isoinfo", "-d", "-i", key], capture_output=True, text=True, check=True).stdout
    assert "Volume id: cidata" in label
    assert iso.texts_of(Path(key).read_bytes()) == {
        "userData": USER,
        "metaData": META,
        "networkConfig": "version: 2\n",
    }


@pytest.mark.bundled_only("file modes")
def test_only_its_owner_reads_the_disk(bench: Bench) -> None:
    bench.pool()
    disk = bench.resource(ISO, "seed")
    disk.up(program(bench))
    assert Path(disk.id.split(";")[0]).stat().st_mode & 0o777 == 0o600


def test_no_change_and_no_drift(bench: Bench) -> None:
    bench.pool()
    disk = bench.resource(ISO, "seed")
    disk.up(program(bench))
    assert disk.up(program(bench)) == "same"
    before = disk.id
    assert disk.refresh()
    assert disk.id == before
    assert not disk.plan(program(bench)).changed


def test_a_changed_text_makes_another_disk_with_another_id(bench: Bench) -> None:
    bench.pool()
    disk = bench.resource(ISO, "seed")
    disk.up(program(bench))
    before = disk.id
    diff = disk.plan(program(bench, userData="#cloud-config\n"))
    assert diff.paths == {"userData": "UPDATE_REPLACE"}
    assert diff.delete_before_replace
    assert disk.up(program(bench, userData="#cloud-config\n")) == "replace"
    assert disk.id.split(";")[0] == before.split(";")[0]
    assert disk.id != before


def test_an_edit_outside_pulumi_shows(bench: Bench) -> None:
    bench.pool()
    disk = bench.resource(ISO, "seed")
    disk.up(program(bench))
    Path(disk.id.split(";")[0]).write_bytes(iso.made({"userData": "other", "metaData": META}))
    disk.refresh()
    assert disk["userData"] == "other"
    assert disk.plan(program(bench)).paths == {"userData": "UPDATE_REPLACE"}


def test_a_secret_stays_secret(bench: Bench) -> None:
    bench.pool()
    disk = bench.resource(ISO, "seed")
    disk.up(program(bench, userData=Secret(USER)))
    assert disk["userData"] == Secret(USER)
    assert disk["metaData"] == META
    disk.refresh()
    assert disk["userData"] == Secret(USER)
    assert disk.inputs["userData"] == Secret(USER)
    assert not disk.plan(program(bench, userData=Secret(USER))).changed


def test_a_secret_is_in_no_message(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    text = "hunter2-" * 4
    with running("bundled_plugins.libvirt", {"uri": bench.hypervisor.uri}, env={"PATH": "/nonexistent"}) as plugin:
        disk = plugin.resource(ISO, "seed")
        with pytest.raises(CallFailed, match="mkisofs is not on PATH; install genisoimage") as failed:
            disk.up(program(bench, userData=Secret(text)))
        assert text not in failed.value.message
        with pytest.raises(CallFailed) as failed:
            plugin.create(ISO, "seed", program(bench, userData=Secret(text), metaData=5))
        assert text not in failed.value.message
    assert text not in capfd.readouterr().err


def test_a_disk_removed_outside_pulumi_is_gone(bench: Bench) -> None:
    bench.pool()
    disk = bench.resource(ISO, "seed")
    disk.up(program(bench))
    Path(disk.id.split(";")[0]).unlink()
    assert not disk.refresh()
    disk.up(program(bench))
    Path(disk.id.split(";")[0]).unlink()
    disk.destroy()


@pytest.mark.bundled_only("objects gone")
def test_destroy_removes_the_volume_even_of_a_stopped_pool(bench: Bench) -> None:
    pool = bench.pool()
    disk = bench.resource(ISO, "seed")
    disk.up(program(bench))
    live = bench.connection.storagePoolLookupByUUIDString(pool.id)
    live.destroy()
    assert disk.refresh()
    live.destroy()
    disk.destroy()
    assert list((bench.directory / "pool").iterdir()) == []


def test_an_existing_volume_of_that_name_is_an_error(bench: Bench) -> None:
    bench.pool()
    (bench.directory / "pool" / "vm1.iso").write_bytes(b"precious")
    disk = bench.resource(ISO, "seed")
    with pytest.raises(CallFailed, match=r"error creating libvirt volume for cloudinit device vm1\.iso: .*exists alr"):
        disk.up(program(bench))
    assert (bench.directory / "pool" / "vm1.iso").read_bytes() == b"precious"


@pytest.mark.bundled_only("leftovers")
@pytest.mark.parametrize("left", ["whole", "blank"])
def test_a_disk_left_by_a_killed_run_is_taken_over(bench: Bench, left: str) -> None:
    bench.pool()
    path = bench.directory / "pool" / "vm1.iso"
    path.write_bytes(iso.made({"userData": USER, "metaData": META}) if left == "whole" else bytes(100_000))
    disk = bench.resource(ISO, "seed")
    assert disk.up(program(bench)) == "create"
    assert disk.refresh()
    assert disk["userData"] == USER


def test_a_damaged_disk_is_an_error_that_names_it(bench: Bench) -> None:
    bench.pool()
    disk = bench.resource(ISO, "seed")
    disk.up(program(bench))
    Path(disk.id.split(";")[0]).write_bytes(b"no iso")
    with pytest.raises(CallFailed, match=r"vm1.iso cannot be read: no ISO 9660"):
        disk.refresh()


def test_an_id_of_something_else_is_refused(bench: Bench) -> None:
    with pytest.raises(CallFailed, match="/x is not a valid key"):
        bench.plugin.read(ISO, "seed", "/x")


@pytest.mark.bundled_only("internals")
@pytest.mark.parametrize("texts", [{}, {"userData": "x" * 100_000}, {"networkConfig": "ünïcödé\r\n"}])
def test_any_text_survives_the_disk(texts: dict[str, str]) -> None:
    if shutil.which("mkisofs") is None:
        pytest.skip("needs mkisofs")
    empty = {"userData": "", "metaData": "", "networkConfig": ""}
    assert iso.texts_of(iso.made(texts)) == empty | texts


@pytest.mark.bundled_only("internals")
def test_a_cut_disk_is_no_disk() -> None:
    if shutil.which("mkisofs") is None:
        pytest.skip("needs mkisofs")
    whole = iso.made({"userData": USER})
    for length in (0, 100, 33_000, 40_000, 50_000, 60_000):
        with pytest.raises(iso.NotAnIso):
            iso.texts_of(whole[:length])


@pytest.mark.bundled_only("internals")
def test_the_texts_stay_in_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    iso.made({"userData": USER})
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ProviderError):
        iso.made({"userData": USER})
    assert list(tmp_path.iterdir()) == []
