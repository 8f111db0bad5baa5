"""A lab of node containers after faults: one ``up`` brings it back, and nothing says that it is well when it is not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.e2e.faults import FAULTS, SETTINGS, Fault
from tests.e2e.lab import RealLab, lab_of

STACK = "recovery"
EVERY = os.environ.get("OVERLAB_FAULTS") == "all"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    with lab_of(STACK, SETTINGS, tmp_path_factory.mktemp(STACK)) as lab:
        lab.overlab("up").ok()
        yield lab


def test_an_up_without_changes_has_looked(lab: RealLab) -> None:
    done = lab.overlab("up").ok()
    assert "looked at 3 nodes, 3 engines, store, 2 networks, 6 containers, 5 endpoints" in done.stderr
    assert "0 changes" in done.stdout or "unchanged" in done.stdout


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.quick or EVERY], ids=lambda fault: fault.name)
def test_one_up_brings_it_back(lab: RealLab, fault: Fault) -> None:
    fault.inflict(lab)
    begun = time.monotonic()
    done = lab.overlab("up")
    took = time.monotonic() - begun
    print(f"| {fault.name} | {took:.0f} s | {fault.lost or 'nothing'} |")
    done.ok()
    status = lab.overlab("status")
    assert status.code == 0, status.text
