"""A private daemon in the lab's network namespace: its process record, its log, and the wait until it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from overlab.core.errors import OverlabError
from overlab.core.process import ProcessRecord, spawn
from overlab.core.tools import tail
from overlab.core.wait import NotYet, until
from overlab.platform.namespace import Namespace

if TYPE_CHECKING:
    from overlab.core.paths import LabPaths
    from overlab.core.progress import Progress


@dataclass(frozen=True)
class Daemon(ABC):
    """A daemon of one lab. All methods may be repeated after a crash at any point."""

    paths: LabPaths
    NAME: ClassVar[str]
    PROGRAMS: ClassVar[tuple[str, ...]]
    """Names by which the kernel knows its processes."""
    OWN_PID_NAMESPACE: ClassVar[bool] = False
    """Whether it alone, of all that runs in the lab's network namespace, has a PID namespace of its own."""
    START_LIMIT_S: ClassVar[float] = 60.0

    @abstractmethod
    def probe(self) -> None:
        """One real request. Raises :class:`NotYet` with the reason where it fails."""

    @property
    def namespace(self) -> Namespace:
        return Namespace.of(self.paths)

    @property
    def log(self) -> Path:
        return self.paths.logs / f"{self.NAME}.log"

    @property
    def pid_file(self) -> Path:
        return self.paths.run / f"{self.NAME}.json"

    def alive(self) -> bool:
        """Whether it runs in the lab's own namespace and answers."""
        if not self.namespace.ours() or self._recorded() is None:
            return False
        try:
            self.probe()
        except NotYet:
            return False
        return True

    def processes(self) -> list[ProcessRecord]:
        """Its processes, also one whose start was interrupted before its pid was recorded."""
        recorded = self._recorded()
        inside = self.namespace.processes() if self.namespace.ours() else []
        strays = [process for process in inside if process != recorded and self._is_mine(process)]
        return strays if recorded is None else [recorded, *strays]

    def start(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None, progress: Progress | None = None
    ) -> None:
        """Start it and wait until it answers. Raises :class:`OverlabError` with the end of its log where it exits."""
        process = spawn(command, self.log, env=env)
        process.save(self.pid_file)
        until(f"{self.NAME} to answer", lambda: self._answered(process), self.START_LIMIT_S, progress)

    def _recorded(self) -> ProcessRecord | None:
        record = ProcessRecord.load(self.pid_file)
        return record if record is not None and record.alive() else None

    def _is_mine(self, process: ProcessRecord) -> bool:
        """Whether a process in the lab's network namespace is the daemon's."""
        if process.name() in self.PROGRAMS:
            return True
        outside = {str(Path("/proc/self/ns/pid").readlink()), None}
        return self.OWN_PID_NAMESPACE and process.pid_namespace() not in outside

    def _answered(self, process: ProcessRecord) -> None:
        if not process.alive():
            raise OverlabError(
                f"{self.PROGRAMS[0]} exited at start",
                f"read {self.log}; `overlab doctor` lists what is missing",
                evidence=tail(self.log).splitlines(),
            )
        self.probe()
