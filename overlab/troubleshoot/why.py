"""``overlab why A B``: look at both nodes, send echos from A to B, and name the first hop that fails."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from overlab.core.terminal import styled
from overlab.inspect import compare
from overlab.inspect.cluster import Cluster
from overlab.inspect.finding import Finding
from overlab.troubleshoot import flow as flows
from overlab.troubleshoot import hops, node_script
from overlab.troubleshoot.flow import Flow, Side
from overlab.troubleshoot.hops import SANDBOX, UNDERLAY, VETH, VXLAN, Hop, SideTrace, Trace

TRACE_S = 1.0
"""How long echos are sent where they are not answered."""
_CONNECT_LIMIT_S = 10
_SESSION_LIMIT_S = TRACE_S + 20
_SMALL = 84
_MTU = 1450


@dataclass(frozen=True)
class Answer:
    """Why A reaches B, or does not."""

    flow: Flow
    hops: list[Hop]
    trace_errors: Mapping[str, str]
    """By node: why no packet could be followed there."""
    seconds: float

    @property
    def failure(self) -> Finding | None:
        """Of the last hop that fails: it is also the cause of a name that fails before it."""
        return next((hop.failure for hop in reversed(self.hops) if hop.failure is not None), None)

    def as_json(self) -> dict[str, Any]:
        return {
            "source": self.flow.source.name,
            "target": self.flow.target.name,
            "network": self.flow.source.network.name,
            "passes": self.failure is None and not self.trace_errors,
            "hops": [{"place": hop.place, "evidence": hop.evidence, "ok": hop.failure is None} for hop in self.hops],
            "failure": self.failure.model_dump(mode="json") if self.failure else None,
            "errors": dict(self.trace_errors),
            "seconds": self.seconds,
        }


def ask(cluster: Cluster, source: str, target: str, network: str = "") -> Answer:
    """Raises :class:`OverlabError` where the two are not both on one overlay network."""
    begun = time.monotonic()
    snapshot = cluster.take_snapshot()
    flow = flows.between(snapshot, source, target, network)
    trace, errors = _trace(cluster, flow)
    found = hops.follow(snapshot, flow, trace)
    found = [Hop(hop.place, failure=compare.named(snapshot, [hop.failure])[0]) if hop.failure else hop for hop in found]
    return Answer(flow, found, errors, round(time.monotonic() - begun, 1))


def _trace(cluster: Cluster, flow: Flow) -> tuple[Trace, dict[str, str]]:
    """Both sides at once; a side that cannot be followed has its reason."""
    mtu = flow.source.interface.mtu if flow.source.interface else _MTU
    tasks = _tasks(flow, (_SMALL, mtu))
    ready, over = threading.Barrier(max(1, len(tasks))), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        asked = {role: pool.submit(_run, cluster, *one, ready, over) for role, one in tasks.items()}
        answers = {role: one.result() for role, one in asked.items()}
    sides = {role: one for role, one in answers.items() if isinstance(one, SideTrace)}
    errors = {tasks[role][0]: one for role, one in answers.items() if isinstance(one, str)}
    return Trace((_SMALL, mtu), sides), errors


def _tasks(flow: Flow, sizes: tuple[int, int]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Role -> node and task; without a sandbox nothing is sent."""
    source, target = flow.source, flow.target
    if source.container is None or source.interface is None:
        return {}
    shared = {
        "token": random.randrange(1, 65536),
        "flow": [source.endpoint.ip, target.endpoint.ip],
        "expected": list(sizes),
        "end": SANDBOX,
        "seconds": TRACE_S,
    }
    first = {
        "points": _points(source, target),
        "sandbox": source.container.sandbox_key,
        "container": source.container.id,
        "target": target.endpoint.ip,
        "name": flow.name,
        "sizes": list(sizes),
        "routes": _routes(source, target),
    }
    tasks = {"source": (source.node, {**shared, **first})}
    if target.report is not None:
        idle = {"sandbox": "", "container": "", "target": "", "name": "", "sizes": [], "seconds": _SESSION_LIMIT_S}
        second = {"points": _points(target, source), "routes": _routes(target, source)}
        tasks["target"] = (target.node, {**shared, **idle, **second})
    return tasks


def _points(side: Side, other: Side) -> dict[str, tuple[str, str]]:
    points: dict[str, tuple[str, str]] = {}
    if side.container is not None and side.interface is not None:
        points[SANDBOX] = (side.container.sandbox_key, side.interface.name)
    if side.namespace is not None and side.veth is not None:
        points[VETH] = (side.namespace.file, side.veth.name)
    if side.namespace is not None and side.vxlan:
        points[VXLAN] = (side.namespace.file, side.vxlan)
    if side.node != other.node:
        points[UNDERLAY] = ("", f">{other.endpoint.locator}")
    return points


def _routes(side: Side, other: Side) -> dict[str, tuple[str, str]]:
    routes = {UNDERLAY: ("", other.endpoint.locator)}
    if side.container is not None:
        routes[SANDBOX] = (side.container.sandbox_key, other.endpoint.ip)
    return routes


def _run(
    cluster: Cluster, node: str, task: dict[str, Any], ready: threading.Barrier, over: threading.Event
) -> SideTrace | str:
    """What a node saw, or why it did not look. ``over`` is set when the side that sends has ended."""
    words = ["python3", "-c", node_script.text("packet_trace"), json.dumps(task)]
    ssh = cluster.as_root(node, words, connect_limit_s=_CONNECT_LIMIT_S)
    try:
        process = subprocess.Popen(ssh, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        ready.abort()
        return str(error)
    limit = threading.Timer(_SESSION_LIMIT_S, process.kill)
    limit.start()
    try:
        with process:
            return _follow(process, bool(task["sizes"]), ready, over)
    finally:
        limit.cancel()


def _follow(
    process: subprocess.Popen[bytes], sends: bool, ready: threading.Barrier, over: threading.Event
) -> SideTrace | str:
    assert process.stdout is not None
    try:
        if process.stdout.readline().strip() != b"ready":
            ready.abort()  # the other side need not wait for this one
        else:
            with contextlib.suppress(threading.BrokenBarrierError):
                ready.wait()
        if not sends:
            over.wait(_SESSION_LIMIT_S)
        output, errors = process.communicate(b"go\n" if sends else b"")
    finally:
        if sends:
            over.set()
    try:
        return SideTrace.model_validate_json(output)
    except ValidationError:
        lines = errors.decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "no answer"


# -- on the screen -------------------------------------------------------------------------------------


def render(answer: Answer) -> RenderableType:
    """The hops, and why the last of them fails."""
    source, target = answer.flow.source, answer.flow.target
    title = styled("[bold]{} -> {}[/] on {}", source.name, target.name, source.network.name)
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for hop in answer.hops:
        state = Text("ok", "green") if hop.failure is None else Text("FAILS", "bold red")
        table.add_row(state, Text(hop.place), Text(hop.evidence or (hop.failure.evidence if hop.failure else "")))
    parts: list[RenderableType] = [title, table]
    for node, reason in answer.trace_errors.items():
        parts.append(styled("[yellow]no packet could be followed on {}: {}[/]", node, reason))
    if answer.failure is None:
        text = "packets pass both ways" if not answer.trace_errors else "nothing wrong in what could be seen"
        parts.append(Text(text, "bold green" if not answer.trace_errors else "yellow"))
    else:
        one = answer.failure
        parts.append(styled("[bold red]{}[/] [dim]{}[/]", one.message, one.id))
        rows = {"impact": one.impact, "remedy": one.remedy, "more": one.link}
        parts += [styled("[dim]{}[/] {}", name, text) for name, text in rows.items() if text]
    return Group(*parts)


def exit_code(answer: Answer) -> int:
    """0: packets pass; 1: a hop fails; 2: nothing fails in what could be seen, and not everything could."""
    if answer.failure is not None:
        return 1
    return 2 if answer.trace_errors else 0
