"""A lab that is up, opened to look at: its settings, its platform, its stack. Nothing of it is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from components import checks
from components.config.platform import Platform
from components.config.settings import Settings
from overlab import outputs, phases
from overlab.checks import history, results
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.outputs import Outputs
from overlab.platform import prepare
from overlab.platform.manifest import PlatformManifest
from overlab.report.page import ReportData
from overlab.stack import Stack


@dataclass(frozen=True)
class OpenedLab:
    """One stack whose platform is alive and that was brought up at least once."""

    settings: Settings
    platform: Platform
    stack: Stack
    matrix: tuple[checks.Check, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", checks.matrix(self.settings))

    @property
    def record(self) -> Path:
        """Where its last test is kept."""
        return results.file(self.stack.paths.state, self.stack.name)

    def outputs(self) -> Outputs:
        return outputs.read(self.stack)


def open_lab(stack: str, settings: Settings, progress: Progress) -> OpenedLab:
    """The lab of a stack. Raises :class:`OverlabError` where it is not up."""
    platform = prepare.ready(settings) or prepare.restart_daemons(settings.name, progress)
    found = _stack(stack, settings)
    if platform is None or found is None:
        raise OverlabError(f"the lab {settings.name} is not up", f"overlab up --stack {stack}")
    return OpenedLab(settings, platform, found)


def report_data(stack: str, settings: Settings) -> ReportData:
    """What is known of a lab for a drawing or a report. A lab that is not up has only its settings."""
    found = _stack(stack, settings)
    if found is None:
        return ReportData(settings)
    known = outputs.read(found)
    checked = history.known(checks.matrix(settings), known, results.file(found.paths.state, stack))
    if checked.run is not None:
        known = known.updated(checked.run.addresses, checked.run.ports, checked.run.networks)
    return ReportData(
        settings,
        known,
        checked,
        phases.read(found.change_log),
        found.prepared.cli_version,
        found.prepared.rungs,
    )


def _stack(name: str, settings: Settings) -> Stack | None:
    paths = LabPaths(settings.name)
    prepared = PlatformManifest.load(paths)
    if prepared is None:
        return None
    found = Stack(name, paths, prepared)
    return found if found.exists() else None
