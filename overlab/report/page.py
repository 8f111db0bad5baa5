"""One self-contained page about a lab: picture, addresses, checks, timings, versions."""

from __future__ import annotations

import platform
from collections import Counter
from importlib.metadata import version

from markupsafe import Markup

from components.checks.model import CheckResult
from overlab.checks.grids import grids
from overlab.checks.results import CheckRun
from overlab.report import pages, picture, svg
from overlab.report.data import ReportData
from overlab.stack import phases

_WIDE = 1800
"""Width in pixels from which a picture is scrolled instead of scaled."""


def render(report_data: ReportData) -> str:
    """The page."""
    run, results = report_data.known.run, report_data.known.results
    drawn = picture.build(report_data.settings, report_data.outputs, results, run.begun if run else None)
    return pages.render(
        "report",
        picture=drawn,
        drawing=Markup(svg.inline(drawn)),
        wide=svg.natural_width(drawn) > _WIDE,
        status=_status(results),
        summary=_summary(results),
        tested=_tested(run, results),
        run=run,
        workloads=[row for workload in drawn.workloads for row in _rows(workload, drawn)],
        results=results,
        grids=grids(results),
        spans=phases.by_component(report_data.spans),
        total=max((span.end for span in report_data.spans), default=0),
        versions=_versions(report_data),
    )


def render_run(run: CheckRun) -> str:
    """A page about one run of the checks alone."""
    return pages.render("tests", run=run, status=_status(run.results), grids=grids(run.results))


# -- the parts' data -------------------------------------------------------------------------------


def _status(results: tuple[CheckResult, ...]) -> str:
    statuses = {result.status for result in results}
    return next((one for one in ("failed", "not run", "passed") if one in statuses), "unknown")


def _summary(results: tuple[CheckResult, ...]) -> str:
    if not results:
        return "not tested"
    counts = Counter(result.status for result in results)
    parts = [f"{counts[status]} {status}" for status in ("passed", "failed", "not run") if counts[status]]
    return ", ".join(parts) + f" of {len(results)} checks"


def _tested(run: CheckRun | None, results: tuple[CheckResult, ...]) -> str:
    if run is not None:
        return f"tested {run.begun:%Y-%m-%d %H:%M:%S} UTC"
    return "as the last up that checked found it" if results else ""


def _rows(workload: picture.PictureWorkload, drawn: picture.Picture) -> list[dict[str, str]]:
    """One row for each network that a workload is on; the first one has what it publishes."""
    common = {"name": workload.name, "node": workload.node, "image": workload.image}
    address = next(node.address for node in drawn.nodes if node.key == workload.node)
    published = ", ".join(f"{address}:{port.node_port or '?'} → {port.inside}" for port in workload.ports)
    if workload.shares_network_of:
        return [
            common
            | {"network": "", "address": f"as {workload.shares_network_of}", "aliases": "", "published": published}
        ]
    return [
        common
        | {"network": one.network, "address": one.address, "aliases": ", ".join(one.aliases)}
        | {"published": published if number == 0 else ""}
        for number, one in enumerate(workload.attachments)
    ]


def _versions(report_data: ReportData) -> list[tuple[str, str]]:
    settings = report_data.settings
    images = dict.fromkeys([settings.store.image_name, *(spec.image for spec in settings.workloads.values())])
    found = [
        ("overlab", version("overlab")),
        ("Python", platform.python_version()),
        ("Pulumi CLI", report_data.pulumi or "not prepared"),
        ("images", ", ".join(images)),
    ]
    return found + [(name, source) for name, source in report_data.sources.items() if name != "pulumi"]
