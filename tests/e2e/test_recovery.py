"""Labs of node containers after faults and edits: one ``up`` brings them back, and says so only when it is true."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import edits, faults, reliability, up_failures
from tests.e2e.edits import EDITS, Edit
from tests.e2e.faults import FAULTS, Fault
from tests.e2e.lab import Done, RealLab, lab_of
from tests.e2e.up_failures import FAILURES, UpFailure

EVERY = os.environ.get("OVERLAB_FAULTS") == "all"
"""Else only the rows that are marked as quick."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    with lab_of("recovery", faults.SETTINGS, tmp_path_factory.mktemp("recovery")) as lab:
        lab.overlab("up").ok()
        yield lab


def up(lab: RealLab, kind: str, name: str) -> Done:
    begun = time.monotonic()
    done = lab.overlab("up").ok()
    reliability.record(kind, name, time.monotonic() - begun)
    status = lab.overlab("status")
    assert status.code == 0, status.text
    return done


def test_an_up_without_changes_has_looked(lab: RealLab) -> None:
    done = lab.overlab("up").ok()
    assert "looked at 3 nodes, 3 engines, store, 2 networks, 6 containers, 5 endpoints" in done.stderr
    assert "replaced" not in done.stdout


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.quick or EVERY], ids=lambda fault: fault.name)
def test_one_up_brings_it_back(lab: RealLab, fault: Fault) -> None:
    fault.inflict(lab)
    up(lab, "fault", fault.name)


@pytest.mark.parametrize("failure", [one for one in FAILURES if one.quick or EVERY], ids=lambda failure: failure.id)
def test_the_remedy_of_a_failed_up_heals_as_it_is_printed(lab: RealLab, failure: UpFailure) -> None:
    up_failures.follow(lab, failure)


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
    up(edited, "edit", edit.name)
