"""Commands about settings and prerequisites; none needs a running lab: validate, new, schema, doctor."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from components.config.settings import Settings, SettingsError
from overlab import doctor as diagnosis
from overlab.cli import completion
from overlab.cli.application import JsonOption, StackOption, read_settings
from overlab.config import change
from overlab.config import new as new_stack
from overlab.config import schema as editor_schema
from overlab.config import validate as validation
from overlab.core import exit_codes
from overlab.core.errors import OverlabError
from overlab.core.terminal import SafeConsole
from overlab.inspect.snapshot import DEFAULT_STACK

commands = typer.Typer()

_PLAIN_WIDTH = 160  # of a table that goes to a file


@commands.command(epilog="Example: overlab validate --all")
def validate(
    stack: StackOption = "",
    every: Annotated[bool, typer.Option("--all", help="Every stack of the project.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Validate a stack's settings; needs neither engine nor hypervisor. Exit code 2 if something is wrong."""
    results = validation.validate(validation.every_stack() if every else [stack])
    if as_json:
        print(json.dumps(validation.as_json(results), indent=1))
    else:
        print("\n".join([*(result.text for result in results), *validation.conflicts(results)]))
    raise typer.Exit(0 if all(result.valid for result in results) else exit_codes.COULD_NOT_RUN)


@commands.command(epilog="Example: overlab new mine --from ci --set machine.kind=container")
def new(
    name: Annotated[str, typer.Argument(metavar="STACK", help="The stack to create.")],
    source: Annotated[
        str,
        typer.Option("--from", help="The stack whose file to start from.", autocompletion=completion.stacks),
    ] = DEFAULT_STACK,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Below overlab:lab; repeatable.")
    ] = None,
) -> None:
    """Create a stack's settings file from another one's, with its comments, on an unused underlay."""
    print(f"created {new_stack.create(name, source, changes or [])}; next: overlab up --stack {name}")


@commands.command("completion", epilog='Example: eval "$(overlab completion bash)"')
def print_completion(shell: Annotated[completion.Shell, typer.Argument(help="For which shell.")]) -> None:
    """Print what makes a shell complete commands, stacks, nodes, checks and paths of settings."""
    print(completion.script(shell), end="")


@commands.command("set", epilog="Example: overlab set --stack ci machine.memory_mib=2048 nodes.docker04={}")
def set_values(
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH=VALUE", help="Below overlab:lab; repeatable.", autocompletion=completion.paths),
    ] = None,
    stack: StackOption = "",
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="PATH", help="Remove a key; repeatable.")
    ] = None,
) -> None:
    """Change a stack's settings file; comments and everything else in it stay."""
    if not changes and not unset:
        raise OverlabError("no change was given", "overlab set PATH=VALUE..., such as machine.memory_mib=2048")
    difference = change.apply(stack, changes or [], unset or [])
    sys.stdout.write(difference)
    print(f"changed Pulumi.{stack}.yaml; next: overlab up --stack {stack}" if difference else "nothing to change")


@commands.command(epilog="Example: overlab schema --check")
def schema(
    check: Annotated[bool, typer.Option("--check", help="Only check that it is current; exit code 1 if not.")] = False,
) -> None:
    """Write the JSON Schema with which editors complete and check stack files."""
    if not check:
        print(f"wrote {editor_schema.write()}")
    elif not editor_schema.is_current():
        raise OverlabError(f"{editor_schema.FILE} does not match the settings", "overlab schema")


@commands.command(epilog="Example: overlab doctor --stack ci")
def doctor(stack: StackOption = "", as_json: JsonOption = False) -> None:
    """Check every prerequisite and every part of the platform; exit code 1 if something is missing."""
    settings: Settings | SettingsError
    try:
        settings = read_settings(stack)
    except SettingsError as error:
        settings = error
    results = diagnosis.examine(stack, settings)
    if as_json:
        print(json.dumps(diagnosis.as_json(results, diagnosis.expiries(settings)), indent=1))
    else:
        width = None if sys.stdout.isatty() else _PLAIN_WIDTH
        SafeConsole(highlight=False, width=width).print(diagnosis.as_table(results))
    raise typer.Exit(0 if diagnosis.healthy(results) else exit_codes.FAILED)
