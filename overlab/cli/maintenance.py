"""Commands for what other commands left: gc."""

from __future__ import annotations

from typing import Annotated

import typer

from overlab.cli.application import notify
from overlab.core import exit_codes
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.stack import garbage

commands = typer.Typer()


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
