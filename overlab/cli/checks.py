"""Commands that run the checks and show their results: test, graph, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overlab.checks import execution
from overlab.checks.results import CheckRun
from overlab.cli import completion, outcome
from overlab.cli.application import JsonOption, StackOption, deliver, load_settings, notify
from overlab.core import exit_codes
from overlab.core.errors import OverlabError
from overlab.core.files import write_output
from overlab.core.progress import Progress
from overlab.core.terminal import SafeConsole
from overlab.report import data, graph, page, picture
from overlab.stack import lab_handle

commands = typer.Typer()


@commands.command("test", epilog="Example: overlab test --only t1 --only 'dns:*'")
def run_checks(
    stack: StackOption = "",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="KIND|NAME",
            help="A kind, a workload, or ids with * and ?; repeatable.",
            autocompletion=completion.selections,
        ),
    ] = None,
    as_json: JsonOption = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML as well.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML page as well.")] = None,
    within: Annotated[
        int | None, typer.Option("--within", metavar="S", min=1, help="Seconds a check may take; default: its own.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat; after the first run show only changes.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="S", min=1, help="Seconds between, with --watch.")] = 30,
) -> None:
    """Run the lab's checks. Exit code 0: all passed; 1: one failed; 2: not everything could be run."""
    options = execution.CheckOptions(only or (), as_json, junit, html, within)
    console = SafeConsole(highlight=False)

    def run() -> CheckRun:
        found = execution.once(lab, options, Progress())
        if html is not None:
            write_output(html, page.render_run(found))
        return found

    try:
        options.forget()
        lab = lab_handle.open_lab(stack, load_settings(stack), Progress())
        if watch:
            code = execution.watch(run, options, console, every)
        else:
            found = run()
            execution.show(found, options, console)
            code = found.exit_code
            if code:
                outcome.keep_evidence(lab.settings, lab.platform, lab.stack, f"test ended with exit code {code}")
    except OverlabError as error:
        notify(f"error: {error}")
        code = exit_codes.COULD_NOT_RUN
    raise typer.Exit(code)


@commands.command("graph", epilog="Example: overlab graph --format svg --output lab.svg")
def draw(
    stack: StackOption = "",
    form: Annotated[graph.Format, typer.Option("--format", help="The output format.")] = "mermaid",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; default: standard output.")] = None,
) -> None:
    """Draw the lab, colored by its last test; a lab that is not up is drawn from its settings."""
    known = data.collect(stack, load_settings(stack))
    run = known.known.run
    drawn = picture.build(known.settings, known.outputs, known.known.results, run.begun if run else None)
    deliver(graph.render(drawn, form), output)


@commands.command("report", epilog="Example: overlab report --html lab.html")
def write_report(
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="The page to write.")],
    stack: StackOption = "",
) -> None:
    """Write a self-contained HTML page about the lab: picture, addresses, checks, timings, versions."""
    deliver(page.render(data.collect(stack, load_settings(stack))), html)
