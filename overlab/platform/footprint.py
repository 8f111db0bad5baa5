"""What a lab's platform has on this machine: mounts, processes, network namespace, cgroups, files. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from overlab.core import removal
from overlab.core.paths import LabPaths
from overlab.core.process import ProcessRecord, command_line
from overlab.platform.namespace import Namespace
from overlab.platform.private_dockerd import PrivateDockerd

KINDS = {
    "mount": "mounts",
    "process": "processes",
    "network namespace": "network namespaces",
    "cgroup": "cgroups",
    "directory": "directories",
}
"""Singular and plural, in the order in which they can be removed."""


@dataclass(frozen=True)
class Trace:
    """One thing that is left."""

    kind: str
    """Of :data:`KINDS`."""
    name: str
    remedy: str
    """Command that removes it."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def footprint(paths: LabPaths) -> list[Trace]:
    """Everything, in the order in which it can be removed; not what another state directory provably owns."""
    namespace = Namespace.of(paths)
    roots = [paths.state] if namespace.other_owner() is not None else [paths.state, paths.run]
    found = [Trace("mount", one, f"umount {one}") for root in roots for one in removal.mounts(root.resolve())]
    if paths.run in roots:
        processes = {one.pid: one for one in [*namespace.processes(), *_in_cgroups(paths)]}
        found += [Trace("process", f"{pid} {command_line(pid)[:60]}", f"kill -KILL {pid}") for pid in sorted(processes)]
        if namespace.path.exists():
            found.append(Trace("network namespace", namespace.name, f"ip netns delete {namespace.name}"))
        # A user of the machine's own Docker cannot remove the empty one that it leaves.
        cgroups = [one for one in PrivateDockerd(paths).cgroups() if os.access(one, os.W_OK)]
        found += [Trace("cgroup", str(one), f"rmdir {one}") for one in cgroups]
    found += [Trace("directory", str(root), f"rm -r {root}") for root in roots if root.exists()]
    return sorted(found, key=lambda one: [*KINDS].index(one.kind))


def _in_cgroups(paths: LabPaths) -> Iterator[ProcessRecord]:
    """Processes of nodes: they have network namespaces of their own."""
    for tree in PrivateDockerd(paths).cgroups():
        for file in tree.rglob("cgroup.procs"):
            for pid in _lines(file):
                if (record := ProcessRecord.of(int(pid))) is not None:
                    yield record


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:  # its container ended meanwhile
        return []
