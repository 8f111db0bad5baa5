"""``overlab capture``: packets of a workload, a node or a network as one pcap file; nothing stays on the nodes."""

from __future__ import annotations

import contextlib
import json
import queue
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from overlab.core.errors import OverlabError
from overlab.core.process import end_child
from overlab.inspect.cluster import Cluster
from overlab.inspect.snapshot import Snapshot
from overlab.troubleshoot import flow, node_script

_HEADER = 24
_RECORD = struct.Struct("!IIII")
_LONGEST = 262144


@dataclass
class Task:
    """What is captured on one node: ``packet_capture.py`` explains the fields."""

    devices: list[tuple[str, str]] = field(default_factory=list)
    vnis: list[int] = field(default_factory=list)
    inner: bool = False


def tasks(snapshot: Snapshot, what: str, *, encapsulated: bool) -> dict[str, Task]:
    """By node. ``what`` is a workload, a network, or a node: then what overlay networks send over its underlay.

    Raises :class:`OverlabError` where there is no such thing.
    """
    networks = snapshot.stored_networks
    if what in snapshot.nodes:
        vnis = sorted({vni for network in networks for vni in network.subnets.values()})
        return {what: _underlay(snapshot, what, vnis, encapsulated=encapsulated)}
    named = [network for network in networks if what in (network.name, network.id)]
    if named:
        found = {}
        for network, key, namespace in snapshot.namespaces():
            if network in named and encapsulated:
                found[key] = _underlay(snapshot, key, sorted(network.subnets.values()), encapsulated=True)
            elif network in named:
                found[key] = Task([(namespace.file, device) for device in namespace.devices])
        if not found:
            raise OverlabError(f"no node has the network {what} now", "start a container on it")
        return found
    return _workload(snapshot, what, encapsulated=encapsulated)


def _workload(snapshot: Snapshot, what: str, *, encapsulated: bool) -> dict[str, Task]:
    sides = flow.sides(snapshot, what)
    if not sides:
        raise flow.unknown(snapshot, what)
    found: dict[str, Task] = {}
    for side in sides:
        if side.container is None or side.interface is None:
            raise OverlabError(f"{what} on {side.node} has no interface on {side.network.name}", "overlab status")
        if encapsulated:
            vnis = sorted({vni for one in sides for vni in one.network.subnets.values()})
            found[side.node] = _underlay(snapshot, side.node, vnis, encapsulated=True)
        else:
            device = (side.container.sandbox_key, side.interface.name)
            found.setdefault(side.node, Task()).devices.append(device)
    return found


def _underlay(snapshot: Snapshot, node: str, vnis: list[int], *, encapsulated: bool) -> Task:
    others = [address for key, address in snapshot.expected.nodes.items() if key != node]
    if not others:
        raise OverlabError(f"{node} is the only node", "name a workload or a network")
    return Task([("", f">{others[0]}")], vnis, inner=not encapsulated)


def run(cluster: Cluster, wanted: dict[str, Task], output: IO[bytes], seconds: float | None) -> int:
    """Write packets as they come until the time is over, the output is closed, or an interrupt; returns their number.

    Raises :class:`OverlabError` where a node does not capture.
    """
    records: queue.Queue[bytes | OverlabError] = queue.Queue()
    count, end = 0, time.monotonic() + seconds if seconds is not None else None
    with contextlib.ExitStack() as sessions:
        for node, task in wanted.items():
            sessions.enter_context(_session(cluster, node, task, records))
        with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, queue.Empty):
            output.write(struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _LONGEST, 1))
            output.flush()
            while True:
                record = records.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
                if isinstance(record, OverlabError):
                    raise record
                output.write(record)
                output.flush()
                count += 1
    return count


@contextlib.contextmanager
def _session(cluster: Cluster, node: str, task: Task, records: queue.Queue[bytes | OverlabError]) -> Iterator[None]:
    """A capture on a node; with its standard input it ends there."""
    words = ["python3", "-c", node_script.text("packet_capture"), json.dumps(vars(task))]
    # Of its own, so that a ^C reaches this process alone, which then ends it in order.
    process = subprocess.Popen(
        cluster.as_root(node, words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    reader = threading.Thread(target=_read, args=(node, process, records), daemon=True)
    reader.start()
    try:
        yield
    finally:
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        reader.join(1)
        end_child(process)


def _read(node: str, process: subprocess.Popen[bytes], records: queue.Queue[bytes | OverlabError]) -> None:
    """Pass on the records of a node's file, and in the end that there are no more."""
    assert process.stdout is not None
    assert process.stderr is not None
    with contextlib.suppress(ValueError, OSError, struct.error):
        process.stdout.read(_HEADER)
        while True:
            header = process.stdout.read(_RECORD.size)
            length = _RECORD.unpack(header)[2]
            if length > _LONGEST:
                break
            records.put(header + process.stdout.read(length))
    with contextlib.suppress(ValueError, OSError):
        lines = process.stderr.read().decode(errors="replace").strip().splitlines() or ["its session ended"]
        records.put(OverlabError(f"{node}: {lines[-1]}", f"overlab exec {node} -- true"))
