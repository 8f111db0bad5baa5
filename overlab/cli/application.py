"""The application: error handling, exit codes, and what the commands share."""

from __future__ import annotations

import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from components.config import settings as lab_settings
from components.config.settings import Settings, SettingsError
from overlab.core import environment, exit_codes
from overlab.core.errors import OverlabError
from overlab.core.files import write_output
from overlab.core.terminal import SafeConsole, clean
from overlab.diagnosis import failures
from overlab.inspect.snapshot import DEFAULT_STACK
from overlab.platform.manifest import checkout
from overlab.stack.remembered import require_own_lab

errors = SafeConsole(stderr=True, highlight=False)


class _Commands(typer.core.TyperGroup):
    """Turns every expected failure into a message on standard error and an exit code."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer.Context is the vendored one
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            notify(str(error))
            raise typer.Exit(exit_codes.COULD_NOT_RUN) from error
        except OverlabError as error:
            operation = ctx.invoked_subcommand or ""
            notify(failures.as_text(operation, [failures.of_error(error)]) if error.component else f"error: {error}")
            raise typer.Exit(exit_codes.FAILED) from error
        except KeyboardInterrupt as error:
            notify("interrupted; run the command again to continue")
            raise typer.Exit(exit_codes.INTERRUPTED) from error


app = typer.Typer(
    cls=_Commands,
    help="A declarative lab for Docker multi-host networking, deployed with Pulumi on virtual machines and checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _chosen(context: typer.Context, stack: str) -> str:
    """The stack named after the command, before it, or the default one."""
    return stack or context.obj or DEFAULT_STACK


def _stacks(incomplete: str) -> list[str]:
    from overlab.cli import completion

    return completion.stacks(incomplete)


StackOption = Annotated[
    str,
    typer.Option(
        "--stack",
        "-s",
        callback=_chosen,
        help=f"The stack; default {DEFAULT_STACK}.",
        show_default=False,
        autocompletion=_stacks,
    ),
]
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
"""Context settings of a command whose arguments are another program's."""
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"overlab {version('overlab')}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    stack: StackOption = "",
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = stack


def main() -> NoReturn:
    """Entry point. SIGTERM is handled as an interrupt: running tools are ended and partial results removed."""
    environment.isolate()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
    sys.exit(0)


def read_settings(stack: str) -> Settings:
    """Of the stack, whichever lab they name. Raises SettingsError for what is wrong with them."""
    return lab_settings.from_stack_file(checkout(), stack)


def load_settings(stack: str) -> Settings:
    """Of the stack and its lab. Raises SettingsError, and OverlabError where they name a lab that is not its own."""
    settings = read_settings(stack)
    require_own_lab(stack, settings.name)
    return settings


def notify(text: str) -> None:
    """One message on standard error."""
    errors.print(text, markup=False, soft_wrap=True)


def deliver(text: str, output: Path | None) -> None:
    """Write to a file and report its name, or write to standard output."""
    if output is None:
        sys.stdout.write(clean(text))
    else:
        write_output(output, text)
        notify(f"wrote {output}")
