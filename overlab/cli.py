"""The command line ``overlab``: thin calls; what happens is in the modules that are called."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.core
from rich.console import Console

from components.config import settings as lab_settings
from components.config.platform import Platform
from components.config.settings import Settings, SettingsError
from overlab import doctor as examination
from overlab import event_log, lab_handle, phases, remote
from overlab.checks import command as check_command
from overlab.config import new as new_stack
from overlab.config import schema as editor_schema
from overlab.config import validate as validation
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.inspect import command as looking
from overlab.platform import prepare
from overlab.platform.manifest import PlatformManifest, checkout
from overlab.report import graph as graphs
from overlab.report import page, picture
from overlab.stack import UNSET, Stack

EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 2
EXIT_INTERRUPTED = 130

_DEFAULT_STACK = "dev"
_PLAIN_WIDTH = 160  # of a table that goes to a file

_errors = Console(stderr=True, highlight=False)


class _Commands(typer.core.TyperGroup):
    """Turns every expected failure into a sentence on standard error and an exit code."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer.Context is the vendored one
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            _say(str(error))
            raise typer.Exit(EXIT_BAD_SETTINGS) from error
        except OverlabError as error:
            _say(f"error: {error}")
            raise typer.Exit(EXIT_FAILED) from error
        except KeyboardInterrupt as error:
            _say("interrupted; run the command again to go on from here")
            raise typer.Exit(EXIT_INTERRUPTED) from error


app = typer.Typer(
    cls=_Commands,
    help="A Docker cross-host network lab, declared once, brought up on real machines, proven to work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
inspect = typer.Typer(help="Look inside, to learn.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(inspect, name="inspect")
_StackOption = Annotated[
    str | None, typer.Option("--stack", "-s", help=f"The stack; default {_DEFAULT_STACK}.", show_default=False)
]
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.callback()
def _common(context: typer.Context, stack: _StackOption = None) -> None:
    context.obj = stack


@app.command()
def up(context: typer.Context, stack: _StackOption = None) -> None:
    """Prepare the platform and bring the lab up; again: change nothing, and say so."""
    raise typer.Exit(_operate(_chosen(context, stack), ["up", "--yes", "--skip-preview"], timings=True))


@app.command()
def preview(context: typer.Context, stack: _StackOption = None) -> None:
    """Say what `up` would do."""
    raise typer.Exit(_operate(_chosen(context, stack), ["preview"]))


@app.command()
def refresh(context: typer.Context, stack: _StackOption = None) -> None:
    """Bring the state in line with what is really there."""
    raise typer.Exit(_operate(_chosen(context, stack), ["refresh", "--yes", "--skip-preview"], timings=True))


@app.command()
def down(
    context: typer.Context,
    stack: _StackOption = None,
    platform: Annotated[bool, typer.Option("--platform", help="Remove the platform too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --platform: do not destroy first, just remove.")] = False,
) -> None:
    """Destroy the lab."""
    if force and not platform:
        raise OverlabError("--force means nothing without --platform", "overlab down --platform --force")
    name = _chosen(context, stack)
    lab = _lab_name(name)
    progress = Progress()
    if force:
        prepare.refuse_orphaning(lab)
    found = None if force else prepare.restart_daemons(lab, progress)
    if found is not None and _opened(name, lab).exists():
        opened = _opened(name, lab)
        _unlock(opened, progress)
        code = _run(opened, ["destroy", "--yes", "--skip-preview"], progress, timings=True)
        if code != 0:
            raise typer.Exit(code)
    if platform:
        with progress.step("remove the platform"):
            prepare.teardown(lab, progress)
        progress.note(f"nothing of lab {lab} is left")
    elif found is None:
        progress.note(f"lab {lab} has no platform: nothing to destroy")


@app.command()
def env(context: typer.Context, stack: _StackOption = None) -> None:
    """Print shell exports, so that plain `pulumi` works on the lab: eval "$(overlab env)"."""
    opened = _prepared(_chosen(context, stack), Progress())
    print(f"unset {' '.join(UNSET)}")
    for key, value in opened.variables().items():
        print(f"export {key}={shlex.quote(value)}")
    print(f"export PATH={shlex.quote(opened.path_variable())}")


@app.command(context_settings=_PASS_ON)
def pulumi(context: typer.Context, stack: _StackOption = None) -> None:
    """Run `pulumi ARGS` on the lab: overlab pulumi -- stack output."""
    _prepared(_chosen(context, stack), Progress()).replace_process(context.args)


@app.command("exec", context_settings=_PASS_ON)
def execute(context: typer.Context, node: str, stack: _StackOption = None) -> None:
    """Run a command as root on a node: overlab exec docker01 -- docker ps."""
    cmd = context.args[1:] if context.args[:1] == ["--"] else context.args
    if not cmd:
        raise OverlabError("no command was given", "overlab exec NODE -- COMMAND..., or overlab ssh NODE for a shell")
    terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    _on_node(_chosen(context, stack), node, cmd, terminal=terminal)


@app.command()
def ssh(context: typer.Context, node: str, stack: _StackOption = None) -> None:
    """Open a root shell on a node."""
    _on_node(_chosen(context, stack), node, [], terminal=True)


@app.command()
def doctor(
    context: typer.Context,
    stack: _StackOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at every prerequisite and every part of the platform; exit code 1 where something is missing."""
    name = _chosen(context, stack)
    settings: Settings | SettingsError
    try:
        settings = _settings(name)
    except SettingsError as error:
        settings = error
    findings = examination.examine(name, settings)
    if as_json:
        print(json.dumps(examination.as_json(findings, examination.expiries(settings)), indent=1))
    else:
        width = None if sys.stdout.isatty() else _PLAIN_WIDTH
        Console(highlight=False, width=width).print(examination.as_table(findings))
    raise typer.Exit(0 if examination.healthy(findings) else EXIT_FAILED)


@app.command()
def rotate(
    context: typer.Context,
    stack: _StackOption = None,
    authority: Annotated[
        bool, typer.Option("--ca", help="The authority too: old client keys are then refused.")
    ] = False,
) -> None:
    """Renew the keys and certificates of the engines' API; the next `up` carries them to the engines."""
    name = _chosen(context, stack)
    settings = _settings(name)
    renewed = prepare.rotate(settings, Progress(), authority=authority)
    whose = f"the client and {len(renewed.server_certs)} servers{', of a new authority' if authority else ''}"
    restarts = "no container does" if settings.engine.live_restore else "so do their containers: live_restore is off"
    print(f"renewed: {whose}; next: overlab up --stack {name} (the engines restart, {restarts})")


@app.command()
def validate(
    context: typer.Context,
    stack: _StackOption = None,
    every: Annotated[bool, typer.Option("--all", help="Every stack of the project.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Judge a stack's settings, whole; needs neither engine nor hypervisor. Exit code 2 where something is wrong."""
    verdicts = validation.validate(validation.every_stack() if every else [_chosen(context, stack)])
    if as_json:
        print(json.dumps(validation.as_json(verdicts), indent=1))
    else:
        print("\n".join([*(verdict.text for verdict in verdicts), *validation.conflicts(verdicts)]))
    raise typer.Exit(0 if all(verdict.valid for verdict in verdicts) else EXIT_BAD_SETTINGS)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="STACK", help="The stack to make.")],
    source: Annotated[str, typer.Option("--from", help="The stack whose file to start from.")] = _DEFAULT_STACK,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Below overlab:lab; again for more.")
    ] = None,
) -> None:
    """Make a stack's settings file from another one's, with its comments, on a lab network that is free."""
    print(f"made {new_stack.create(name, source, changes or [])}; next: overlab up --stack {name}")


@app.command()
def schema(
    check: Annotated[bool, typer.Option("--check", help="Only say whether it is current; exit code 1 if not.")] = False,
) -> None:
    """Write the JSON Schema by which editors complete and check stack files."""
    if not check:
        print(f"wrote {editor_schema.write()}")
    elif not editor_schema.is_current():
        raise OverlabError(f"{editor_schema.FILE} is not what the settings say", "overlab schema")


@app.command("test")
def run_checks(
    context: typer.Context,
    stack: _StackOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="KIND|NAME", help="A kind, a workload, or ids with * and ?; again for more."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="JUnit XML too.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="A page too.")] = None,
    within: Annotated[
        int | None, typer.Option("--within", metavar="S", min=1, help="Seconds a check may take; default: its own.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again; then show what changed.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="S", min=1, help="Seconds between, with --watch.")] = 30,
) -> None:
    """Run the lab's checks now. Exit code 0: all passed; 1: one failed; 2: not everything could be run."""
    wanted = check_command.CheckOptions(only or (), as_json, junit, html, within)
    console = Console(highlight=False)
    name = _chosen(context, stack)
    try:
        wanted.forget()
        lab = lab_handle.open_lab(name, _settings(name), Progress())
        if watch:
            code = check_command.watch(partial(check_command.once, lab, wanted, Progress()), wanted, console, every)
        else:
            found = check_command.once(lab, wanted, Progress())
            check_command.show(found, wanted, console)
            code = found.exit_code
    except OverlabError as error:
        _say(f"error: {error}")
        code = check_command.EXIT_COULD_NOT_RUN
    raise typer.Exit(code)


@app.command()
def graph(
    context: typer.Context,
    stack: _StackOption = None,
    form: Annotated[graphs.Format, typer.Option("--format", help="What draws it.")] = "mermaid",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; default: standard output.")] = None,
) -> None:
    """Draw the lab, coloured by its last test; a lab that is not up as it would be."""
    name = _chosen(context, stack)
    known = lab_handle.report_data(name, _settings(name))
    run = known.known.run
    drawn = picture.build(known.settings, known.outputs, known.known.results, run.begun if run else None)
    _deliver(graphs.render(drawn, form), output)


@app.command("report")
def write_report(
    context: typer.Context,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="The page to write.")],
    stack: _StackOption = None,
) -> None:
    """Write one page about the lab that stands alone: picture, addresses, checks, timings, versions."""
    name = _chosen(context, stack)
    _deliver(page.render(lab_handle.report_data(name, _settings(name))), html)


@app.command()
def status(
    context: typer.Context,
    stack: _StackOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="S", min=1, help="Seconds between, with --watch.")] = 10,
) -> None:
    """Show machines, engines, store, overlays and endpoints, and where they disagree.

    Exit code 0: all agree; 1: something disagrees or is down; 2: nothing could be looked at.
    """
    settings = _settings(_chosen(context, stack))
    try:
        code = looking.watch(settings, every, as_json=as_json) if watch else looking.status(settings, as_json=as_json)
    except OverlabError as error:
        _say(f"error: {error}")
        code = looking.EXIT_COULD_NOT_LOOK
    raise typer.Exit(code)


@inspect.command()
def cnm(
    context: typer.Context,
    node: Annotated[str | None, typer.Argument(help="Default: every node.", show_default=False)] = None,
    stack: _StackOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show sandboxes, endpoints and networks in libnetwork's own terms."""
    raise typer.Exit(looking.inspect_cnm(_settings(_chosen(context, stack)), node, as_json=as_json))


@app.command()
def ui(
    context: typer.Context,
    stack: _StackOption = None,
    port: Annotated[int | None, typer.Option("--port", metavar="N", help="Default: a free one.")] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Open no browser.")] = False,
) -> None:
    """Reach the store's own web page: prints its URL, and keeps it reachable until interrupted."""
    looking.show_ui(_settings(_chosen(context, stack)), port, browser=not only_print)


@app.command("ssh-config")
def print_ssh_config(
    context: typer.Context,
    stack: _StackOption = None,
    write: Annotated[bool, typer.Option("--write", help="Write it and print the file's name.")] = False,
) -> None:
    """Print OpenSSH's configuration for the nodes: ssh -F "$(overlab ssh-config --write)" docker01."""
    looking.print_ssh_config(_settings(_chosen(context, stack)), write=write)


@app.command("context")
def print_context(
    context: typer.Context,
    node: Annotated[str | None, typer.Argument(help="Default: docker -H ssh://NODE.", show_default=False)] = None,
    stack: _StackOption = None,
    tls: Annotated[bool, typer.Option("--tls", help="By the engine's TLS port and not over SSH.")] = False,
) -> None:
    """Print shell exports that point Docker's own client at a node: eval "$(overlab context docker01)"; docker ps."""
    looking.print_context(_settings(_chosen(context, stack)), node, tls=tls)


def main() -> NoReturn:
    """Entry point. TERM is an interrupt: tools that run are ended and what is half-made is removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
    sys.exit(0)


# -- what the commands share -----------------------------------------------------------------------


def _chosen(context: typer.Context, stack: str | None) -> str:
    """The stack, given after the command, before it, or neither."""
    return stack or context.obj or _DEFAULT_STACK


def _settings(stack: str) -> Settings:
    return lab_settings.from_stack_file(checkout(), stack)


def _lab_name(stack: str) -> str:
    """The lab's name; the stack's where the settings are broken, so that it can still be taken down."""
    try:
        return _settings(stack).name
    except SettingsError as error:
        _say(f"{error}\ntaking the lab's name from the stack: {stack}")
        return stack


def _platform(settings: Settings, progress: Progress) -> Platform:
    platform = prepare.ready(settings)
    if platform is None:
        with progress.step("platform"):
            platform = prepare.prepare(settings, progress)
    return platform


def _prepared(stack: str, progress: Progress) -> Stack:
    """The stack with its platform prepared and itself made."""
    settings = _settings(stack)
    _platform(settings, progress)
    for line in examination.expiring(settings):
        progress.note(line)
    opened = _opened(stack, settings.name)
    _unlock(opened, progress)
    code = opened.ensure()
    if code != 0:
        raise OverlabError(f"`pulumi stack init {stack}` ended with exit code {code}", "see its output above")
    return opened


def _opened(stack: str, lab: str) -> Stack:
    paths = LabPaths(lab)
    prepared = PlatformManifest.load(paths)
    if prepared is None:
        raise OverlabError(f"the platform of lab {lab} is not prepared", "overlab up")
    return Stack(stack, paths, prepared)


def _unlock(opened: Stack, progress: Progress) -> None:
    for lock in opened.remove_stale_locks():
        progress.note(f"removed the lock that a dead pulumi process left: {lock}")


def _operate(stack: str, args: list[str], *, timings: bool = False) -> int:
    progress = Progress()
    return _run(_prepared(stack, progress), args, progress, timings=timings)


def _run(opened: Stack, args: list[str], progress: Progress, *, timings: bool) -> int:
    """Run Pulumi, which draws on the terminal itself, and say where the time went."""
    words = args if sys.stdout.isatty() else [*args, "--non-interactive"]
    with progress.paused(), progress.step(f"pulumi {args[0]}"):
        code = opened.run(words, events=opened.event_log)
    events = event_log.read(opened.event_log) if timings or code != 0 else []
    if timings:
        changed = phases.spans(events)
        if changed:
            _errors.print(phases.table(changed))
            if args[0] == "up":
                shutil.copyfile(opened.event_log, opened.change_log)
        _errors.print(progress.table())
    if code != 0:
        for failure in event_log.failures(events):
            _say(f"failed: {failure}")
    return code


def _on_node(stack: str, node: str, cmd: list[str], *, terminal: bool) -> None:
    settings = _settings(stack)
    platform = prepare.ready(settings) or prepare.restart_daemons(settings.name, Progress())
    if platform is None:
        raise OverlabError(f"the lab {settings.name} is not up", f"overlab up --stack {stack}")
    remote.replace_process(remote.command(settings, platform, node, cmd, terminal=terminal))


def _deliver(text: str, output: Path | None) -> None:
    """To a file, which is said, or to standard output."""
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, "utf-8")
    except OSError as error:
        raise OverlabError(f"{output} cannot be written: {error}", "name another file") from error
    _say(f"wrote {output}")


def _say(text: str) -> None:
    _errors.print(text, markup=False, soft_wrap=True)
