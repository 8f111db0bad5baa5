"""Looks at a whole lab: one SSH session a node, all at once, and the machines as the hypervisor has them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any

from pydantic import ValidationError

from components.config import conventions, docker_names
from components.config.platform import Platform
from components.config.settings import Settings
from components.node import watchdog
from overlab import remote
from overlab.inspect import machines
from overlab.inspect.report import NodeReport
from overlab.inspect.snapshot import LATE, Node, Snapshot, Wanted

CONNECT_LIMIT_S = 15
LOOK_LIMIT_S = 90
"""Of everything that runs on a node, after the connection stands."""
SESSION_LIMIT_S = CONNECT_LIMIT_S + LOOK_LIMIT_S + 15


def look_at(settings: Settings, platform: Platform, only: Iterable[str] | None = None) -> Snapshot:
    """What is there now. Takes as long as the slowest node, :data:`SESSION_LIMIT_S` at the most; raises nothing.

    A node that does not answer is in the result, with the reason. ``only`` names the nodes that are asked.
    """
    running: list[subprocess.Popen[bytes]] = []
    with ThreadPoolExecutor(max_workers=len(settings.nodes) + 1) as pool, _ended_with_us(running):
        asked = pool.submit(machines.states, settings, platform)
        sessions = {key: pool.submit(_ask, settings, platform, key, running) for key in only or settings.nodes}
        return Snapshot(
            lab=settings.name,
            wanted=wanted(settings),
            machines=asked.result(),
            nodes={key: session.result() for key, session in sessions.items()},
        )


@contextlib.contextmanager
def _ended_with_us(running: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """An interrupt ends the sessions, or their threads would be waited for."""
    try:
        yield
    finally:
        for process in running:
            process.terminate()


def wanted(settings: Settings) -> Wanted:
    """What the settings say of that which can be seen."""
    return Wanted(
        stack=settings.stack,
        store=docker_names.store_url(settings.store_addresses),
        servers=settings.store.servers,
        store_nodes=settings.store_nodes,
        nodes={key: str(node.address) for key, node in settings.nodes.items()},
        advertise={key: docker_names.advertised(node.address) for key, node in settings.nodes.items()},
        overlays={name: str(spec.subnet) if spec.subnet else None for name, spec in settings.networks.items()},
        workloads=dict(settings.placement),
    )


def _ask(settings: Settings, platform: Platform, key: str, running: list[subprocess.Popen[bytes]]) -> Node:
    begun = time.monotonic()
    report, error = _report(settings, platform, key, running)
    return Node(report=report, error=error, seconds=round(time.monotonic() - begun, 1))


def _report(
    settings: Settings, platform: Platform, key: str, running: list[subprocess.Popen[bytes]]
) -> tuple[NodeReport | None, str | None]:
    store = f"http://{docker_names.store_address(settings.store_addresses)}"
    script = ["python3", "-", store, conventions.GWBRIDGE, watchdog.SCRIPT, str(LOOK_LIMIT_S)]
    cmd = remote.command(settings, platform, key, script, terminal=False, connect_limit_s=CONNECT_LIMIT_S)
    source = (files("overlab.inspect") / "node_collector.py").read_bytes()
    try:
        process = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        return None, f"{cmd[0]}: {error}"
    running.append(process)
    with process:
        try:
            told, said = process.communicate(source, timeout=SESSION_LIMIT_S)
        except subprocess.TimeoutExpired as late:
            process.kill()
            return _read(late.stdout or b"", f"{LATE} {SESSION_LIMIT_S} s")
    return _read(told, _last_line(said) or f"the session ended with exit code {process.returncode}")


def _read(told: bytes, why: str) -> tuple[NodeReport | None, str | None]:
    """The report in what a node told, line by line; what it did not come to is missing because of ``why``."""
    parts: dict[str, Any] = {}
    for line in told.splitlines():
        # The last line may be cut off.
        with contextlib.suppress(ValueError):
            parts |= json.loads(line)
    if "hostname" not in parts:
        return None, why
    errors = parts.setdefault("errors", {})
    for name in NodeReport.model_fields.keys() - parts.keys():
        parts[name], errors[name] = None, why
    try:
        return NodeReport.model_validate(parts), None
    except ValidationError as error:
        return None, f"an answer that makes no sense: {error.errors()[0]}"


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
