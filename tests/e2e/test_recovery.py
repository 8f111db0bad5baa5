"""Labs of node containers after faults and edits: one ``up`` brings them back, and says so only when it is true."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import edits, faults, reliability, up_failures
from tests.e2e.edits import EDITS, Edit
from tests.e2e.faults import EVERY, FAULTS, Fault
from tests.e2e.lab import RealLab, lab_of
from tests.e2e.up_failures import FAILURES, UpFailure


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    with lab_of("recovery", faults.SETTINGS, tmp_path_factory.mktemp("recovery")) as lab:
        lab.overlab("up").ok()
        yield lab


def test_an_up_without_changes_has_looked(lab: RealLab) -> None:
    done = lab.overlab("up").ok()
    assert "looked at 3 nodes, 3 engines, store, 2 networks, 6 containers, 5 endpoints" in done.stderr
    assert "replaced" not in done.stdout


def test_the_archive_has_every_node_and_no_key(lab: RealLab, tmp_path: Path) -> None:
    file = tmp_path / "lab.tar.gz"
    lab.overlab("diag", "--output", str(file)).ok()
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        texts = {one.name: archive.extractfile(one).read().decode() for one in archive}  # type: ignore[union-attr]
    for node in faults.NODES:
        assert "vxlan id" in texts[f"recovery/{node}/overlays.txt"]
        assert "OVERLAB-WORKLOADS" in texts[f"recovery/{node}/packet-filter.txt"]
        assert '"docker/nodes/10.96.48.11:2376": "10.96.48.11:2376"' in texts[f"recovery/{node}/store.json"]
        assert "dockerd" in texts[f"recovery/{node}/journal-engine.log"]
        assert f"recovery/{node}/ended.txt" not in texts
    key = (lab.state / "overlab" / "labs" / "recovery" / "identity" / "client").read_text().splitlines()[1]
    assert key not in "".join(texts.values())


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.quick or EVERY], ids=lambda fault: fault.name)
def test_one_up_brings_it_back(lab: RealLab, fault: Fault) -> None:
    fault.inflict(lab)
    reliability.up(lab, "fault", fault.name)


@pytest.mark.parametrize("failure", [one for one in FAILURES if one.quick or EVERY], ids=lambda failure: failure.id)
def test_the_remedy_of_a_failed_up_heals_as_it_is_printed(lab: RealLab, failure: UpFailure) -> None:
    up_failures.follow(lab, failure)


def test_a_down_says_what_it_looked_for(lab: RealLab) -> None:
    done = lab.overlab("down", "--platform").ok()
    assert "left: 0 mounts, processes, network namespaces, cgroups, directories\n" in done.stderr
    assert "lab recovery is down; left: 0 domains, containers, networks, volumes, pools\n" in done.stderr
    assert "recovery (" not in lab.overlab("gc", "--dry-run").ok().stdout


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    with lab_of("edited", edits.BASE, tmp_path_factory.mktemp("edited")) as lab:
        lab.overlab("up").ok()
        yield lab


@pytest.mark.skipif(not EVERY, reason="OVERLAB_FAULTS=all runs every edit, one after the other")
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_one_up_follows_an_edit(edited: RealLab, edit: Edit) -> None:
    file: Path = edited.file
    file.write_text(edit.of(file.read_text("utf-8")), "utf-8")
    reliability.up(edited, "edit", edit.name)
