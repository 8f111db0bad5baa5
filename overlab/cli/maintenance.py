"""Commands for what other commands left, and for reports of faults: gc, diag."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overlab.cli.application import StackOption, load_settings, notify
from overlab.core import exit_codes
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.inspect import diagnostics
from overlab.platform import prepare
from overlab.stack import garbage, lab_handle

commands = typer.Typer()


@commands.command(epilog="Example: overlab diag --output fault.tar.gz")
def diag(
    stack: StackOption = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The archive; default: overlab-diag-LAB.tar.gz.")
    ] = None,
) -> None:
    """Write one archive of what a report of a fault needs, without secrets; only its owner can read it.

    Journals, store, packet filters, overlay namespaces, consoles, logs, versions, resources. `up` and `test` write
    the same beside the lab's logs where they fail.
    """
    settings = load_settings(stack)
    opened = lab_handle.existing_stack(settings.stack, settings)
    platform = prepare.read_record(LabPaths(settings.name))
    if opened is None or platform is None:
        raise OverlabError(f"the lab {settings.name} has no platform", f"overlab up --stack {settings.stack}")
    file = output or Path(f"overlab-diag-{settings.name}.tar.gz")
    with Progress().step("evidence"):
        diagnostics.write(file, settings, platform, opened)
    notify(f"wrote {file}")


@commands.command(epilog="Example: overlab gc --dry-run")
def gc(dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False) -> None:
    """Remove labs of dead runs from this machine: nothing of them is up, and no stack file names them.

    Every lab is listed, with why it is kept. Exit code 1: one could not be removed.
    """
    progress, failed = Progress(), False
    found = garbage.find()
    for one in found:
        name = f"{one.paths.lab} ({one.paths.state})"
        if one.kept:
            print(f"kept: {name}: {one.kept}")
            continue
        what = ", ".join(map(str, one.traces))
        print(f"{'would be removed' if dry_run else 'removed'}: {name}: {one.dead}: {what}")
        if not dry_run:
            try:
                garbage.remove(one, progress)
            except OverlabError as error:
                notify(f"error: {error}")
                failed = True
    if not found:
        print("no lab on this machine")
    if failed:
        raise typer.Exit(exit_codes.FAILED)
