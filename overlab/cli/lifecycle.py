"""Commands that create, change or remove a lab: up, preview, refresh, down, env, pulumi, rotate."""

from __future__ import annotations

import shlex
import shutil
import sys
from typing import Annotated

import typer

from components.config.settings import SettingsError
from overlab import doctor
from overlab.cli.application import PASS_ON, StackOption, errors, load_settings, notify
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform import prepare
from overlab.platform.manifest import PlatformManifest
from overlab.stack import check_commands, event_log, phases
from overlab.stack.stack import UNSET, Stack

commands = typer.Typer()


@commands.command()
def up(stack: StackOption = "") -> None:
    """Prepare the platform and bring the lab up; a second run changes nothing."""
    raise typer.Exit(_operate(stack, ["up", "--yes", "--skip-preview"], timings=True, repeat_checks=True))


@commands.command()
def preview(stack: StackOption = "") -> None:
    """Preview the changes that `up` would make."""
    raise typer.Exit(_operate(stack, ["preview"], repeat_checks=True))


@commands.command()
def refresh(stack: StackOption = "") -> None:
    """Update the stack's state from the deployed resources."""
    raise typer.Exit(_operate(stack, ["refresh", "--yes", "--skip-preview"], timings=True))


@commands.command()
def down(
    stack: StackOption = "",
    platform: Annotated[bool, typer.Option("--platform", help="Remove the platform as well.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --platform: remove it without a destroy.")] = False,
) -> None:
    """Destroy the lab."""
    if force and not platform:
        raise OverlabError("--force has no effect without --platform", "overlab down --platform --force")
    lab = _lab_name(stack)
    progress = Progress()
    if force:
        prepare.refuse_orphaning(lab)
    recorded = None if force else prepare.restart_daemons(lab, progress)
    if recorded is not None and _recorded_stack(stack, lab).exists():
        opened = _recorded_stack(stack, lab)
        _unlock(opened, progress)
        code = _run(opened, ["destroy", "--yes", "--skip-preview"], progress, timings=True)
        if code != 0:
            raise typer.Exit(code)
    if platform:
        with progress.step("remove the platform"):
            prepare.teardown(lab, progress)
        progress.note(f"lab {lab}: the platform is removed")
    elif recorded is None:
        progress.note(f"lab {lab} has no platform: nothing to destroy")


@commands.command()
def env(stack: StackOption = "") -> None:
    """Print shell exports, so that plain `pulumi` works on the lab: eval "$(overlab env)"."""
    opened = _prepared_stack(stack, Progress())
    print(f"unset {' '.join(UNSET)}")
    for key, value in opened.variables().items():
        print(f"export {key}={shlex.quote(value)}")
    print(f"export PATH={shlex.quote(opened.path_variable())}")


@commands.command(context_settings=PASS_ON)
def pulumi(context: typer.Context, stack: StackOption = "") -> None:
    """Run `pulumi ARGS` on the lab: overlab pulumi -- stack output."""
    _prepared_stack(stack, Progress()).replace_process(context.args)


@commands.command()
def rotate(
    stack: StackOption = "",
    authority: Annotated[
        bool, typer.Option("--ca", help="The CA as well: client keys issued before are then refused.")
    ] = False,
) -> None:
    """Renew the keys and certificates of the engines' API; the next `up` installs them on the engines."""
    settings = load_settings(stack)
    renewed = prepare.rotate(settings, Progress(), authority=authority)
    whose = f"the client and {len(renewed.server_certs)} servers{', with a new CA' if authority else ''}"
    restarts = "containers keep running" if settings.engine.live_restore else "so do containers: live_restore is off"
    print(f"renewed: {whose}; next: overlab up --stack {stack} (the engines restart, {restarts})")


# -- shared ----------------------------------------------------------------------------------------


def _lab_name(stack: str) -> str:
    """The lab's name; the stack's where the settings are invalid, so that the lab can still be destroyed."""
    try:
        return load_settings(stack).name
    except SettingsError as error:
        notify(f"{error}\ntaking the lab's name from the stack: {stack}")
        return stack


def _prepared_stack(name: str, progress: Progress) -> Stack:
    """The stack, with its platform prepared and itself created."""
    settings = load_settings(name)
    prepare.prepare(settings, progress)
    for line in doctor.expiring(settings):
        progress.note(line)
    stack = _recorded_stack(name, settings.name)
    _unlock(stack, progress)
    code = stack.ensure()
    if code != 0:
        raise OverlabError(f"`pulumi stack init {name}` ended with exit code {code}", "see its output above")
    return stack


def _recorded_stack(name: str, lab: str) -> Stack:
    paths = LabPaths(lab)
    manifest = PlatformManifest.load(paths)
    if manifest is None:
        raise OverlabError(f"the platform of lab {lab} is not prepared", "overlab up")
    return Stack(name, paths, manifest)


def _unlock(stack: Stack, progress: Progress) -> None:
    for lock in stack.remove_stale_locks():
        progress.note(f"removed the stale lock of a pulumi process that is gone: {lock}")


def _operate(stack: str, args: list[str], *, timings: bool = False, repeat_checks: bool = False) -> int:
    """``repeat_checks``: with the checks of a node that failed before, run those of all others again."""
    progress = Progress()
    opened = _prepared_stack(stack, progress)
    repeated = [f"--replace={urn}" for urn in check_commands.of_incomplete_run(opened)] if repeat_checks else []
    return _run(opened, [*args, *repeated], progress, timings=timings)


def _run(stack: Stack, args: list[str], progress: Progress, *, timings: bool) -> int:
    """Run Pulumi, which draws on the terminal itself, then print the timings and what failed."""
    words = args if sys.stdout.isatty() else [*args, "--non-interactive"]
    with progress.paused(), progress.step(f"pulumi {args[0]}"):
        code = stack.run(words, events=stack.event_log)
    events = event_log.read(stack.event_log) if timings or code != 0 else []
    if timings:
        changed = phases.spans(events)
        if changed:
            errors.print(phases.table(changed))
            if args[0] == "up":
                shutil.copyfile(stack.event_log, stack.change_log)
        errors.print(progress.table())
    if code != 0:
        for failure in event_log.failures(events):
            notify(f"failed: {failure}")
    return code
