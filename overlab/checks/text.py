"""A run as table, lines and JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from components.checks.model import CheckResult, Status
from overlab.checks.reproduce import reproduce_command
from overlab.checks.results import CheckRun
from overlab.diagnosis import causes

STYLE: dict[Status, str] = {"passed": "green", "failed": "bold red", "not run": "yellow"}
MARK: dict[Status, str] = {"passed": "✓", "failed": "✗", "not run": "?"}


def show(run: CheckRun, console: Console) -> None:
    """On a terminal a table by kind and network, else one line a check; then each failure in full, and the sum."""
    if console.is_terminal:
        console.print(table(run))
    else:
        for result in run.results:
            print_plain(console, line(result))
    for result in (*run.not_run, *run.failed):
        console.print()
        console.print(details(result), soft_wrap=True)
    for note in run.notes:
        print_plain(console, f"note: {note}")
    style = STYLE["not run" if run.not_run else "failed" if run.failed else "passed"]
    console.print(Text(run.summary, style=style), soft_wrap=True)


def table(run: CheckRun) -> RenderableType:
    """One row for each kind of check on each network; every check is in it."""
    shown = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    shown.add_column("check", no_wrap=True)
    shown.add_column("on", no_wrap=True)
    shown.add_column("passed", justify="right", no_wrap=True)
    shown.add_column("s", justify="right", no_wrap=True)
    shown.add_column("between")
    groups: dict[tuple[str, str], list[CheckResult]] = {}
    for result in run.results:
        groups.setdefault((result.kind, result.network), []).append(result)
    kinds = list(dict.fromkeys(result.kind for result in run.results))
    for (kind, network), members in sorted(groups.items(), key=lambda group: kinds.index(group[0][0])):
        good = sum(1 for one in members if one.status == "passed")
        paths = Text(", ").join(Text(f"{MARK[one.status]} {_path(one)}", style=STYLE[one.status]) for one in members)
        count = Text(f"{good}/{len(members)}", style=STYLE["passed" if good == len(members) else "failed"])
        shown.add_row(Text(kind), Text(network), count, str(max(one.seconds for one in members)), paths)
    return Group(shown, Rule(style="dim")) if run.failed or run.not_run else shown


def line(result: CheckResult) -> str:
    """One check on one line."""
    return f"{result.status:7}  {result.id}  {result.where}  {result.seconds} s"


def details(result: CheckResult) -> Text:
    """Everything about a check that did not pass."""
    text = Text()
    text.append(f"{result.status.upper()}  {result.title}", style=STYLE[result.status])
    text.append(f"  ({result.id})", style="dim")
    for name, value in rows(result):
        for number, part in enumerate(value.split("\n")):
            text.append(f"\n  {'' if number else name:8}", style="dim")
            text.append(part)
    return text


def rows(result: CheckResult) -> list[tuple[str, str]]:
    """What was run, where, its output, how to run it again, the likely cause and the remedy; each with a short name."""
    cause = causes.find(result)
    found = [("ran", result.command or "nothing"), ("where", result.node)]
    if result.got:
        found.append(("result", f"expected {result.expect}, got {result.got} after {result.seconds} s"))
    found.append(("output", "\n".join(lines_of(result.output)) or "(nothing)"))
    if reproduce := reproduce_command(result):
        found.append(("repeat", reproduce))
    if cause is not None:
        found += [("likely", cause.message), ("remedy", cause.remedy), ("more", cause.link)]
    return found


def lines_of(output: str) -> list[str]:
    """The lines of a check's output that are not blank."""
    return [line for line in output.splitlines() if line.strip()]


def as_json(run: CheckRun) -> dict[str, Any]:
    """For programs: the run, its sums, and for each check that did not pass the cause."""
    checks = []
    for result in run.results:
        cause = causes.find(result)
        known = {"likely": cause.message, "remedy": cause.remedy, "more": cause.link} if cause else None
        checks.append(result.model_dump(mode="json") | {"reproduce": reproduce_command(result), "cause": known})
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
    old = {result.id: result for result in before.results}
    new = {result.id: result for result in after.results}
    found = []
    for id_, result in new.items():
        was = old[id_].status if id_ in old else "new"
        if was != result.status:
            found.append(f"{was} -> {result.status}: {result.title} ({result.where}){_because(result)}")
    found += [f"gone: {result.title}" for id_, result in old.items() if id_ not in new]
    return found


def _because(result: CheckResult) -> str:
    cause = causes.find(result)
    if cause is None:
        return ""
    output = lines_of(result.output)
    return f": {output[-1] if output else '(no output)'}; likely: {cause.message}; remedy: {cause.remedy}"


def _path(result: CheckResult) -> str:
    return "→".join(part for part in (result.source or result.node, result.reached) if part)


def print_plain(console: Console, text: str) -> None:
    """Print a text as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
