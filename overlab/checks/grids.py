"""The matrix as grids: who reaches whom on each network, which networks are isolated, nodes, workloads. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import get_args

from components.checks.kinds import KINDS, Group
from components.checks.model import CheckResult, Status
from overlab.checks.text import MARK

_PATH = "from \\ to"


@dataclass(frozen=True)
class Cell:
    """All checks of one place in a grid."""

    results: tuple[CheckResult, ...]

    @property
    def status(self) -> Status:
        statuses = {result.status for result in self.results}
        return "failed" if "failed" in statuses else "not run" if "not run" in statuses else "passed"

    @property
    def mark(self) -> str:
        return MARK[self.status]

    @property
    def text(self) -> str:
        if len(self.results) == 1:
            return ""
        return f"{sum(1 for one in self.results if one.status == 'passed')}/{len(self.results)}"

    @property
    def bad(self) -> list[str]:
        """The kinds that did not pass."""
        return list(dict.fromkeys(one.kind for one in self.results if one.status != "passed"))

    @property
    def tooltip(self) -> str:
        return "\n".join(f"{one.status}: {one.id}" for one in self.results)


@dataclass(frozen=True)
class Row:
    name: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Grid:
    """Rows by columns; a cell is None where there is nothing to check."""

    title: str
    note: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def grids(results: Iterable[CheckResult]) -> list[Grid]:
    """Every result is in one of them, but those of kinds that this version does not have."""
    groups: dict[str, list[CheckResult]] = {name: [] for name in get_args(Group)}
    for one in results:
        if one.kind in KINDS:
            groups[KINDS[one.kind].group].append(one)
    found = []
    for network in dict.fromkeys(one.network for one in groups["pairs"]):
        members = [one for one in groups["pairs"] if one.network == network]
        found.append(_grid(members, network, "who reaches whom", _PATH, lambda one: one.source, lambda one: one.target))
    isolated, control = groups["isolation"], groups["control plane"]
    found += [
        _grid(isolated, "Isolation", "must not reach", _PATH, lambda one: one.from_network, lambda one: one.network),
        _grid(control, "Control plane", "must not reach", _PATH, lambda one: one.node, lambda one: one.target_node),
        _grid(groups["nodes"], "Nodes", "", "node", lambda one: one.node, _column),
        _grid(groups["workloads"], "Workloads", "", "workload", lambda one: one.source or one.target, _column),
    ]
    return [one for one in found if one.rows]


def _grid(
    results: list[CheckResult],
    title: str,
    note: str,
    corner: str,
    row: Callable[[CheckResult], str],
    column: Callable[[CheckResult], str],
) -> Grid:
    columns = tuple(dict.fromkeys(column(one) for one in results))
    names = list(dict.fromkeys(row(one) for one in results))
    if corner == _PATH:
        # One order for both sides, so that the diagonal is one.
        order = [*names, *(name for name in columns if name not in names)]
        columns = tuple(name for name in order if name in columns)
    places: dict[tuple[str, str], list[CheckResult]] = {}
    for one in results:
        places.setdefault((row(one), column(one)), []).append(one)
    rows = tuple(
        Row(name, tuple(Cell(tuple(places[name, other])) if (name, other) in places else None for other in columns))
        for name in names
    )
    return Grid(title, note, corner, columns, rows)


def _column(result: CheckResult) -> str:
    return KINDS[result.kind].column.format(network=result.network) or result.kind
