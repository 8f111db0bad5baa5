"""The read-only commands: open the lab without starting anything, take a snapshot, print."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from datetime import datetime

from components.config.settings import Settings
from overlab import openssh
from overlab.core import exit_codes
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.core.terminal import SafeConsole, clean
from overlab.inspect import cluster, cnm, contexts, events, lab_collector, prometheus, ssh_config, status_screen, ui
from overlab.inspect.cluster import Cluster
from overlab.inspect.status import LabStatus

_PLAIN_WIDTH = 200  # of a screen that goes to a file


def status(inspected: Cluster, *, as_json: bool) -> int:
    """Take one snapshot and print its status; the exit code: see :attr:`LabStatus.exit_code`."""
    lab = LabStatus.of(inspected.take_snapshot())
    _print(lab, as_json=as_json)
    return lab.exit_code


def watch(inspected: Cluster, every_s: float, *, as_json: bool) -> int:
    """Repeat until interrupted; the exit code is that of the last snapshot."""
    code = exit_codes.COULD_NOT_RUN
    try:
        while True:
            begun = time.monotonic()
            lab = LabStatus.of(inspected.take_snapshot())
            code, took = lab.exit_code, time.monotonic() - begun
            if not as_json:
                screen = console()
                screen.clear()
                screen.print(f"{datetime.now():%H:%M:%S}, took {took:.0f} s, every {every_s:g} s; ^C ends\n")
            _print(lab, as_json=as_json)
            time.sleep(max(0.0, every_s - took))
    except KeyboardInterrupt:
        return code


def print_metrics(inspected: Cluster) -> int:
    """Take one snapshot and print its status as metrics; the exit code is that of :func:`status`."""
    lab = LabStatus.of(inspected.take_snapshot())
    sys.stdout.write(prometheus.render(lab))
    return lab.exit_code


def print_events(inspected: Cluster, every_s: float, *, as_json: bool) -> None:
    """Print what changes, one event a line, until interrupted. The first look tells what is there."""
    before: LabStatus | None = None
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            begun = time.monotonic()
            lab = LabStatus.of(inspected.take_snapshot())
            for event in events.changes(before, lab, datetime.now().astimezone()):
                print(json.dumps(event.model_dump()) if as_json else clean(str(event)), flush=True)
            before = lab
            time.sleep(max(0.0, every_s - (time.monotonic() - begun)))


def inspect_cnm(settings: Settings, node: str | None, *, as_json: bool) -> int:
    """Show one node, or every node, in libnetwork's terms; 2 where none answered, 1 where not all did."""
    platform = cluster.recorded(settings)
    if node is not None:
        openssh.node_named(settings, node)
    models = cnm.models(lab_collector.take_snapshot(settings, platform, [node] if node else None))
    if as_json:
        print(json.dumps(cnm.as_json(models), indent=1))
    else:
        console().print(cnm.render(models))
    errors = [model for model in models.values() if isinstance(model, str)]
    return 0 if not errors else 1 if len(errors) < len(models) else exit_codes.COULD_NOT_RUN


def show_ui(settings: Settings, port: int | None, *, browser: bool) -> None:
    """Print the URL of the store's web UI, open it where a screen is, and keep it reachable until interrupted."""
    # A shell's background jobs ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with ui.opened(settings, cluster.recorded(settings), Progress(), port) as page:
        print(page.url, flush=True)
        if browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            import webbrowser

            webbrowser.open(page.url)
        print("^C ends it", file=sys.stderr, flush=True)
        try:
            page.wait()
        except KeyboardInterrupt:
            return


def print_ssh_config(settings: Settings, *, write: bool) -> None:
    """Print an ``ssh_config`` of every node, or write it and print its path."""
    platform = cluster.recorded(settings)
    print(ssh_config.write(settings, platform) if write else ssh_config.render(settings, platform).rstrip())


def print_context(settings: Settings, node: str | None, *, tls: bool) -> None:
    """Print shell exports for Docker's own client."""
    platform = cluster.recorded(settings)
    if not tls:
        print(contexts.over_ssh(settings, platform, node, os.environ.get("PATH", "")), end="")
    elif node is None:
        raise OverlabError("--tls needs a node", f"one of: {', '.join(settings.nodes)}")
    else:
        print(contexts.over_tls(settings, platform, node), end="")


def _print(lab: LabStatus, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(lab.as_json(), indent=1), flush=True)
    else:
        console().print(status_screen.render(lab))


def console() -> SafeConsole:
    """Of the terminal's width; wide where it is none."""
    return SafeConsole(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
