"""Images are pinned."""

from __future__ import annotations

import pytest
from rules import images, types

from tests.policy.evaluate import GOOD, UNKNOWN, UNSEEN, judge

DIGEST = "sha256:" + "0" * 64
RULE = "image-pinned"


@pytest.mark.parametrize(
    "reference",
    ["busybox:1.35", "registry:5000/team/app:v1", f"busybox@{DIGEST}", f"busybox:latest@{DIGEST}", DIGEST, "0" * 64],
)
def test_pinned(reference: str) -> None:
    assert judge(RULE, image=reference) == GOOD
    assert judge(RULE, types.IMAGE, name=reference) == GOOD


@pytest.mark.parametrize(
    "reference", ["busybox", "busybox:latest", "busybox:Latest", "registry:5000/app", "busybox@sha256:12", "a/b/c"]
)
def test_not_pinned(reference: str) -> None:
    for verdict in (
        judge(RULE, image=reference),
        judge(RULE, types.IMAGE, name=reference),
        judge(RULE, types.SERVICE, taskSpec={"containerSpec": {"image": reference}}),
    ):
        [problem] = verdict.problems
        assert f"'{reference}'" in problem


def test_unknown_is_no_pass() -> None:
    assert judge(RULE, image=UNKNOWN) == UNSEEN


def test_other_tags_that_move_are_configured() -> None:
    assert judge(RULE, image="busybox:edge") == GOOD
    assert judge(RULE, image="busybox:edge", config={"floating_tags": ["latest", "edge"]}).problems


@pytest.mark.parametrize(
    ("reference", "program"),
    [("consul:1.8", "consul"), ("r:5000/hashicorp/consul", "consul"), ("r:5000/consul-x:1", "consul-x"), ("", "")],
)
def test_program_of_a_reference(reference: str, program: str) -> None:
    assert images.program(reference) == program
