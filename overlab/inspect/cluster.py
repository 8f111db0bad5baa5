"""What is inspected over SSH: a lab, or a cluster that was attached."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from components.config.platform import Platform
from components.config.settings import Settings
from overlab import openssh
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.inspect import lab_collector
from overlab.inspect.snapshot import Snapshot
from overlab.platform import prepare
from overlab.stack.lab_handle import require_up


class Cluster(Protocol):
    """Nodes with an engine each."""

    @property
    def name(self) -> str: ...

    @property
    def nodes(self) -> Collection[str]: ...

    def as_root(self, node: str, cmd: Sequence[str], *, connect_limit_s: int = 30) -> list[str]:
        """The command that runs ``cmd`` on a node over SSH, as root where that is possible."""
        ...

    def take_snapshot(self) -> Snapshot: ...


@dataclass(frozen=True)
class LabCluster:
    """The nodes of a lab that is up."""

    settings: Settings

    @property
    def name(self) -> str:
        return self.settings.stack

    @property
    def nodes(self) -> Collection[str]:
        return self.settings.nodes

    def as_root(self, node: str, cmd: Sequence[str], *, connect_limit_s: int = 30) -> list[str]:
        platform = recorded(self.settings)
        return openssh.command(self.settings, platform, node, cmd, terminal=False, connect_limit_s=connect_limit_s)

    def take_snapshot(self) -> Snapshot:
        return lab_collector.take_snapshot(self.settings, recorded(self.settings))


def recorded(settings: Settings) -> Platform:
    """The lab's platform as recorded; nothing is started. Raises :class:`OverlabError` where the lab is not up."""
    require_up(settings.stack, settings)
    platform = prepare.read_record(LabPaths(settings.name))
    if platform is None:
        raise OverlabError(f"the lab {settings.name} is not up", f"overlab up --stack {settings.stack}")
    return platform
