"""Storage pools on a real libvirtd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bundled_plugins.runtime.values import UNKNOWN

from conformance.harness import CallFailed, Refused
from conformance.libvirt.conftest import POOL, Bench


def test_it_makes_its_directory_and_a_second_up_changes_nothing(bench: Bench) -> None:
    pool = bench.pool()
    live = bench.connection.storagePoolLookupByUUIDString(pool.id)
    assert live.isActive()
    assert live.autostart()
    assert (bench.directory / "pool").is_dir()
    assert pool["capacity"] > 0
    assert pool.up(bench.pool_program()) == "same"
    assert pool.refresh()
    assert not pool.plan(bench.pool_program()).changed


def test_destroy_removes_the_directory(bench: Bench) -> None:
    pool = bench.pool()
    pool.destroy()
    assert not (bench.directory / "pool").exists()
    assert bench.pools() == set()


@pytest.mark.bundled_only("leftovers")
def test_a_foreign_file_keeps_the_pool_and_is_reported(bench: Bench) -> None:
    pool = bench.pool()
    (bench.directory / "pool" / "mine").write_text("keep me")
    with pytest.raises(CallFailed, match=r"error deleting storage pool: .*not empty.*remove the files there"):
        pool.destroy()
    live = bench.connection.storagePoolLookupByUUIDString(pool.id)
    assert live.isActive()
    (bench.directory / "pool" / "mine").unlink()
    pool.destroy()
    assert bench.pools() == set()


def test_a_directory_that_is_gone_does_not_block_the_destroy(bench: Bench) -> None:
    pool = bench.pool()
    (bench.directory / "pool").rmdir()
    pool.destroy()
    assert bench.pools() == set()


@pytest.mark.parametrize(
    "change", [{"target": {"path": "/elsewhere"}}, {"name": "other"}, {"target": {"path": UNKNOWN}}]
)
def test_what_replaces(bench: Bench, change: dict[str, Any]) -> None:
    pool = bench.pool()
    diff = pool.plan(bench.pool_program(**change))
    assert diff.replace
    assert diff.delete_before_replace


@pytest.mark.bundled_only("plans")
def test_a_trailing_slash_is_no_change(bench: Bench) -> None:
    pool = bench.pool()
    assert not pool.plan(bench.pool_program(target={"path": f"{bench.directory}/pool/"})).changed


def test_the_deprecated_path_works_and_conflicts_with_the_new_one(bench: Bench) -> None:
    program = {"name": bench.named("pool"), "type": "dir", "path": str(bench.directory / "pool")}
    pool = bench.resource(POOL, "pool")
    assert pool.up(program) == "create"
    assert pool["path"] == str(bench.directory / "pool")
    assert pool.up(program) == "same"
    pool.refresh()
    assert not pool.plan(program).changed
    with pytest.raises(Refused, match="conflicts with"):
        bench.plugin.check(POOL, "pool", program | {"target": {"path": "/x"}})


@pytest.mark.bundled_only("objects gone")
def test_gone_is_gone(bench: Bench) -> None:
    pool = bench.pool()
    live = bench.connection.storagePoolLookupByUUIDString(pool.id)
    live.destroy()
    live.undefine()
    pool.destroy()
    pool = bench.pool()
    live = bench.connection.storagePoolLookupByUUIDString(pool.id)
    live.destroy()
    live.undefine()
    assert not pool.refresh()
    assert pool.up(bench.pool_program()) == "create"


@pytest.mark.bundled_only("objects gone")
def test_an_inactive_pool_is_no_error(bench: Bench) -> None:
    pool = bench.pool()
    bench.connection.storagePoolLookupByUUIDString(pool.id).destroy()
    assert pool.refresh()
    pool.destroy()
    assert not (bench.directory / "pool").exists()


def test_a_name_in_use_is_an_error(bench: Bench) -> None:
    bench.connection.storagePoolDefineXML(
        f"<pool type='dir'><name>{bench.named('pool')}</name><target><path>{bench.directory}/x</path></target></pool>"
    )
    with pytest.raises(CallFailed, match=r"storage pool '.*' already exists"):
        bench.pool()


@pytest.mark.bundled_only("leftovers")
def test_an_object_left_by_a_killed_run_is_recreated(bench: Bench) -> None:
    first = bench.pool()
    forgotten, first.id = first.id, ""
    again = bench.resource(POOL, "pool")
    assert again.up(bench.pool_program()) == "create"
    assert again.id != forgotten


@pytest.mark.bundled_only("leftovers")
def test_a_pool_that_cannot_be_built_leaves_nothing(bench: Bench) -> None:
    (bench.directory / "file").write_text("")
    pool = bench.resource(POOL, "pool")
    with pytest.raises(CallFailed, match=r"error (building|starting|setting up) libvirt storage pool") as failed:
        pool.up(bench.pool_program(target={"path": str(bench.directory / "file" / "pool")}))
    assert failed.value.partial is None
    assert bench.pools() == set()


def test_the_same_path_twice_is_libvirts_own_error(bench: Bench) -> None:
    bench.pool()
    other = bench.resource(POOL, "other")
    with pytest.raises(CallFailed, match=r"error creating libvirt storage pool: .*conflict with pool"):
        other.up(bench.pool_program(name=bench.named("other")))


@pytest.mark.bundled_only("refusals")
@pytest.mark.parametrize(
    ("wrong", "path", "reason"),
    [
        ({"type": "logical"}, "type", "storage pools of type 'logical' are not supported by the bundled plugin"),
        ({"type": 5}, "type", "valid string"),
        ({"permissions": {}}, "permissions", "is no property of libvirt:index/pool:Pool; check its spelling"),
        ({"source": {"name": "vg"}}, "source", "not supported by the bundled plugin"),
    ],
)
def test_wrong_inputs_are_refused_with_their_path(bench: Bench, wrong: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        bench.plugin.check(POOL, "pool", bench.pool_program(**wrong))
    assert reason in refused.value.reason(path)


def test_a_dir_pool_without_a_path_is_refused(bench: Bench) -> None:
    with pytest.raises(CallFailed, match=r'"target.path" attribute is required'):
        bench.resource(POOL, "pool").up({"name": bench.named("pool"), "type": "dir"})


def test_an_unknown_path_counts_as_a_change(bench: Bench) -> None:
    pool = bench.pool()
    diff = pool.plan(bench.pool_program(target={"path": UNKNOWN}))
    assert diff.replace
    planned = bench.plugin.preview(POOL, "pool", bench.plugin.check(POOL, "pool", bench.pool_program()))
    assert planned["capacity"] is UNKNOWN


def test_import(bench: Bench) -> None:
    pool = bench.pool()
    live = bench.plugin.read(POOL, "pool", pool.id)
    assert live is not None
    assert live.outputs["target"] == {"path": str(Path(bench.directory, "pool"))}
    assert live.inputs["type"] == "dir"
