"""Commands that create, change or remove a lab: up, preview, refresh, down, env, pulumi, rotate."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from typing import Annotated

import typer

from components.config import stack_file
from components.config.platform import Platform
from components.config.settings import Settings, SettingsError
from overlab import doctor, openssh
from overlab.cli import outcome
from overlab.cli.application import PASS_ON, JsonOption, StackOption, errors, load_settings, notify, read_settings
from overlab.core import exit_codes
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform import footprint, prepare
from overlab.platform.manifest import PlatformManifest
from overlab.recovery.recovery import Recovery
from overlab.stack import (
    check_commands,
    event_log,
    leftovers,
    operation,
    phases,
    remembered,
    running_store,
    state,
    subnets,
)
from overlab.stack.convergence import Convergence
from overlab.stack.foreground import Ended
from overlab.stack.leftovers import Survey
from overlab.stack.losses import losses
from overlab.stack.stack import UNSET, Stack

commands = typer.Typer()


@commands.command(epilog="Example: overlab up --stack ci")
def up(stack: StackOption = "", as_json: JsonOption = False) -> None:
    """Prepare the platform and bring the lab up, or back to what is declared; a second run looks, and changes nothing.

    Exit code 1: something is not as declared. It is named with its cause.
    """
    _up(stack, as_json=as_json)


@commands.command(epilog="Example: overlab restart docker01")
def restart(node: str, stack: StackOption = "") -> None:
    """Reset a node, as a power cut would, and bring the lab back to what is declared."""
    _up(stack, reset=node)


@commands.command(epilog="Example: overlab replace docker01")
def replace(node: str, stack: StackOption = "") -> None:
    """Make a node again, with an empty disk, and all that is on it."""
    _up(stack, replaced=node)


@commands.command(epilog="Example: overlab preview --stack ci")
def preview(stack: StackOption = "") -> None:
    """Preview the changes that `up` would make, with a sentence for each thing that would be lost."""
    settings, progress = load_settings(stack), Progress()
    opened = _prepared_stack(settings, progress)
    known = state.read(opened)
    subnets.refuse_taken(known, settings)
    running_store.refuse_changed(known, settings)
    repeated = _replaced(check_commands.of_incomplete_run(known))
    ended = _run(opened, ["preview", *repeated], progress, timings=False)
    _say_losses(opened)
    raise typer.Exit(_explained(opened, "preview", ended, settings))


@commands.command(epilog="Example: overlab refresh --stack ci")
def refresh(stack: StackOption = "", as_json: JsonOption = False) -> None:
    """Update the stack's state from the deployed resources."""
    settings, progress = load_settings(stack), Progress()
    with outcome.document(as_json) as write, contextlib.ExitStack() as held:
        opened = _prepared_stack(settings, progress)
        held.enter_context(_only_one(opened, settings.name, "refresh", progress))
        Convergence(opened, settings.name, _platform(settings.name), progress, notify).before_refresh()
        ended = _run(opened, ["refresh", "--yes", "--skip-preview"], progress, timings=True)
        code = _explained(opened, "refresh", ended, settings)
        write(opened, progress, code, settings, ())
    raise typer.Exit(code)


@commands.command(epilog="Example: overlab down --stack ci --platform")
def down(
    stack: StackOption = "",
    platform: Annotated[bool, typer.Option("--platform", help="Remove the platform as well.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --platform: remove it without a destroy.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Destroy the lab. Nothing of it stays on a hypervisor, or what stays is named and the exit code is not 0.

    Exit code 3: there was nothing to destroy.
    """
    if force and not platform:
        raise OverlabError("--force has no effect without --platform", "overlab down --platform --force")
    lab = _lab_of(stack)
    progress = Progress()
    prepared = LabPaths(lab).state.exists()
    if force:
        prepare.refuse_orphaning(lab)
    recorded = None if force else prepare.restart_daemons(lab, progress)
    left, empty, removed = None, True, False
    with contextlib.ExitStack() as held:
        if recorded is not None:
            opened = _recorded_stack(stack, lab)
            held.enter_context(_only_one(opened, lab, "down", progress))
            empty = opened.is_empty()
            with outcome.document(as_json) as write:
                left, removed = _destroy(opened, lab, recorded, progress, write)
            empty = empty and not removed
        if platform:
            with progress.step("remove the platform"):
                prepare.teardown(lab, progress)
    nothing = not prepared if platform else empty
    if platform and not nothing:
        progress.note(f"lab {lab}: the platform is removed; left: 0 {', '.join(footprint.KINDS.values())}")
    if recorded is not None and left is not None:
        if not (platform and recorded.kind == "bundled"):
            leftovers.refuse_left(left, lab)
        if not nothing:
            progress.note(f"lab {lab} is down; left: 0 domains, containers, networks, volumes, pools")
    if nothing:
        progress.note(f"lab {lab} is not up: nothing to destroy")
        raise typer.Exit(exit_codes.NOTHING)


@commands.command(epilog='Example: eval "$(overlab env --stack ci)"; pulumi stack output')
def env(stack: StackOption = "") -> None:
    """Print shell exports, so that plain `pulumi` works on the lab: eval "$(overlab env)"."""
    opened = _prepared_stack(load_settings(stack), Progress())
    print(f"unset {' '.join(UNSET)}")
    for key, value in opened.variables().items():
        print(f"export {key}={shlex.quote(value)}")
    print(f"export PATH={shlex.quote(opened.path_variable())}")


@commands.command(context_settings=PASS_ON, epilog="Example: overlab pulumi --stack ci -- stack output --json")
def pulumi(context: typer.Context, stack: StackOption = "") -> None:
    """Run `pulumi ARGS` on the lab: overlab pulumi -- stack output."""
    _prepared_stack(load_settings(stack), Progress()).replace_process(context.args)


@commands.command(epilog="Example: overlab rotate --stack ci && overlab up --stack ci")
def rotate(
    stack: StackOption = "",
    authority: Annotated[
        bool, typer.Option("--ca", help="The CA as well: client keys issued before are then refused.")
    ] = False,
) -> None:
    """Renew every key, certificate and token: SSH, the engines' API, the store; the next `up` installs them."""
    settings = load_settings(stack)
    for what in prepare.rotate(settings, Progress(), authority=authority):
        print(f"renewed: {what}")
    restarts = "containers keep running" if settings.engine.live_restore else "so do containers: live_restore is off"
    engines = f" (the engines restart, {restarts})" if settings.engine.api == "tls" else ""
    print(f"next: overlab up --stack {stack}{engines}")


# -- shared ----------------------------------------------------------------------------------------


def _up(stack: str, *, reset: str = "", replaced: str = "", as_json: bool = False) -> None:
    """Bring the lab up, after a reset of one node, or with one that is made again."""
    settings, progress = load_settings(stack), Progress()
    if node := reset or replaced:
        openssh.node_named(settings, node)
    with outcome.document(as_json) as write, contextlib.ExitStack() as held:
        opened = _prepared_stack(settings, progress)
        command = f"restart {reset}" if reset else f"replace {replaced}" if replaced else "up"
        held.enter_context(_only_one(opened, settings.name, command, progress))
        known = state.read(opened)
        subnets.refuse_taken(known, settings)
        running_store.refuse_changed(known, settings)
        convergence = Convergence(opened, settings.name, _platform(settings.name), progress, notify)
        convergence.before_up(settings)
        if reset:
            convergence.reset(reset)
        urns = convergence.machine_urns(replaced) if replaced else []
        # hundreds of lines of outputs, which `pulumi stack output` shows when they are wanted
        words = ["up", "--yes", "--skip-preview", "--suppress-outputs"]
        ended, findings = Recovery(convergence, settings).run(
            lambda again, targets: _run_twice(
                convergence, [*words, *_replaced(again), *_targets(targets)], settings.networks
            ),
            urns,
        )
        for one in findings:
            notify(f"not as declared: {one.subject}: {one.message} ({one.id}: {one.evidence}); remedy: {one.remedy}")
        code = _explained(opened, "up", ended, settings) or (exit_codes.FAILED if findings else 0)
        if code and not ended.interrupted:
            outcome.keep_evidence(settings, convergence.platform, opened, f"up ended with exit code {code}")
        write(opened, progress, code, settings, findings)
    raise typer.Exit(code)


def _lab_of(stack: str) -> str:
    """The lab that the stack has, whatever its settings name now, and also where they are invalid.

    Raises :class:`SettingsError` for text that cannot be a stack's name.
    """
    if problems := stack_file.name_problems(stack):
        raise SettingsError(stack, problems)
    try:
        lab = read_settings(stack).name
    except SettingsError as error:
        lab = next(iter(remembered.labs_of(stack)), stack)
        notify(f"{error}\ntaking down the lab {lab} of stack {stack}")
    before = remembered.renamed_from(stack, lab)
    if before is not None:
        notify(f"stack {stack} has the lab {before}, not {lab}, which its settings name now: taking down {before}")
        return before
    remembered.refuse_lab_of_another(stack, lab)
    return lab


def _prepared_stack(settings: Settings, progress: Progress) -> Stack:
    """The stack of these settings, with its platform prepared and itself created."""
    prepare.prepare(settings, progress)
    for line in doctor.expiring(settings):
        progress.note(line)
    stack = _recorded_stack(settings.stack, settings.name)
    _unlock(stack, progress)
    code = stack.ensure()
    if code != 0:
        cause = f"`pulumi stack init {stack.name}` ended with exit code {code}"
        raise OverlabError(cause, "see its output above", component="stack")
    return stack


def _recorded_stack(name: str, lab: str) -> Stack:
    paths = LabPaths(lab)
    manifest = PlatformManifest.load(paths)
    if manifest is None:
        raise OverlabError(f"the platform of lab {lab} is not prepared", "overlab up")
    return Stack(name, paths, manifest)


@contextlib.contextmanager
def _only_one(stack: Stack, lab: str, command: str, progress: Progress) -> Iterator[None]:
    """No other command, nor a Pulumi process of one that was killed, changes the lab until the block ends."""
    with operation.only_one(LabPaths(lab), command):
        _unlock(stack, progress)
        stack.refuse_locked()
        yield


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


def _destroy(
    stack: Stack, lab: str, platform: Platform, progress: Progress, write: outcome.Write
) -> tuple[Survey, bool]:
    """Destroy what the state has, remove what it does not have; what is left then, and whether any was removed."""
    convergence = Convergence(stack, lab, platform, progress, notify)
    if not stack.is_empty():
        convergence.before_down()
        ended = _run_twice(convergence, ["destroy", "--yes", "--skip-preview"])
        code = _explained(stack, "destroy", ended, None)
        write(stack, progress, code, None, ())
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


def _explained(stack: Stack, operation: str, ended: Ended, settings: Settings | None) -> int:
    """The exit code; what failed is reported."""
    if ended.interrupted:
        return exit_codes.INTERRUPTED
    if ended.code != 0:
        outcome.explain(stack, operation, settings)
    return exit_codes.OPERATION_FAILED if ended.code < 0 else ended.code


def _say_losses(stack: Stack) -> None:
    """A sentence for each thing that the last operation destroys."""
    for sentence in losses(event_log.read(stack.event_log)):
        notify(sentence)


def _run(stack: Stack, args: list[str], progress: Progress, *, timings: bool) -> Ended:
    """Run Pulumi, which draws on the terminal itself; then print the timings, unless it failed."""
    words = args if sys.stdout.isatty() else [*args, "--non-interactive"]
    with progress.paused(), progress.step(f"pulumi {args[0]}"):
        ended = stack.run(words, events=stack.event_log, say=notify)
    changed = phases.read(stack.event_log) if timings else []
    if changed and args[0] == "up":
        shutil.copyfile(stack.event_log, stack.change_log)
        _say_losses(stack)
    if timings and ended.code == 0:
        if changed:
            errors.print(phases.table(changed))
        errors.print(progress.table())
        if not changed and args[0] == "up":
            notify("nothing changed, so no check ran: overlab test runs them")
    return ended
