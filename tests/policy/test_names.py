"""Names are unique where things are told apart by them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rules import types

from tests.policy.evaluate import GOOD, UNKNOWN, UNSEEN, Declared, judge_stack

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
    assert judge_stack(RULE, *stack) == GOOD


@pytest.mark.parametrize(
    "stack",
    [
        pair(types.CONTAINER),
        pair(types.CONTAINER, ("e1", "e2"), **ON_OVERLAY),
        pair(types.NETWORK, ("e1", "e2"), **OVERLAY),
        pair(types.NETWORK, driver="bridge"),
        pair(types.VOLUME),
        pair(types.DOMAIN),
        pair(types.LAB_NETWORK),
        pair(types.SEED, ("h1", "h2"), metaData=json.dumps({"local-hostname": "docker01"})),
    ],
)
def test_taken(stack: list[Declared]) -> None:
    verdict = judge_stack(RULE, *stack)
    assert set(verdict.names) == {"r1"}
    assert "by r0" in verdict.text


def test_unknown_name_hides_no_other() -> None:
    unseen = Declared(types.CONTAINER, "u", {"name": UNKNOWN})
    assert judge_stack(RULE, unseen) == UNSEEN
    assert judge_stack(RULE, unseen, *pair(types.VOLUME)).problems
