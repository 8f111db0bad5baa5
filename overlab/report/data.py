"""Everything known about a lab that a drawing or a report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components import checks
from components.config.settings import Settings
from overlab.checks import history, results
from overlab.checks.history import LastResults
from overlab.stack import outputs, phases
from overlab.stack.lab_handle import existing_stack
from overlab.stack.outputs import Outputs
from overlab.stack.phases import Span


@dataclass(frozen=True)
class ReportData:
    """The input of a report; a lab that is not up has only its settings."""

    settings: Settings
    outputs: Outputs = field(default_factory=Outputs)
    known: LastResults = field(default_factory=LastResults)
    spans: list[Span] = field(default_factory=list)
    """The last update's resources."""
    pulumi: str = ""
    """Version of the CLI."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each part of the platform came from."""


def collect(stack: str, settings: Settings) -> ReportData:
    """What is known of a lab; nothing is started or changed."""
    found = existing_stack(stack, settings)
    if found is None:
        return ReportData(settings)
    known = outputs.read(found)
    checked = history.known(checks.matrix(settings), known, results.file(found.paths.state, stack))
    if checked.run is not None:
        known = known.updated(checked.run.addresses, checked.run.ports, checked.run.networks)
    return ReportData(
        settings, known, checked, phases.read(found.change_log), found.manifest.cli_version, found.manifest.sources
    )
