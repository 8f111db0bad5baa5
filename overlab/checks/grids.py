"""The matrix as grids: who reaches whom on each overlay, which overlays are kept apart, nodes, workloads. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from overlab.checks.results import CheckResult, Status

_MARK: dict[Status, str] = {"passed": "✓", "failed": "✗", "not run": "?"}
_BETWEEN = ("ping-ip", "ping-name", "dns", "http", "tcp", "mtu")
_OF_WORKLOADS = ("interface", "bridge", "internal", "shared", "http-node", "http-external")
_COLUMNS = {
    "bridge": "way out",
    "internal": "no way out",
    "http-node": "port, from a node",
    "http-external": "port, from the platform",
}


@dataclass(frozen=True)
class Cell:
    """All checks of one place in a grid."""

    results: tuple[CheckResult, ...]

    @property
    def status(self) -> Status:
        statuses = {verdict.status for verdict in self.results}
        return "failed" if "failed" in statuses else "not run" if "not run" in statuses else "passed"

    @property
    def mark(self) -> str:
        return _MARK[self.status]

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
    """Every verdict is in one of them, but those of checks that a person added and that fit none."""
    every = list(results)
    found = []
    for overlay in dict.fromkeys(one.network for one in every if one.kind in _BETWEEN):
        between = [one for one in every if one.kind in _BETWEEN and one.network == overlay]
        found.append(_grid(between, overlay, "who reaches whom", "from \\ to", _source, _owner))
    apart = [one for one in every if one.kind == "isolation"]
    found.append(_grid(apart, "Isolation", "must not reach", "from \\ to", _from_overlay, lambda one: one.network))
    nodes = [one for one in every if one.kind in ("engine", "kv", "network")]
    found.append(_grid(nodes, "Nodes", "", "node", lambda one: one.node, _node_column))
    workloads = [one for one in every if one.kind in _OF_WORKLOADS]
    found.append(_grid(workloads, "Workloads", "", "workload", _subject, _workload_column))
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
    if corner.startswith("from"):
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


def _source(verdict: CheckResult) -> str:
    return verdict.source


def _owner(verdict: CheckResult) -> str:
    return verdict.target.split("/", 1)[0]


def _from_overlay(verdict: CheckResult) -> str:
    """``isolation:FROM:TO:SOURCE:TARGET``."""
    parts = verdict.id.split(":")
    return parts[1] if len(parts) == 5 else verdict.source


def _node_column(verdict: CheckResult) -> str:
    names = {"network": f"sees {verdict.network}", "kv": "store's keys"}
    return names.get(verdict.kind, verdict.kind)


def _subject(verdict: CheckResult) -> str:
    return verdict.source or verdict.target


def _workload_column(verdict: CheckResult) -> str:
    return _COLUMNS.get(verdict.kind, verdict.kind)
