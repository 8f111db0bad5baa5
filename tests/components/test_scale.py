"""The program grows with the lab, not with its square."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale import lab
from components import checks
from components.config.settings import parse
from tests.components.recorder import make_platform, run_lab


@pytest.mark.slow
@pytest.mark.parametrize("servers", [1, 3])
def test_resources_and_dependencies_grow_linearly(servers: int, tmp_path: Path) -> None:
    """Overlays have ten members: each ten nodes add the same, however many there are."""
    resources, dependencies = [], []
    for nodes in (10, 20, 30):
        settings = parse(lab(nodes, servers), "scale")
        recorded = run_lab(settings, make_platform(tmp_path, settings)).declared.values()
        # The stack itself is declared once a process.
        declared = [item for item in recorded if item.type != "pulumi:pulumi:Stack"]
        resources.append(len(declared))
        dependencies.append(sum(len(item.dependencies) for item in declared))
    assert resources[2] - resources[1] == resources[1] - resources[0]
    assert dependencies[2] - dependencies[1] == dependencies[1] - dependencies[0]


@pytest.mark.parametrize("kinds", [("ping-ip", "ping-name", "tcp", "mtu"), ("control-plane",)])
def test_checks_of_pairs_grow_with_the_overlays_and_nodes(kinds: tuple[str, ...]) -> None:
    pairs = [sum(check.kind in kinds for check in checks.matrix(parse(lab(n, 1), "scale"))) for n in (50, 100, 150)]
    assert pairs[2] - pairs[1] == pairs[1] - pairs[0] > 0
