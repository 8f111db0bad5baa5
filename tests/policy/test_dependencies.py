"""Workloads come after their overlays, overlays after the joined store."""

from __future__ import annotations

from typing import Any

import pytest
from rules import types

from components.store import Membership
from tests.policy.evaluate import DEFERRED, PASSED, UNKNOWN, Declared, evaluate_stack

WORKLOAD = "workload-after-overlay"
OVERLAY = "overlay-after-store"

OV = Declared(types.NETWORK, "ov", {"name": "ov_net1", "driver": "overlay"})
OTHER = Declared(types.NETWORK, "other", {"name": "ov_net2", "driver": "overlay"})


def on(*names: str, uses: list[str] | None = None, needs: list[str] | None = None, **props: Any) -> Declared:
    attachments = [{"name": name} for name in names]
    dependencies = {"networksAdvanced": uses or []}
    return Declared(types.CONTAINER, "w", {"networksAdvanced": attachments, **props}, needs or [], dependencies)


@pytest.mark.parametrize(
    "workload",
    [
        on(UNKNOWN, uses=["ov"]),
        on("5f0c" * 16, uses=["ov"]),
        on(UNKNOWN, UNKNOWN, uses=["ov", "other"]),
        on("ov_net1", needs=["ov"]),
        on("ov_net1", uses=["ov"]),
        on("ov_net1", needs=["gate"]),
        on("bridge"),
        on(networkMode="host"),
    ],
)
def test_after_its_overlay(workload: Declared) -> None:
    gate = Declared(types.COMMAND, "gate", needs=["ov"])
    assert evaluate_stack(WORKLOAD, OV, OTHER, gate, workload) == PASSED


@pytest.mark.parametrize(
    "workload",
    [
        on("ov_net1"),
        on("ov_net1", uses=["other"]),
        on(UNKNOWN),
        on(UNKNOWN, UNKNOWN, uses=["ov"]),
        on("not_of_this_stack"),
    ],
)
def test_before_its_overlay(workload: Declared) -> None:
    assert evaluate_stack(WORKLOAD, OV, OTHER, workload).names == ["w"]


def test_shared_network_stack() -> None:
    first = on(UNKNOWN, uses=["ov"])
    for mode in (UNKNOWN, "container:1234"):
        after = Declared(types.CONTAINER, "s", {"networkMode": mode}, uses={"networkMode": ["w"]})
        before = Declared(types.CONTAINER, "s", {"networkMode": mode})
        assert evaluate_stack(WORKLOAD, OV, first, after) == PASSED
        assert evaluate_stack(WORKLOAD, OV, first, before).names == ["s"]


STORE = Declared(types.CONTAINER, "store", {"image": "consul:1.8"}, parent=types.STORE_AGENT)
GATES = [Declared(types.COMMAND, f"n{i}-joined", needs=["store"], parent=Membership.TOKEN) for i in (1, 2)]


def overlay(*needs: str, **props: Any) -> Declared:
    return Declared(types.NETWORK, "ov", {"name": "ov", "driver": "overlay", **props}, needs=needs)


def test_after_the_joined_store() -> None:
    assert evaluate_stack(OVERLAY, STORE, *GATES, overlay("store", "n1-joined", "n2-joined")) == PASSED
    assert evaluate_stack(OVERLAY, STORE, *GATES, overlay("n1-joined", "n2-joined")) == PASSED
    assert evaluate_stack(OVERLAY, overlay(driver="bridge")) == PASSED


@pytest.mark.parametrize(
    ("needs", "missing"),
    [((), "n1-joined, n2-joined, store"), (("store",), "n1-joined, n2-joined"), (("n1-joined",), "n2-joined")],
)
def test_before_it(needs: tuple[str, ...], missing: str) -> None:
    assert evaluate_stack(OVERLAY, STORE, *GATES, overlay(*needs)).problems == [f"does not come after {missing}"]


def test_without_store_or_proof() -> None:
    assert "the stack has none" in evaluate_stack(OVERLAY, overlay()).text
    assert "no proof" in evaluate_stack(OVERLAY, STORE, overlay("store")).text
    by_another = Declared(types.COMMAND, "joined", needs=["store"], parent="overlab:index:Other")
    assert "no proof" in evaluate_stack(OVERLAY, STORE, by_another, overlay("store", "joined")).text


def test_unknown_driver() -> None:
    assert evaluate_stack(OVERLAY, overlay(driver=UNKNOWN)) == DEFERRED


def test_after_the_joined_store_by_way_of_a_barrier() -> None:
    reached = Declared("command:local:Command", "engines-joined", needs=["n1-joined", "n2-joined"])
    assert evaluate_stack(OVERLAY, STORE, *GATES, reached, overlay("engines-joined")) == PASSED
    early = Declared("command:local:Command", "engines-joined", needs=["n1-joined"])
    assert "n2-joined" in evaluate_stack(OVERLAY, STORE, *GATES, early, overlay("engines-joined")).text
