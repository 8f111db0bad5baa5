"""Names are unique where things are identified by them."""

from __future__ import annotations

from typing import Any

import pytest
from rules import names, types

from components.config import conventions
from tests.policy.evaluate import DEFERRED, PASSED, UNKNOWN, Declared, evaluate_stack

RULE = "names-unique"


def pair(type_: str, providers: tuple[str, str] = ("e1", "e1"), **props: Any) -> list[Declared]:
    return [Declared(type_, f"r{index}", {"name": "n", **props}, provider=p) for index, p in enumerate(providers)]


OVERLAY = {"driver": "overlay"}
ON_OVERLAY = {"networksAdvanced": [{"name": UNKNOWN}]}


@pytest.mark.parametrize(
    "stack",
    [
        pair(types.CONTAINER, ("e1", "e2"), networkMode="host"),
        pair(types.VOLUME, ("e1", "e2")),
        pair(types.NETWORK, ("e1", "e2"), driver="bridge"),
        pair(types.DOMAIN, ("h1", "h2")),
        [Declared(types.CONTAINER, "a", {"name": "n"}), Declared(types.VOLUME, "b", {"name": "n"})],
    ],
)
def test_unique(stack: list[Declared]) -> None:
    assert evaluate_stack(RULE, *stack) == PASSED


@pytest.mark.parametrize(
    "stack",
    [
        pair(types.CONTAINER),
        pair(types.CONTAINER, ("e1", "e2"), **ON_OVERLAY),
        pair(types.NETWORK, ("e1", "e2"), **OVERLAY),
        pair(types.NETWORK, driver="bridge"),
        pair(types.VOLUME),
        pair(types.DOMAIN),
        pair(types.UNDERLAY),
    ],
)
def test_duplicate_names(stack: list[Declared]) -> None:
    result = evaluate_stack(RULE, *stack)
    assert set(result.names) == {"r1"}
    assert "by r0" in result.text


def test_workloads_whose_names_differ_in_case_only() -> None:
    stack = [Declared(types.CONTAINER, name, {"name": name, **ON_OVERLAY}, provider=name) for name in ("web", "Web")]
    assert evaluate_stack(RULE, *stack).names == ["web"]


@pytest.mark.parametrize("name", names.ENGINE_NETWORKS)
def test_networks_of_the_engines_own(name: str) -> None:
    result = evaluate_stack(RULE, Declared(types.NETWORK, "n", {"name": name, **OVERLAY}))
    assert f"the network name '{name}' is one of every engine's own" in result.text


def test_the_settings_refuse_the_same_network_names() -> None:
    assert set(names.ENGINE_NETWORKS) == conventions.ENGINE_NETWORKS


def test_machines_of_one_name() -> None:
    machines = [Declared(types.MACHINE, "docker01"), Declared(types.MACHINE, "docker01", parent="some:other:Lab")]
    assert "the host name 'docker01' is taken" in evaluate_stack(RULE, *machines).text


def test_nodes_as_containers() -> None:
    node = Declared(types.NODE_CONTAINER, "docker01")
    again = Declared(types.NODE_CONTAINER, "docker01", parent="some:other:Lab")
    assert "the host name 'docker01' is taken" in evaluate_stack(RULE, node, again).text
    assert "the host name 'docker01' is taken" in evaluate_stack(RULE, node, Declared(types.MACHINE, "docker01")).text
    # A workload of the same name is on an overlay, the node is not.
    container = Declared(types.CONTAINER, "c", {"name": "n", **ON_OVERLAY}, provider="e1", parent=types.NODE_CONTAINER)
    workload = Declared(types.CONTAINER, "t", {"name": "n", **ON_OVERLAY}, provider="e2")
    assert evaluate_stack(RULE, container, workload) == PASSED


def test_unknown_name_hides_no_other() -> None:
    unseen = Declared(types.CONTAINER, "u", {"name": UNKNOWN})
    assert evaluate_stack(RULE, unseen) == DEFERRED
    assert evaluate_stack(RULE, unseen, *pair(types.VOLUME)).problems
