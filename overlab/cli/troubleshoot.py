"""Commands that find out why packets are lost, and restore what a kernel lost: why, repair, capture."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import IO, Annotated

import typer

from overlab.cli.application import JsonOption, StackOption, notify
from overlab.cli.inspect import open_cluster
from overlab.core import exit_codes
from overlab.core.errors import OverlabError
from overlab.core.terminal import clean
from overlab.inspect import display
from overlab.inspect.attached import AttachedCluster
from overlab.troubleshoot import capture as packet_capture
from overlab.troubleshoot import repair as kernels
from overlab.troubleshoot import why as packets

commands = typer.Typer()

Workload = Annotated[str, typer.Argument(help="A container's name, NODE/NAME, or an address on an overlay network.")]


@commands.command(epilog="Example: overlab why t1 t2")
def why(
    source: Workload,
    target: Workload,
    stack: StackOption = "",
    network: Annotated[str, typer.Option("--network", metavar="NAME", help="Where both are on several.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Follow packets from one workload to another, and back, and name the first hop that fails.

    Exit code 0: packets pass; 1: a hop fails; 2: not everything could be looked at.
    """
    try:
        answer = packets.ask(open_cluster(stack), source, target, network)
    except OverlabError as error:
        notify(f"error: {error}")
        raise typer.Exit(exit_codes.COULD_NOT_RUN) from error
    if as_json:
        print(json.dumps(answer.as_json(), indent=1))
    else:
        display.console().print(packets.render(answer))
    raise typer.Exit(packets.exit_code(answer))


@commands.command(epilog="Example: overlab repair --dry-run")
def repair(
    stack: StackOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print every command, and run none.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Needed for a cluster that was attached.")] = False,
) -> None:
    """Put back FDB and neighbor entries, veths and devices that nodes lost; nothing is restarted.

    Exit code 0: nothing is wrong any more of what it repairs; 1: something is left; 2: it could not look.
    """
    try:
        cluster = open_cluster(stack)
        planned = kernels.plan(cluster)
    except OverlabError as error:
        notify(f"error: {error}")
        raise typer.Exit(exit_codes.COULD_NOT_RUN) from error
    for step in planned:
        print(clean(step.shown))
    if not planned:
        print("nothing to repair")
    elif dry_run:
        print("nothing was changed")
    elif isinstance(cluster, AttachedCluster) and not yes:
        raise OverlabError(
            f"{cluster.name} was attached: nothing was changed", f"overlab repair -s {cluster.name} --yes"
        )
    else:
        for node, reason in kernels.run(cluster, planned).items():
            notify(f"error: {node}: {reason}")
        left = kernels.plan(cluster)
        for step in left:
            notify(f"error: not repaired: {step.shown}")
        print(f"{len(planned) - len(left)} of {len(planned)} repaired")
        raise typer.Exit(exit_codes.FAILED if left else exit_codes.DONE)


@commands.command(epilog="Example: overlab capture t1 | wireshark -k -i -")
def capture(
    what: Annotated[str, typer.Argument(metavar="WORKLOAD|NETWORK|NODE", help="Whose packets.")],
    stack: StackOption = "",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE|-", help="Where the pcap file goes; -: standard output.")
    ] = "-",
    encapsulated: Annotated[bool, typer.Option("--encapsulated", help="VXLAN packets of the underlay.")] = False,
    seconds: Annotated[float | None, typer.Option("--seconds", metavar="S", min=0, help="Default: until ^C.")] = None,
) -> None:
    """Capture packets of an overlay network, at a workload, a network's VXLAN devices or a node's underlay."""
    cluster = open_cluster(stack)
    wanted = packet_capture.tasks(cluster.take_snapshot(), what, encapsulated=encapsulated)
    # A shell's background jobs ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with _output(output) as file:
        notify(f"capturing on {', '.join(wanted)}; ^C ends it")
        notify(f"{packet_capture.run(cluster, wanted, file, seconds)} packets")


@contextlib.contextmanager
def _output(name: str) -> Iterator[IO[bytes]]:
    """Standard output for ``-``; else a file for its user alone: packets have what workloads say to each other."""
    if name == "-" and sys.stdout.isatty():
        raise OverlabError("packets are no text for a terminal", "-o FILE, or a pipe to wireshark -k -i -")
    if name == "-":
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise OverlabError(f"{name} cannot be written: {error}", "name another file") from error
    with os.fdopen(descriptor, "wb") as file:
        yield file
