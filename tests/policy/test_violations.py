"""Each mandatory rule, broken alone in a real program, fails a real preview by its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from conformance.engine import Home, Result
from pulumi_policy import EnforcementLevel
from rules import ALL

from tests.policy.previewing import LIMIT_S, mandatory, preview, reported, small_lab
from tests.policy.violations import ADVISED, VIOLATIONS

CLEAN = "none"
USUAL_ADVICE = {"engine-end-of-life", "store-single-server"}

Previews = dict[str, Future[Result]]


@pytest.fixture(scope="module")
def previews(
    policed_home: Home, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Previews]:
    """The previews that the selected tests need, as many at a time as there are processors."""
    project = small_lab(policed_home, tmp_path_factory.mktemp("small") / "lab")
    pool = ThreadPoolExecutor(os.cpu_count())
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    cases = [str(item.callspec.params["case"]) for item in tests if "previews" in item.fixturenames]
    yield {case: pool.submit(preview, project, case) for case in cases}
    pool.shutdown(cancel_futures=True)


def test_every_rule_has_a_violating_program() -> None:
    levels = {rule.name: rule.level for rule in ALL}
    assert set(VIOLATIONS) == {name for name, level in levels.items() if level is EnforcementLevel.MANDATORY}
    assert set(ADVISED) | USUAL_ADVICE == levels.keys() - set(VIOLATIONS)


@pytest.mark.parametrize("case", [CLEAN])
def test_the_unchanged_lab_is_clean(previews: Previews, case: str) -> None:
    result = previews[case].result(LIMIT_S)

    result.passed()
    assert {(one.level, one.rule) for one in reported(result)} == {("advisory", rule) for rule in USUAL_ADVICE}
    assert "can't run policy" not in result.text


@pytest.mark.parametrize("case", sorted(VIOLATIONS))
def test_the_violating_program_fails_by_that_rule_alone(previews: Previews, case: str) -> None:
    result = previews[case].result(LIMIT_S)

    result.failed()
    assert mandatory(result) == {case}, result.text
    assert f"remedy: {next(one.remedy for one in ALL if one.name == case)}" in result.text


@pytest.mark.parametrize("case", [*sorted(ADVISED), "overlay-subnet-stated@dev"])
def test_advice_lets_the_program_pass(previews: Previews, case: str) -> None:
    """The default pool is mandatory elsewhere; dev shows it on purpose."""
    result = previews[case].result(LIMIT_S)

    result.passed()
    assert ("advisory", case.partition("@")[0]) in {(one.level, one.rule) for one in reported(result)}
    assert mandatory(result) == set()
