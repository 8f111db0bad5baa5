"""Prerequisites of the platform, each with the fix; `up` stops where one is missing, `doctor` lists them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from overlab.core.errors import OverlabError
from overlab.core.paths import cache_root, state_root
from overlab.platform import container_host, debian, docker_info, hypervisors, plugins, toolchain

if TYPE_CHECKING:
    from components.config.settings import Settings
    from overlab.platform.hypervisors import PlatformKind

PartStatus = Literal["ok", "missing", "warning"]

_STATE_MIB_PER_NODE = 1024
_CACHE_MIB = 4096


@dataclass(frozen=True)
class PartReport:
    """The state of one prerequisite or part of the platform."""

    part: str
    status: PartStatus
    found: str
    remedy: str | None = None

    @classmethod
    def missing(cls, part: str, error: OverlabError) -> PartReport:
        """A part that cannot be had, for the reason of an error."""
        return cls(part, "missing", error.what, error.remedy)


def require(settings: Settings, kind: PlatformKind) -> None:
    """Raise one :class:`OverlabError` that names everything that is missing."""
    missing = [report for report in reports(settings, kind) if report.status == "missing"]
    if not missing:
        return
    found = [f"{report.part}: {report.found}" for report in missing]
    remedies = dict.fromkeys(report.remedy for report in missing if report.remedy)
    raise OverlabError(
        "this machine lacks what the platform needs", "\n".join(remedies), evidence=found, component="prerequisites"
    )


def reports(settings: Settings, kind: PlatformKind) -> list[PartReport]:
    """Everything that is needed on this machine, in the order in which to fix it."""
    return [
        rights(uses(settings, kind)),
        packages(uses(settings, kind)),
        *([containers(settings.platform.docker_host)] if settings.machine_kind == "container" else []),
        cli(),
        space(state_root(), _STATE_MIB_PER_NODE * len(settings.nodes), "XDG_STATE_HOME"),
        memory(settings),
    ]


def rights(needed: tuple[str, ...]) -> PartReport:
    """Whether this user may prepare what these parts of the package list are for."""
    if os.geteuid() == 0:
        return PartReport("rights", "ok", "root")
    if "bundled" not in needed:
        return PartReport(
            "rights", "ok", f"user {os.geteuid()}; this platform needs only access to its libvirt or its Docker"
        )
    return PartReport(
        "rights",
        "missing",
        "not root, and what is built or runs here needs network and mount namespaces",
        "run the command with sudo, or name a system platform with an image (overlab:lab platform.uri and image)",
    )


def uses(settings: Settings, kind: PlatformKind) -> tuple[str, ...]:
    """Parts of the package list: a system platform with a named image builds nothing here."""
    if settings.platform.docker_host is not None:
        return ("docker",)
    if kind == "system":
        return ("up",) if settings.platform.image is not None else ("up", "bundled", "vm")
    return ("up", "bundled", settings.machine_kind)


def containers(docker_host: str | None) -> PartReport:
    """Whether nodes can run as containers here; of a stated engine's machine only the engine knows all."""
    if docker_host is not None:
        try:
            info = docker_info.usable(docker_host)
        except OverlabError as error:
            return PartReport.missing("nodes as containers", error)
        return PartReport("nodes as containers", "ok", f"Docker {info['ServerVersion']} at {docker_host}")
    missing = list(container_host.missing())
    if not missing:
        return PartReport("nodes as containers", "ok", str(container_host.detect()))
    remedy = "run on a machine, or in a container, that has it; or set overlab:lab machine.kind to vm"
    return PartReport("nodes as containers", "missing", "; ".join(missing), remedy)


def packages(parts: tuple[str, ...]) -> PartReport:
    """Whether these parts of the package list are installed."""
    needed = debian.needed(parts)
    missing = debian.missing(needed)
    part = f"Debian packages ({', '.join(parts)})"
    if not missing:
        return PartReport(part, "ok", f"all {len(needed)} are installed")
    return PartReport(
        part, "missing", "not installed: " + " ".join(one.name for one in missing), debian.install_command(missing)
    )


def cli() -> PartReport:
    try:
        found = toolchain.find()
        if found is not None:
            return PartReport("pulumi", "ok", f"{found.version}, {found.source} ({found.path})")
        go = toolchain.go()
    except OverlabError as error:
        return PartReport.missing("pulumi", error)
    return PartReport("pulumi", "ok", f"will be built with {go} (some minutes, once)")


def plugin_sources() -> list[PartReport]:
    """The source of each plugin; empty while there is no CLI to ask."""
    try:
        found = toolchain.find()
        if found is None:
            return []
        return [
            PartReport(f"plugin {one.plugin.kind} {one.plugin.name}", "ok", f"{one.plugin.version}, {one.source}")
            for one in plugins.resolve(found.path)
        ]
    except OverlabError as error:
        return [PartReport.missing("plugins", error)]


def cache_space() -> PartReport:
    return space(cache_root(), _CACHE_MIB, "OVERLAB_CACHE")


def space(directory: Path, needed_mib: int, variable: str) -> PartReport:
    existing = directory
    while not existing.exists():
        existing = existing.parent
    free_mib = shutil.disk_usage(existing).free >> 20
    part = f"disk space below {directory}"
    if free_mib >= needed_mib:
        return PartReport(part, "ok", f"{free_mib} MiB free")
    return PartReport(
        part,
        "missing",
        f"{free_mib} MiB free, {needed_mib} MiB are needed",
        f"free some space, or point {variable} at a directory on another file system",
    )


def memory(settings: Settings) -> PartReport:
    here = [node for node in settings.nodes.values() if hypervisors.is_here(settings, node.hypervisor)]
    if not here:
        return PartReport("memory", "ok", "all machines are elsewhere")
    needed_mib = sum(node.machine.memory_mib for node in here)
    available_mib = _available_mib()
    found = f"{available_mib} MiB available, the machines take {needed_mib} MiB"
    if available_mib >= needed_mib:
        return PartReport("memory", "ok", found)
    return PartReport("memory", "warning", found, "fewer nodes, or a smaller machine.memory_mib")


def _available_mib() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return 0
