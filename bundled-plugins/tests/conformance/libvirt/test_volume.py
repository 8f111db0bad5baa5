"""Volumes on a real libvirtd."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bundled_plugins.runtime.values import UNKNOWN

from conformance.harness import CallFailed, Refused
from conformance.libvirt.conftest import VOLUME, Bench

MIB = 1 << 20


def image(path: Path, format: str = "qcow2", size: str = "8M") -> str:
    subprocess.run(["qemu-img", "create", "-q", "-f", format, path, size], check=True)
    return str(path)


def sparse(path: Path) -> str:
    """A raw image: 4 KiB of zeros in a hole, data, a large hole, data at the end."""
    with path.open("wb") as file:
        file.truncate(64 * MIB)
        for offset in (1 * MIB, 63 * MIB):
            file.seek(offset)
            file.write(os.urandom(MIB))
    return str(path)


def test_an_empty_volume_has_the_size_and_format_asked_for(bench: Bench) -> None:
    bench.pool()
    volume = bench.volume("disk", size=3 * MIB)
    assert volume.id == str(bench.directory / "pool" / "disk.img")
    assert (volume["size"], volume["format"]) == (3 * MIB, "qcow2")
    assert volume.up(bench.volume_program("disk", size=3 * MIB)) == "same"
    assert volume.refresh()
    assert not volume.plan(bench.volume_program("disk", size=3 * MIB)).changed
    assert not volume.plan({"name": "disk.img", "pool": bench.named("pool")}).changed


@pytest.mark.bundled_only("file modes")
def test_only_its_owner_reads_a_volume(bench: Bench) -> None:
    """It holds a node's keys, and the pool's directory may be open to other users."""
    bench.pool()
    for volume in (bench.volume("disk", size=MIB), bench.volume("base", source=image(bench.directory / "b.qcow2"))):
        assert Path(volume.id).stat().st_mode & 0o777 == 0o600


def test_an_image_is_copied_bit_by_bit_and_shows_its_virtual_size(bench: Bench) -> None:
    bench.pool()
    source = image(bench.directory / "base.qcow2", size="32M")
    volume = bench.volume("base", source=source)
    assert Path(volume.id).read_bytes() == Path(source).read_bytes()
    assert (volume["size"], volume["format"]) == (32 * MIB, "qcow2")
    program = bench.volume_program("base", source=source)
    assert volume.up(program) == "same"
    volume.refresh()
    assert not volume.plan(program).changed


@pytest.mark.bundled_only("plans")
def test_holes_stay_holes_and_read_as_zeros(bench: Bench) -> None:
    bench.pool()
    source = sparse(bench.directory / "sparse.raw")
    volume = bench.volume("base", source=f"file://{source}")
    copy = Path(volume.id)
    assert copy.read_bytes() == Path(source).read_bytes()
    assert copy.stat().st_blocks * 512 < 8 * MIB
    assert (volume["size"], volume["format"]) == (64 * MIB, "raw")


def test_an_existing_volume_is_adopted_and_overwritten_completely(bench: Bench) -> None:
    """Holes of the new image must not let the old content through."""
    pool = bench.pool()
    old = Path(str(pool["target"]["path"]), "base.img")
    old.write_bytes(b"\xff" * 64 * MIB)
    source = sparse(bench.directory / "sparse.raw")
    volume = bench.volume("base", source=source)
    assert old.read_bytes() == Path(source).read_bytes()
    assert volume.id == str(old)


def test_an_overlay_takes_its_size_from_the_base_or_is_larger(bench: Bench) -> None:
    bench.pool()
    base = bench.volume("base", source=image(bench.directory / "b.qcow2"))
    same = bench.volume("same", baseVolumeId=base.id)
    larger = bench.volume("larger", baseVolumeId=base.id, size=16 * MIB)
    named = bench.volume("named", baseVolumeName="base.img")
    assert [v["size"] for v in (same, larger, named)] == [8 * MIB, 16 * MIB, 8 * MIB]
    described = subprocess.run(["qemu-img", "info", same.id], capture_output=True, text=True, check=True).stdout
    assert f"backing file: {base.id}" in described
    assert larger.up(bench.volume_program("larger", baseVolumeId=base.id, size=16 * MIB)) == "same"
    small = bench.resource(VOLUME, "small")
    with pytest.raises(CallFailed, match="shouldn't be smaller than the backing store"):
        small.up(bench.volume_program("small", baseVolumeId=base.id, size=4 * MIB))
    with pytest.raises(CallFailed, match="can't retrieve volume ID '/no/such': Storage volume not found"):
        small.up(bench.volume_program("small", baseVolumeId="/no/such"))


@pytest.mark.parametrize(
    "change",
    [
        {"size": 2 * MIB},
        {"format": "raw"},
        {"pool": "other"},
        {"name": "other"},
        {"baseVolumeId": "/x"},
        {"baseVolumeId": UNKNOWN},
        {"pool": UNKNOWN},
        {"source": "/x"},
    ],
    ids=str,
)
def test_every_change_replaces_and_deletes_first(bench: Bench, change: dict[str, Any]) -> None:
    bench.pool()
    volume = bench.volume("disk")
    program = bench.volume_program("disk") | change
    if "source" in change:
        del program["size"]
    diff = volume.plan(program)
    assert diff.replace
    assert diff.delete_before_replace


def test_a_replaced_volume_has_the_new_content(bench: Bench) -> None:
    bench.pool()
    volume = bench.volume("base", source=image(bench.directory / "one.qcow2"))
    two = image(bench.directory / "two.raw", "raw", "5M")
    assert volume.up(bench.volume_program("base", source=two)) == "replace"
    assert (volume["size"], volume["format"]) == (5 * MIB, "raw")


@pytest.mark.bundled_only("plans")
@pytest.mark.parametrize(("given", "stored"), [(1000, 1024), (MIB + 1, MIB + 1024)])
def test_a_size_that_qcow2_rounds_up_does_not_replace_at_every_up(bench: Bench, given: int, stored: int) -> None:
    bench.pool()
    volume = bench.volume("disk", size=given)
    assert volume["size"] == stored
    assert volume.up(bench.volume_program("disk", size=given)) == "same"


def test_a_file_removed_outside_pulumi_is_gone_after_refresh(bench: Bench) -> None:
    bench.pool()
    volume = bench.volume("disk")
    Path(volume.id).unlink()
    assert not volume.refresh()
    assert volume.up(bench.volume_program("disk")) == "create"


def test_deleting_what_is_gone_is_fine(bench: Bench) -> None:
    pool = bench.pool()
    volume = bench.volume("disk")
    other = bench.volume("other")
    Path(volume.id).unlink()
    volume.destroy()
    live = bench.connection.storagePoolLookupByUUIDString(pool.id)
    live.destroy()
    live.undefine()
    other.destroy()


@pytest.mark.bundled_only("objects gone")
def test_an_inactive_pool_is_started_by_read_create_and_delete(bench: Bench) -> None:
    pool = bench.pool()
    volume = bench.volume("disk")
    live = bench.connection.storagePoolLookupByUUIDString(pool.id)
    live.destroy()
    assert volume.refresh()
    assert live.isActive()
    live.destroy()
    bench.volume("other")
    live.destroy()
    volume.destroy()
    assert not Path(volume.id or bench.directory / "pool" / "disk.img").exists()


@pytest.mark.bundled_only("wording")
def test_a_missing_pool_is_an_error_at_once(bench: Bench) -> None:
    begun = time.monotonic()
    with pytest.raises(CallFailed, match=r"can't find storage pool 'nowhere'"):
        bench.resource(VOLUME, "disk").up({"name": "disk.img", "pool": "nowhere"})
    assert time.monotonic() - begun < 5


@pytest.mark.bundled_only("refusals")
@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"source": "/x", "size": 5}, "'size' can't be specified when also 'source' is given"),
        ({"source": "/x", "baseVolumeId": "/y"}, "'baseVolumeId' can't be specified when also 'source' is given"),
        ({"baseVolumeName": "x", "baseVolumeId": "/y"}, "'baseVolumeName' can't be specified"),
        ({"size": "big"}, "size"),
        ({"wipe": True}, "'wipe' is no property of libvirt:index/volume:Volume; check its spelling"),
        ({"xml": {"xslt": "<x/>"}}, "'xml' is not supported by the bundled plugin"),
    ],
)
def test_wrong_inputs_are_refused(bench: Bench, wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(Refused, match=match):
        bench.plugin.check(VOLUME, "disk", {"name": "disk.img", "pool": "p"} | wrong)


def test_sources_that_cannot_be_read_are_errors(bench: Bench) -> None:
    bench.pool()
    volume = bench.resource(VOLUME, "disk")
    for source, match in (
        (f"{bench.directory}/none", "error while determining image type for .*/none: No such file"),
        ("ftp://host/x", "don't know how to read"),
    ):
        with pytest.raises(CallFailed, match=match):
            volume.up(bench.volume_program("disk", source=source))
    with pytest.raises(CallFailed, match="is qcow2, but the volume's format is 'raw'"):
        volume.up(bench.volume_program("disk", source=image(bench.directory / "b.qcow2"), format="raw"))
    assert list((bench.directory / "pool").iterdir()) == []


def test_the_computed_are_unknown_in_a_preview(bench: Bench) -> None:
    inputs = bench.plugin.check(VOLUME, "disk", {"name": "disk.img", "pool": UNKNOWN, "baseVolumeId": UNKNOWN})
    planned = bench.plugin.preview(VOLUME, "disk", inputs)
    assert planned["size"] is UNKNOWN
    assert planned["format"] is UNKNOWN
    assert "source" not in planned


def test_import(bench: Bench) -> None:
    bench.pool()
    volume = bench.volume("disk")
    live = bench.plugin.read(VOLUME, "disk", volume.id)
    assert live is not None
    assert live.outputs == {"name": "disk.img", "pool": bench.named("pool"), "size": MIB, "format": "qcow2"}


@pytest.mark.bundled_only("limits")
def test_a_cancelled_upload_ends_soon_and_leaves_no_volume(bench: Bench) -> None:
    """The upload's stream is slowed down by nothing but its size; Cancel comes while it runs."""
    from conformance.harness import running

    bench.pool()
    source = bench.directory / "large.raw"
    with source.open("wb") as file:
        for _ in range(768):
            file.write(b"\xaa" * MIB)
    with running("bundled_plugins.libvirt", {"uri": bench.hypervisor.uri}) as plugin:
        volume = plugin.resource(VOLUME, bench.named("base"))
        failures: list[CallFailed] = []

        def up() -> None:
            try:
                volume.up(bench.volume_program("base", source=str(source)))
            except CallFailed as failure:
                failures.append(failure)

        thread = threading.Thread(target=up)
        thread.start()
        target = bench.directory / "pool" / "base.img"
        begun = time.monotonic()
        while not (target.exists() and target.stat().st_blocks) and time.monotonic() - begun < 20:
            time.sleep(0.005)
        plugin.cancel()
        begun = time.monotonic()
        thread.join(20)
        assert time.monotonic() - begun < 5
    assert [failure.message for failure in failures] == ["cancelled"]
    assert not target.exists()


@pytest.mark.bundled_only("objects gone")
def test_uploads_into_one_pool_and_refreshes_do_not_disturb_each_other(bench: Bench) -> None:
    bench.pool()
    source = bench.directory / "some.raw"
    source.write_bytes(os.urandom(MIB) * 32)
    failures: list[Exception] = []
    volumes = [bench.resource(VOLUME, f"v{index}") for index in range(6)]

    def up(index: int) -> None:
        try:
            volumes[index].up(bench.volume_program(f"v{index}", source=str(source)))
            volumes[index].refresh()
        except Exception as failure:  # noqa: BLE001  # reported by the test's thread
            failures.append(failure)

    threads = [threading.Thread(target=up, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert all(Path(volume.id).read_bytes() == source.read_bytes() for volume in volumes)
