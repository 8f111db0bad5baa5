"""One page about a lab: picture, addresses, checks, timings, versions. It stands alone."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from markupsafe import Markup

from components.config.settings import Settings
from overlab import phases
from overlab.checks.grids import grids
from overlab.checks.history import Known
from overlab.checks.results import Run, Verdict
from overlab.outputs import Outputs
from overlab.phases import Span
from overlab.report import pages, picture, svg

_SHORT_ID = 12
_WIDE = 1800
"""Pixels from which a picture is scrolled and not made smaller."""


@dataclass(frozen=True)
class Material:
    """Everything that a report is made from."""

    settings: Settings
    outputs: Outputs = field(default_factory=Outputs)
    known: Known = field(default_factory=Known)
    spans: list[Span] = field(default_factory=list)
    """The last update's resources."""
    pulumi: str = ""
    """Version of the CLI."""
    rungs: Mapping[str, str] = field(default_factory=dict)
    """How each part of the ground was come by."""


def render(material: Material) -> str:
    """The page."""
    run, verdicts = material.known.run, material.known.verdicts
    drawn = picture.build(material.settings, material.outputs, verdicts, run.begun if run else None)
    total = max((span.end for span in material.spans), default=0)
    return pages.render(
        "report",
        picture=drawn,
        drawing=Markup(svg.inline(drawn)),
        wide=svg.natural_width(drawn) > _WIDE,
        status=_status(verdicts),
        summary=_summary(verdicts),
        tested=_tested(run, verdicts),
        notes=list(run.notes) if run else [],
        nodes=[_node(node, material.outputs) for node in drawn.nodes],
        overlays=[_overlay(overlay, material.outputs) for overlay in drawn.overlays],
        workloads=[row for workload in drawn.workloads for row in _rows(workload, drawn)],
        verdicts=verdicts,
        grids=grids(verdicts),
        test_seconds=run.seconds if run else None,
        sessions=run.sessions if run else 0,
        spans=[_bar(span, total) for span in phases.by_component(material.spans)],
        total=total,
        versions=_versions(material),
    )


def render_run(run: Run) -> str:
    """A page about one run of the checks alone."""
    return pages.render("tests", run=run, status=_status(run.verdicts), grids=grids(run.verdicts))


# -- the parts' data -------------------------------------------------------------------------------


def _status(verdicts: tuple[Verdict, ...]) -> str:
    statuses = {verdict.status for verdict in verdicts}
    return next((one for one in ("failed", "not run", "passed") if one in statuses), "unknown")


def _summary(verdicts: tuple[Verdict, ...]) -> str:
    if not verdicts:
        return "not tested"
    counts = {status: sum(1 for one in verdicts if one.status == status) for status in ("passed", "failed", "not run")}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) + f" of {len(verdicts)} checks"


def _tested(run: Run | None, verdicts: tuple[Verdict, ...]) -> str:
    if run is not None:
        return f"tested {run.begun:%Y-%m-%d %H:%M:%S} UTC"
    return "as the last up that checked found it" if verdicts else ""


def _node(node: picture.Node, outputs: Outputs) -> dict[str, str]:
    engine = outputs.nodes.get(node.key, {}).get("engine")
    facts = engine if isinstance(engine, Mapping) else {}
    return {
        "key": node.key,
        "address": node.address,
        "engine": node.engine,
        "advertise": str(facts.get("advertise", "")),
        "store": str(facts.get("store", "")) + (" (a server)" if node.serves_store else ""),
    }


def _overlay(overlay: picture.Overlay, outputs: Outputs) -> dict[str, Any]:
    return {
        "name": overlay.name,
        "subnet": overlay.subnet,
        "made_from": overlay.made_from,
        "internal": overlay.internal,
        "id": str(outputs.networks.get(overlay.name, {}).get("id", ""))[:_SHORT_ID],
    }


def _rows(workload: picture.Workload, drawn: picture.Picture) -> list[dict[str, str]]:
    """One row for each overlay that a workload is on; the first one has what it publishes."""
    common = {"name": workload.name, "node": workload.node, "image": workload.image}
    address = next(node.address for node in drawn.nodes if node.key == workload.node)
    published = ", ".join(f"{address}:{port.node_port or '?'} → {port.inside}" for port in workload.ports)
    if workload.share_with:
        return [common | {"overlay": "", "address": f"as {workload.share_with}", "aliases": "", "published": published}]
    return [
        common
        | {"overlay": one.overlay, "address": one.address, "aliases": ", ".join(one.aliases)}
        | {"published": published if number == 0 else ""}
        for number, one in enumerate(workload.attachments)
    ]


def _bar(span: Span, total: int) -> dict[str, Any]:
    whole = max(total, 1)
    return {
        "name": span.name,
        "begin": span.begin,
        "end": span.end,
        "seconds": span.seconds,
        "left": round(100 * span.begin / whole, 2),
        "width": round(100 * span.seconds / whole, 2),
    }


def _versions(material: Material) -> list[tuple[str, str]]:
    settings = material.settings
    images = dict.fromkeys([settings.store.image, *(spec.image for spec in settings.workloads.values())])
    found = [
        ("overlab", version("overlab")),
        ("Python", platform.python_version()),
        ("Pulumi CLI", material.pulumi or "not prepared"),
        ("images", ", ".join(images)),
    ]
    return found + [(name, rung) for name, rung in material.rungs.items() if name != "pulumi"]
