"""A run for people who read it in a terminal or a log, and for programs: table, lines, JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from overlab.checks.reproduce import reproduce_command
from overlab.checks.results import CheckResult, CheckRun, Status
from overlab.diagnosis import causes

STYLE: dict[Status, str] = {"passed": "green", "failed": "bold red", "not run": "yellow"}
_MARK: dict[Status, str] = {"passed": "✓", "failed": "✗", "not run": "?"}


def show(run: CheckRun, console: Console) -> None:
    """On a terminal a table by kind and overlay, else one line a check; then whatever failed, whole, and the sum."""
    if console.is_terminal:
        console.print(table(run))
    else:
        for verdict in run.results:
            _print(console, line(verdict))
    for verdict in (*run.not_run, *run.failed):
        console.print()
        console.print(whole(verdict), soft_wrap=True)
    for note in run.notes:
        _print(console, f"note: {note}")
    style = STYLE["not run" if run.not_run else "failed" if run.failed else "passed"]
    console.print(Text(run.summary, style=style), soft_wrap=True)


def table(run: CheckRun) -> RenderableType:
    """One row for each kind of check on each overlay; every check is in it."""
    shown = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    shown.add_column("check", no_wrap=True)
    shown.add_column("on", no_wrap=True)
    shown.add_column("passed", justify="right", no_wrap=True)
    shown.add_column("s", justify="right", no_wrap=True)
    shown.add_column("between")
    groups: dict[tuple[str, str], list[CheckResult]] = {}
    for verdict in run.results:
        groups.setdefault((verdict.kind, verdict.network), []).append(verdict)
    kinds = list(dict.fromkeys(verdict.kind for verdict in run.results))
    for (kind, overlay), members in sorted(groups.items(), key=lambda group: kinds.index(group[0][0])):
        good = sum(1 for one in members if one.status == "passed")
        ends = Text(", ").join(Text(f"{_MARK[one.status]} {_ends(one)}", style=STYLE[one.status]) for one in members)
        count = Text(f"{good}/{len(members)}", style=STYLE["passed" if good == len(members) else "failed"])
        shown.add_row(kind, overlay, count, str(max(one.seconds for one in members)), ends)
    return Group(shown, Rule(style="dim")) if run.failed or run.not_run else shown


def line(verdict: CheckResult) -> str:
    """One check on one line."""
    return f"{verdict.status:7}  {verdict.id}  on {verdict.where}  {verdict.seconds} s"


def whole(verdict: CheckResult) -> Text:
    """Everything about a check that did not pass: what was run, where, what it said, the likely cause and the cure."""
    cause = causes.find(verdict)
    text = Text()
    text.append(f"{verdict.status.upper()}  {verdict.title}", style=STYLE[verdict.status])
    text.append(f"  ({verdict.id})\n", style="dim")
    rows = [("ran", verdict.command or "nothing"), ("where", verdict.where)]
    if verdict.got:
        rows.append(("result", f"expected {verdict.expect}, got {verdict.got} after {verdict.seconds} s"))
    rows.append(("output", "\n".join(lines_of(verdict.output)) or "(nothing)"))
    if again := reproduce_command(verdict):
        rows.append(("again", again))
    if cause is not None:
        rows += [("likely", cause.message), ("remedy", cause.remedy), ("more", cause.link)]
    for name, value in rows:
        first, *rest = value.split("\n")
        text.append(f"  {name:8}", style="dim")
        text.append(f"{first}\n")
        for other in rest:
            text.append(f"  {'':8}{other}\n")
    text.right_crop(1)
    return text


def lines_of(output: str) -> list[str]:
    """A record holds an output on one line, its line ends as bars."""
    return [part for part in output.split("|") if part.strip()]


def as_json(run: CheckRun) -> dict[str, Any]:
    """For programs: the run, its sums, and for each check that did not pass the cause."""
    checks = []
    for verdict in run.results:
        cause = causes.find(verdict)
        known = {"likely": cause.message, "remedy": cause.remedy, "more": cause.link} if cause else None
        checks.append(verdict.model_dump(mode="json") | {"again": reproduce_command(verdict), "cause": known})
    return {
        "lab": run.lab,
        "begun": run.begun.isoformat(),
        "seconds": run.seconds,
        "sessions": run.sessions,
        "only": list(run.only),
        "passed": len(run.passed),
        "failed": len(run.failed),
        "not_run": len(run.not_run),
        "exit_code": run.exit_code,
        "notes": list(run.notes),
        "checks": checks,
    }


def changes(before: CheckRun, after: CheckRun) -> list[str]:
    """What is different from the run before, one line each: checks that changed, came or went."""
    old = {verdict.id: verdict for verdict in before.results}
    new = {verdict.id: verdict for verdict in after.results}
    found = []
    for id_, verdict in new.items():
        was = old[id_].status if id_ in old else "new"
        if was != verdict.status:
            found.append(f"{was} -> {verdict.status}: {verdict.title} (on {verdict.where}){_because(verdict)}")
    found += [f"gone: {verdict.title}" for id_, verdict in old.items() if id_ not in new]
    return found


def _because(verdict: CheckResult) -> str:
    cause = causes.find(verdict)
    if cause is None:
        return ""
    said = lines_of(verdict.output)
    return f": {said[-1] if said else '(no output)'}; likely: {cause.message}; remedy: {cause.remedy}"


def _ends(verdict: CheckResult) -> str:
    ends = (verdict.source or verdict.where, verdict.target.rsplit("/", 1)[-1])
    return "→".join(end for end in ends if end)


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
