"""One self-contained page about a lab: picture, addresses, checks, timings, versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from markupsafe import Markup

from components.checks.model import CheckResult
from overlab.checks.grids import grids
from overlab.checks.results import CheckRun
from overlab.report import pages, picture, svg
from overlab.report.data import ReportData
from overlab.stack import phases
from overlab.stack.outputs import Outputs
from overlab.stack.phases import Span

_SHORT_ID = 12
_WIDE = 1800
"""Width in pixels from which a picture is scrolled instead of scaled."""


def render(report_data: ReportData) -> str:
    """The page."""
    run, results = report_data.known.run, report_data.known.results
    drawn = picture.build(report_data.settings, report_data.outputs, results, run.begun if run else None)
    total = max((span.end for span in report_data.spans), default=0)
    return pages.render(
        "report",
        picture=drawn,
        drawing=Markup(svg.inline(drawn)),
        wide=svg.natural_width(drawn) > _WIDE,
        status=_status(results),
        summary=_summary(results),
        tested=_tested(run, results),
        notes=list(run.notes) if run else [],
        nodes=[_node(node, report_data.outputs) for node in drawn.nodes],
        networks=[_network(network, report_data.outputs) for network in drawn.networks],
        workloads=[row for workload in drawn.workloads for row in _rows(workload, drawn)],
        results=results,
        grids=grids(results),
        test_seconds=run.seconds if run else None,
        sessions=run.sessions if run else 0,
        spans=[_bar(span, total) for span in phases.by_component(report_data.spans)],
        total=total,
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
    counts = {status: sum(1 for one in results if one.status == status) for status in ("passed", "failed", "not run")}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) + f" of {len(results)} checks"


def _tested(run: CheckRun | None, results: tuple[CheckResult, ...]) -> str:
    if run is not None:
        return f"tested {run.begun:%Y-%m-%d %H:%M:%S} UTC"
    return "as the last up that checked found it" if results else ""


def _node(node: picture.PictureNode, outputs: Outputs) -> dict[str, str]:
    engine = outputs.nodes.get(node.key, {}).get("engine")
    facts = engine if isinstance(engine, Mapping) else {}
    return {
        "key": node.key,
        "address": node.address,
        "engine": node.engine,
        "advertise": str(facts.get("advertise", "")),
        "store": str(facts.get("store", "")) + (" (a server)" if node.serves_store else ""),
    }


def _network(network: picture.PictureNetwork, outputs: Outputs) -> dict[str, Any]:
    return {
        "name": network.name,
        "subnet": network.subnet,
        "created_on": network.created_on,
        "internal": network.internal,
        "id": str(outputs.networks.get(network.name, {}).get("id", ""))[:_SHORT_ID],
    }


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


def _bar(span: Span, total: int) -> dict[str, Any]:
    total = max(total, 1)
    return {
        "name": span.name,
        "begin": span.begin,
        "end": span.end,
        "seconds": span.seconds,
        "left": round(100 * span.begin / total, 2),
        "width": round(100 * span.seconds / total, 2),
    }


def _versions(report_data: ReportData) -> list[tuple[str, str]]:
    settings = report_data.settings
    images = dict.fromkeys([settings.store.image, *(spec.image for spec in settings.workloads.values())])
    found = [
        ("overlab", version("overlab")),
        ("Python", platform.python_version()),
        ("Pulumi CLI", report_data.pulumi or "not prepared"),
        ("images", ", ".join(images)),
    ]
    return found + [(name, source) for name, source in report_data.sources.items() if name != "pulumi"]
