"""Commands that inspect a lab or an attached cluster, or connect to its nodes: attach, detach, status, inspect cnm, ui,
ssh, exec, ssh-config, context."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from components.config import stack_file
from overlab import openssh
from overlab.cli import completion
from overlab.cli.application import PASS_ON, JsonOption, StackOption, load_settings, notify
from overlab.core import exit_codes
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.inspect import attached, display, machines
from overlab.inspect.cluster import Cluster, LabCluster
from overlab.platform.manifest import checkout
from overlab.stack import lab_handle

commands = typer.Typer()
NodeArgument = Annotated[str, typer.Argument(help="A node of the lab.", autocompletion=completion.nodes)]
_details = typer.Typer(help="Inspect the nodes in detail.", no_args_is_help=True, rich_markup_mode=None)
commands.add_typer(_details, name="inspect")


@commands.command(epilog="Example: overlab status --json")
def status(
    stack: StackOption = "",
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until interrupted.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="S", min=1, help="Seconds between, with --watch.")] = 10,
    metrics: Annotated[bool, typer.Option("--prometheus", help="Metrics in the text format of Prometheus.")] = False,
) -> None:
    """Show machines, engines, store, networks and endpoints, and where they disagree.

    Exit code 0: all agree; 1: something disagrees or is down; 2: nothing could be inspected.
    """
    try:
        named = open_cluster(stack)
        if metrics:
            code = display.print_metrics(named)
        else:
            code = display.watch(named, every, as_json=as_json) if watch else display.status(named, as_json=as_json)
    except OverlabError as error:
        notify(f"error: {error}")
        code = exit_codes.COULD_NOT_RUN
    raise typer.Exit(code)


@commands.command(epilog="Example: overlab events --json >>changes.jsonl")
def events(
    stack: StackOption = "",
    as_json: JsonOption = False,
    every: Annotated[float, typer.Option("--every", metavar="S", min=1, help="Seconds between looks.")] = 10,
) -> None:
    """Print what changes, a line each: nodes, endpoints and findings that appear or are gone; until interrupted."""
    display.print_events(open_cluster(stack), every, as_json=as_json)


@commands.command(epilog="Example: overlab attach prod ssh://root@a ssh://root@b; overlab status -s prod")
def attach(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for the cluster, for --stack.")],
    nodes: Annotated[list[str], typer.Argument(metavar="ssh://[USER@]HOST[:PORT]...", help="Every node.")],
    known_hosts: Annotated[
        Path | None, typer.Option("--known-hosts", metavar="FILE", help="Host keys; default: OpenSSH's own files.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="FILE", help="Private key; default: OpenSSH's own choice.")
    ] = None,
) -> None:
    """Attach a cluster that overlab did not create, for status, why, repair, capture, exec and ssh.

    Nothing is installed on the nodes. Their host keys must be known.
    """
    if name in stack_file.stacks(checkout()):
        raise OverlabError(f"{name} is a stack of this project", "give the cluster another name")
    attached.parse(name, nodes, known_hosts, identity).save()
    print(f"attached {name}; next: overlab status --stack {name}")


@commands.command(epilog="Example: overlab detach prod")
def detach(name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.clusters)]) -> None:
    """Forget an attached cluster; on its nodes there is nothing to remove."""
    attached.forget(name)


@_details.command(epilog="Example: overlab inspect cnm docker02")
def cnm(
    node: Annotated[
        str | None, typer.Argument(help="Default: every node.", show_default=False, autocompletion=completion.nodes)
    ] = None,
    stack: StackOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show sandboxes, endpoints and networks in libnetwork's own terms."""
    raise typer.Exit(display.inspect_cnm(load_settings(stack), node, as_json=as_json))


@commands.command("exec", context_settings=PASS_ON, epilog="Example: overlab exec docker01 --stack ci -- docker ps")
def execute(context: typer.Context, node: NodeArgument, stack: StackOption = "") -> None:
    """Run a command as root on a node. Options of this command come before the command, which `--` may precede."""
    named, cmd = _own_options(context)
    stack = named or stack
    if not cmd:
        raise OverlabError("no command was given", "overlab exec NODE -- COMMAND..., or overlab ssh NODE for a shell")
    terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    _on_node(stack, node, cmd, terminal=terminal)


@commands.command(epilog="Example: overlab ssh docker01 --stack ci")
def ssh(node: NodeArgument, stack: StackOption = "") -> None:
    """Open a root shell on a node."""
    _on_node(stack, node, [], terminal=True)


@commands.command(epilog="Example: overlab ui --port 8500")
def ui(
    stack: StackOption = "",
    port: Annotated[int | None, typer.Option("--port", metavar="N", help="Default: any free port.")] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Do not open a browser.")] = False,
) -> None:
    """Forward a local port to the store's web UI and print its URL; runs until interrupted."""
    display.show_ui(load_settings(stack), port, browser=not only_print)


@commands.command("ssh-config", epilog='Example: ssh -F "$(overlab ssh-config --write)" docker01')
def print_ssh_config(
    stack: StackOption = "",
    write: Annotated[bool, typer.Option("--write", help="Write it and print the file's name.")] = False,
) -> None:
    """Print OpenSSH's configuration for the nodes: ssh -F "$(overlab ssh-config --write)" docker01."""
    display.print_ssh_config(load_settings(stack), write=write)


@commands.command("context", epilog='Example: eval "$(overlab context docker01)"; docker ps')
def print_context(
    node: Annotated[
        str | None,
        typer.Argument(help="Default: docker -H ssh://NODE.", show_default=False, autocompletion=completion.nodes),
    ] = None,
    stack: StackOption = "",
    tls: Annotated[bool, typer.Option("--tls", help="Connect to the engine's TLS port instead of over SSH.")] = False,
) -> None:
    """Print shell exports that point the Docker CLI at a node: eval "$(overlab context docker01)"; docker ps."""
    display.print_context(load_settings(stack), node, tls=tls)


def _own_options(context: typer.Context) -> tuple[str, list[str]]:
    """The stack, where the words after the node begin with it, and the command that follows."""
    words, stack = list(context.args), ""
    while words and words[0].startswith("-") and words[0] != "--":
        option, equals, value = words.pop(0).partition("=")
        if option == "--help":
            print(context.get_help())
            raise typer.Exit
        if option not in ("-s", "--stack") or not (equals or words):
            remedy = "overlab exec NODE --stack STACK -- COMMAND..."
            raise OverlabError(f"`overlab exec` has no option {option}, or it has no value", remedy)
        stack = value if equals else words.pop(0)
    return stack, words[1:] if words[:1] == ["--"] else words


def open_cluster(name: str) -> Cluster:
    """The attached cluster of this name, or else the lab of the stack."""
    return attached.find(name) or LabCluster(load_settings(name))


def _on_node(stack: str, node: str, cmd: list[str], *, terminal: bool) -> None:
    if (named := attached.find(stack)) is not None:
        openssh.replace_process(named.command(node, cmd, terminal=terminal))
    settings = load_settings(stack)
    openssh.node_named(settings, node)
    platform = lab_handle.open_lab(stack, settings, Progress()).platform
    if platform.kind == "bundled":  # a local question; a remote hypervisor's answer may take seconds
        state = machines.states(settings, platform)[node]
        if state != machines.RUNNING and not state.startswith(machines.UNKNOWN):
            problem = f"the node {node} of lab {settings.name} does not run: {state}"
            raise OverlabError(problem, f"overlab up --stack {stack}")
    openssh.replace_process(openssh.command(settings, platform, node, cmd, terminal=terminal))
