"""``overlab test``: run, keep and show; repeatedly when asked to watch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from overlab.checks import junit, results, runner, text
from overlab.checks.results import CheckRun
from overlab.checks.select import limited, select
from overlab.core import exit_codes
from overlab.core.errors import OverlabError
from overlab.core.files import write_output
from overlab.core.progress import Progress
from overlab.stack.lab_handle import LabHandle


@dataclass(frozen=True)
class CheckOptions:
    """What the user asked for."""

    only: Sequence[str] = ()
    as_json: bool = False
    junit: Path | None = None
    html: Path | None = None
    timeout_s: int | None = None
    """No check may take longer than this to pass; None: its own limit."""

    def forget(self) -> None:
        """Remove the files of an earlier run, so that none passes for this run's."""
        for file in (self.junit, self.html):
            if file is not None:
                file.unlink(missing_ok=True)


def once(lab: LabHandle, options: CheckOptions, progress: Progress) -> CheckRun:
    """Run the checks, save the results, write the JUnit file. Raises :class:`OverlabError` where it cannot begin."""
    matrix = limited(select(lab.matrix, options.only), options.timeout_s)
    with progress.step("checks"):
        transport = runner.transport(lab.settings, lab.platform)
        found = runner.run(lab.settings, matrix, lab.outputs, transport, tuple(options.only), progress.waiting_for)
    results.save(found, results.file(lab.stack.paths.state, lab.stack.name))
    if options.junit is not None:
        write_output(options.junit, junit.document(found))
    return found


def show(found: CheckRun, options: CheckOptions, console: Console) -> None:
    """The run on standard output, for people or for programs."""
    if options.as_json:
        console.file.write(json.dumps(text.as_json(found), indent=1) + "\n")
    else:
        text.show(found, console)


def watch(
    run_once: Callable[[], CheckRun],
    options: CheckOptions,
    console: Console,
    every_s: float,
    pause: Callable[[float], object] = time.sleep,
    rounds: int | None = None,
) -> int:
    """Run repeatedly; after the first time only what changed is shown (as JSON: a document a line).

    Ends with ^C, or after ``rounds``; the exit code is the last round's. A round that cannot be run is reported and
    the next one follows.
    """
    before: CheckRun | None = None
    code, number = 0, 0
    try:
        while rounds is None or number < rounds:
            if number:
                pause(every_s)
            number += 1
            try:
                found = run_once()
            except OverlabError as error:
                code = exit_codes.COULD_NOT_RUN
                _report(console, options, f"{results.now():%H:%M:%S}  could not run: {error}", {"error": str(error)})
                continue
            code = found.exit_code
            if options.as_json:
                console.file.write(json.dumps(text.as_json(found)) + "\n")
            elif before is None:
                text.show(found, console)
            else:
                _show_changes(before, found, console)
            console.file.flush()
            before = found
    except KeyboardInterrupt:
        pass
    return code


def _show_changes(before: CheckRun, found: CheckRun, console: Console) -> None:
    changed = text.changes(before, found)
    head = f"{found.begun:%H:%M:%S}  {found.summary}"
    lines = [head if changed else f"{head}; nothing changed", *(f"  {line}" for line in changed)]
    text.print_plain(console, "\n".join(lines))


def _report(console: Console, options: CheckOptions, line: str, document: dict[str, str]) -> None:
    if options.as_json:
        console.file.write(json.dumps(document) + "\n")
    else:
        text.print_plain(console, line)
