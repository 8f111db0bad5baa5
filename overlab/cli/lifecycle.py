"""Commands that create, change or remove a lab: up, preview, refresh, down, env, pulumi, rotate."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Collection
from typing import Annotated

import typer

from components.config.platform import Platform
from components.config.settings import SettingsError
from overlab import doctor, openssh
from overlab.cli.application import EXIT_INTERRUPTED, PASS_ON, StackOption, errors, load_settings, notify
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform import prepare
from overlab.platform.manifest import PlatformManifest
from overlab.recovery.recovery import Recovery
from overlab.stack import check_commands, event_log, leftovers, phases, state
from overlab.stack.convergence import Convergence
from overlab.stack.foreground import Ended
from overlab.stack.leftovers import Survey
from overlab.stack.losses import losses
from overlab.stack.stack import UNSET, Stack

commands = typer.Typer()


@commands.command()
def up(stack: StackOption = "") -> None:
    """Prepare the platform and bring the lab up, or back to what is declared; a second run looks, and changes nothing.

    Exit code 1: something is not as declared. It is named with its cause.
    """
    _up(stack)


@commands.command()
def restart(node: str, stack: StackOption = "") -> None:
    """Reset a node, as a power cut would, and bring the lab back to what is declared: overlab restart docker01."""
    _up(stack, reset=node)


@commands.command()
def replace(node: str, stack: StackOption = "") -> None:
    """Make a node again, with an empty disk, and all that is on it: overlab replace docker01."""
    _up(stack, replaced=node)


@commands.command()
def preview(stack: StackOption = "") -> None:
    """Preview the changes that `up` would make, with a sentence for each thing that would be lost."""
    progress = Progress()
    opened = _prepared_stack(stack, progress)
    repeated = _replaced(check_commands.of_incomplete_run(state.read(opened)))
    ended = _run(opened, ["preview", *repeated], progress, timings=False)
    for sentence in losses(event_log.read(opened.event_log)):
        notify(sentence)
    raise typer.Exit(ended.code)


@commands.command()
def refresh(stack: StackOption = "") -> None:
    """Update the stack's state from the deployed resources."""
    progress = Progress()
    opened, settings = _prepared_stack(stack, progress), load_settings(stack)
    Convergence(opened, settings.name, _platform(settings.name), progress, notify).before_refresh()
    raise typer.Exit(_run(opened, ["refresh", "--yes", "--skip-preview"], progress, timings=True).code)


@commands.command()
def down(
    stack: StackOption = "",
    platform: Annotated[bool, typer.Option("--platform", help="Remove the platform as well.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --platform: remove it without a destroy.")] = False,
) -> None:
    """Destroy the lab. Nothing of it stays on a hypervisor, or what stays is named and the exit code is not 0."""
    if force and not platform:
        raise OverlabError("--force has no effect without --platform", "overlab down --platform --force")
    lab = _lab_name(stack)
    progress = Progress()
    if force:
        prepare.refuse_orphaning(lab)
    recorded = None if force else prepare.restart_daemons(lab, progress)
    left = None if recorded is None else _destroy(_recorded_stack(stack, lab), lab, recorded, progress)
    if platform:
        with progress.step("remove the platform"):
            prepare.teardown(lab, progress)
        progress.note(f"lab {lab}: the platform is removed")
    elif recorded is None:
        progress.note(f"lab {lab} has no platform: nothing to destroy")
    if left is not None:
        leftovers.refuse_left(left, lab)


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


def _up(stack: str, *, reset: str = "", replaced: str = "") -> None:
    """Bring the lab up, after a reset of one node, or with one that is made again."""
    settings, progress = load_settings(stack), Progress()
    if node := reset or replaced:
        openssh.node_named(settings, node)
    opened = _prepared_stack(stack, progress)
    convergence = Convergence(opened, settings.name, _platform(settings.name), progress, notify)
    convergence.before_up(settings)
    if reset:
        convergence.reset(reset)
    urns = convergence.machine_urns(replaced) if replaced else []
    words = ["up", "--yes", "--skip-preview"]
    ended, findings = Recovery(convergence, settings).run(
        lambda again, targets: _run_twice(
            convergence, [*words, *_replaced(again), *_targets(targets)], settings.networks
        ),
        urns,
    )
    for one in findings:
        notify(f"not as declared: {one.subject}: {one.message} ({one.id}: {one.evidence}); remedy: {one.remedy}")
    raise typer.Exit(_exit_code(ended) or (1 if findings else 0))


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


def _replaced(urns: Collection[str]) -> list[str]:
    """Arguments that make commands run again: all checks where those of one node failed before, for example."""
    return [f"--replace={urn}" for urn in urns]


def _targets(urns: Collection[str]) -> list[str]:
    """Arguments that update these alone."""
    return [f"--target={urn}" for urn in urns]


def _platform(lab: str) -> Platform:
    platform = prepare.read_record(LabPaths(lab))
    if platform is None:
        raise OverlabError(f"the platform of lab {lab} is not prepared", "overlab up")
    return platform


def _destroy(stack: Stack, lab: str, platform: Platform, progress: Progress) -> Survey:
    """Destroy what the state has, remove what it does not have; what is left then."""
    convergence = Convergence(stack, lab, platform, progress, notify)
    if stack.exists():
        _unlock(stack, progress)
        convergence.before_down()
        code = _exit_code(_run_twice(convergence, ["destroy", "--yes", "--skip-preview"]))
        if code != 0:
            raise typer.Exit(code)
    return convergence.after_down()


def _run_twice(convergence: Convergence, args: list[str], networks: Collection[str] = ()) -> Ended:
    """The end of an operation that is tried once more where it failed on what is gone, or on what is in its way."""
    stack, progress = convergence.stack, convergence.progress
    ended = _run(stack, args, progress, timings=True)
    failed = ended.code != 0 and not ended.interrupted
    if failed and convergence.after_failure(event_log.read(stack.event_log), networks):
        ended = _run(stack, args, progress, timings=True)
    return ended


def _exit_code(ended: Ended) -> int:
    return EXIT_INTERRUPTED if ended.interrupted and ended.code < 0 else ended.code


def _run(stack: Stack, args: list[str], progress: Progress, *, timings: bool) -> Ended:
    """Run Pulumi, which draws on the terminal itself, then print the timings and what failed."""
    words = args if sys.stdout.isatty() else [*args, "--non-interactive"]
    with progress.paused(), progress.step(f"pulumi {args[0]}"):
        ended = stack.run(words, events=stack.event_log, say=notify)
    code = ended.code
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
    return ended
