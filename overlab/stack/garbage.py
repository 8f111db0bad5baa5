"""Labs of dead runs on this machine: what no command can reach any more. A lab that anything runs of is not among them.

Searched are the user's state directory, and the run directory, whose labs may have their state elsewhere
(``XDG_STATE_HOME`` of another shell or of a test).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from components.config.conventions import LAB_NAME
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths, run_root, state_root
from overlab.core.progress import Progress
from overlab.platform import prepare
from overlab.platform.footprint import Trace, footprint
from overlab.platform.manifest import PlatformManifest
from overlab.platform.namespace import Namespace
from overlab.stack.stack import Stack


@dataclass(frozen=True)
class FoundLab:
    """A lab that this machine has anything of."""

    paths: LabPaths
    dead: str
    """Why it is dead; empty for one that is not."""
    kept: str
    """Why it is kept; empty for a dead one."""
    traces: tuple[Trace, ...]


def find() -> list[FoundLab]:
    """Every lab, by name; nothing is changed."""
    return [_judge(paths) for paths in sorted(_labs(), key=lambda one: (one.lab, str(one.state)))]


def remove(found: FoundLab, progress: Progress) -> None:
    """Remove a dead lab. Raises :class:`OverlabError` where it is not dead any more, and with what is left."""
    again = _judge(found.paths)
    if not again.dead:
        raise OverlabError(f"the lab {found.paths.lab} is not removed: {again.kept}")
    prepare.remove(found.paths, progress)


def _labs() -> Iterator[LabPaths]:
    states = {one.name: one for one in (state_root() / "labs").glob("*") if one.is_dir() and _is_name(one.name)}
    for name, state in states.items():
        yield LabPaths(name, state)
    for directory in run_root().glob("*"):
        if directory.is_dir() and _is_name(directory.name):
            owner = Namespace.of(LabPaths(directory.name)).claimed_by()
            if owner is not None and owner != str(states.get(directory.name)):
                yield LabPaths(directory.name, Path(owner))
            elif owner is None and directory.name not in states:
                yield LabPaths(directory.name)


def _judge(paths: LabPaths) -> FoundLab:
    traces = tuple(footprint(paths))
    kept, dead = _verdict(paths, {one.kind for one in traces})
    return FoundLab(paths, "" if kept else dead, kept, traces)


def _verdict(paths: LabPaths, kinds: set[str]) -> tuple[str, str]:
    """Why it is kept, which counts; why it is dead else."""
    if _is_locked(paths):
        return "a command prepares or removes it", ""
    if not paths.state.exists():
        claimed = Namespace.of(paths).claimed_by() is not None or kinds == {"directory"}
        return "" if claimed else "no lab claims it", f"its state directory {paths.state} is gone"
    manifest, runs = PlatformManifest.load(paths), "process" in kinds
    if manifest is None:
        return "something of it runs" if runs else "", "its preparation was not completed, and nothing of it runs"
    stacks = [
        Stack(file.stem, paths, manifest) for file in Stack("any", paths, manifest).state_file.parent.glob("*.json")
    ]
    for file in sorted(manifest.checkout.glob("Pulumi.*.yaml")):
        if any(file == manifest.checkout / f"Pulumi.{one.name}.yaml" for one in stacks) or _may_name(file, paths.lab):
            return f"{file} is its stack file", ""
    up = [one.name for one in stacks if not one.is_empty()]
    if up and (runs or _is_elsewhere(paths)):
        return f"it is up, and its stack file is gone: overlab down --stack {up[0]} --platform", ""
    return "", f"no stack file of {manifest.checkout} names it, and nothing of it is up"


def _is_name(text: str) -> bool:
    return re.fullmatch(LAB_NAME, text) is not None


def _may_name(file: Path, lab: str) -> bool:
    """Whether a stack file names the lab; it may be invalid, so its text is searched."""
    text = file.read_text("utf-8", errors="replace")
    return file.name == f"Pulumi.{lab}.yaml" or re.search(rf"\bname:\s*[\"']?{lab}\b", text) is not None


def _is_elsewhere(paths: LabPaths) -> bool:
    """Whether its machines are on a hypervisor of the system, and outlive the platform."""
    platform = prepare.read_record(paths)
    return platform is None or platform.kind == "system"


def _is_locked(paths: LabPaths) -> bool:
    file = prepare.lock_file(paths)
    if not file.exists():
        return False
    try:
        with FileLock(file).acquire(timeout=0):
            return False
    except Timeout:
        return True
