"""Takes a snapshot of a lab: one SSH session a node, all at once, and the machines from the hypervisor."""

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
from components.node import store_client, watchdog
from overlab import openssh
from overlab.inspect import machines
from overlab.inspect.node_report import NodeReport
from overlab.inspect.snapshot import TIMEOUT, ExpectedState, NodeAnswer, Snapshot

CONNECT_LIMIT_S = 15
COLLECT_LIMIT_S = 90
"""Of everything that runs on a node, once connected."""
Sessions = list[subprocess.Popen[bytes]]
SESSION_LIMIT_S = CONNECT_LIMIT_S + COLLECT_LIMIT_S + 15


def take_snapshot(settings: Settings, platform: Platform, only: Iterable[str] | None = None) -> Snapshot:
    """The lab's present state. Takes as long as the slowest node, at most :data:`SESSION_LIMIT_S`; raises nothing.

    A node that does not answer is in the snapshot, with the reason. ``only`` names the nodes that are asked.
    """
    sessions: Sessions = []
    with ThreadPoolExecutor(max_workers=len(settings.nodes) + 1) as pool, terminated_at_the_end(sessions):
        states = pool.submit(machines.states, settings, platform)
        answers = {key: pool.submit(_answer, settings, platform, key, sessions) for key in only or settings.nodes}
        return Snapshot(
            lab=settings.name,
            expected=expected_state(settings),
            machines=states.result(),
            nodes={key: answer.result() for key, answer in answers.items()},
        )


@contextlib.contextmanager
def terminated_at_the_end(sessions: Sessions) -> Iterator[None]:
    """After an interrupt the sessions' threads would be waited for."""
    try:
        yield
    finally:
        for process in sessions:
            process.terminate()


def expected_state(settings: Settings) -> ExpectedState:
    return ExpectedState(
        stack=settings.stack,
        store=settings.cluster_store,
        servers=settings.store.servers,
        store_nodes=settings.store_nodes,
        nodes={key: str(node.address) for key, node in settings.nodes.items()},
        advertise={key: docker_names.advertised(node.address) for key, node in settings.nodes.items()},
        networks={
            name: str(subnet) if (subnet := settings.networks[name].subnet) else None
            for name in settings.global_networks
        },
        workloads=dict(settings.placement),
    )


def collector_command(store: str, watchdog_script: str) -> list[str]:
    """What runs the collector on a node; the script comes on standard input."""
    return ["python3", "-IS", "-", store, conventions.GWBRIDGE, watchdog_script, str(COLLECT_LIMIT_S)]


def _answer(settings: Settings, platform: Platform, key: str, sessions: Sessions) -> NodeAnswer:
    cmd = collector_command(store_client.SCRIPT, watchdog.SCRIPT)
    ssh = openssh.command(settings, platform, key, cmd, terminal=False, connect_limit_s=CONNECT_LIMIT_S)
    return answer(ssh, sessions)


def answer(ssh: list[str], sessions: Sessions) -> NodeAnswer:
    """What a node reports, over SSH; ``sessions`` gets the session. Raises nothing."""
    begun = time.time()
    output, reason = _run_collector(ssh, sessions)
    ended = time.time()
    report, error = _read(output, reason)
    offset = report.clock - min(max(report.clock, begun), ended) if report and report.clock else 0.0
    return NodeAnswer(report=report, error=error, seconds=round(ended - begun, 1), clock_offset_s=round(offset, 1))


def _run_collector(ssh: list[str], sessions: Sessions) -> tuple[bytes, str]:
    """What the collector printed on a node, and why it may have printed no more."""
    script = (files("overlab.inspect") / "node_collector.py").read_bytes()
    try:
        process = subprocess.Popen(ssh, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        return b"", f"{ssh[0]}: {error}"
    sessions.append(process)
    with process:
        try:
            output, errors = process.communicate(script, timeout=SESSION_LIMIT_S)
        except subprocess.TimeoutExpired as timeout:
            process.kill()
            return timeout.stdout or b"", f"{TIMEOUT} {SESSION_LIMIT_S} s"
    message = (errors.decode(errors="replace").strip().splitlines() or ["no message"])[-1].strip()
    failed = (
        ""
        if process.returncode == openssh.SSH_FAILED
        else f"node collector ended with exit code {process.returncode}: "
    )
    return output, failed + message


def _read(output: bytes, reason: str) -> tuple[NodeReport | None, str | None]:
    """The report in a collector's output, line by line; a part that is not in it is missing because of ``reason``."""
    parts: dict[str, Any] = {}
    for line in output.splitlines():
        # The last line may be cut off.
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(part := json.loads(line), dict):
                parts |= part
    if "hostname" not in parts:
        return None, reason
    errors = parts.setdefault("errors", {})
    if not isinstance(errors, dict):
        return None, "the node's report is not valid: errors"
    for name in NodeReport.model_fields.keys() - parts.keys():
        parts[name], errors[name] = None, reason
    try:
        return NodeReport.model_validate(parts), None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return None, f"the node's report is not valid: {'.'.join(map(str, first['loc']))}: {first['msg']}"
