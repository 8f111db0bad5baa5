"""Images are pinned."""

from __future__ import annotations

import pytest
from rules import types

from tests.policy.evaluate import DEFERRED, PASSED, UNKNOWN, evaluate

DIGEST = "sha256:" + "0" * 64
RULE = "image-pinned"


@pytest.mark.parametrize(
    "reference",
    ["busybox:1.35", "registry:5000/team/app:v1", f"busybox@{DIGEST}", f"busybox:latest@{DIGEST}", DIGEST, "0" * 64],
)
def test_pinned(reference: str) -> None:
    assert evaluate(RULE, image=reference) == PASSED
    assert evaluate(RULE, types.IMAGE, name=reference) == PASSED


@pytest.mark.parametrize(
    "reference", ["busybox", "busybox:latest", "busybox:Latest", "registry:5000/app", "busybox@sha256:12", "a/b/c"]
)
def test_not_pinned(reference: str) -> None:
    for result in (
        evaluate(RULE, image=reference),
        evaluate(RULE, types.IMAGE, name=reference),
        evaluate(RULE, types.SERVICE, taskSpec={"containerSpec": {"image": reference}}),
    ):
        [problem] = result.problems
        assert f"'{reference}'" in problem


def test_unknown_is_no_pass() -> None:
    assert evaluate(RULE, image=UNKNOWN) == DEFERRED


def test_other_tags_that_move_are_configured() -> None:
    assert evaluate(RULE, image="busybox:edge") == PASSED
    assert evaluate(RULE, image="busybox:edge", config={"floating_tags": ["latest", "edge"]}).problems
