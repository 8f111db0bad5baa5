"""Every prerequisite, the source of each part of the platform, and the fix for what is missing."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table

from components.config.settings import Settings, SettingsError
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.terminal import styled
from overlab.platform import (
    acceleration,
    cache,
    certificates,
    container_images,
    hypervisors,
    plugins,
    preflight,
    prepare,
    rootfs,
)
from overlab.platform.certificates import Validity
from overlab.platform.manifest import PlatformManifest, checkout
from overlab.platform.namespace import Namespace
from overlab.platform.preflight import PartReport, PartStatus
from overlab.stack import remembered

_RENEWAL: dict[str, PartStatus] = {"ok": "ok", "soon": "warning", "expired": "missing"}
_OLD = timedelta(days=90)
_REPAIR = "overlab up (overlab down repairs what it needs itself)"
_STYLE = {"ok": "green", "warning": "yellow", "missing": "red"}


def examine(stack: str, settings: Settings | SettingsError) -> list[PartReport]:
    """Check everything; changes nothing, and reads every byte of the cache."""
    reports = [_python(), _settings(stack, settings)]
    if isinstance(settings, Settings):
        kind = hypervisors.kind_of(settings)
        reports += preflight.reports(settings, kind)
        reports += preflight.plugin_sources()
        reports.append(PartReport("platform", "ok", f"{kind} ({settings.platform.kind} in the settings)"))
        reports += (
            _hypervisors(settings) if kind == "system" else [_acceleration()] if settings.machine_kind == "vm" else []
        )
        reports += _lab(stack, settings)
        reports += [_certificate(*first) for first in _first_to_expire(expiries(settings))]
    else:
        reports.append(preflight.packages(("up", "bundled", "vm")))
    reports += _package_age()
    reports.append(preflight.cache_space())
    reports += _cache()
    reports += [_optional(preflight.packages(("test",))), _optional(preflight.packages(("check",)))]
    return reports


def healthy(reports: list[PartReport]) -> bool:
    return all(report.status != "missing" for report in reports)


def expiries(settings: Settings | SettingsError) -> list[Validity]:
    """Validity of each of the lab's certificates; empty without a TLS port, or before they exist."""
    if isinstance(settings, SettingsError) or settings.engine.api != "tls":
        return []
    platform = prepare.read_record(LabPaths(settings.name))
    if platform is None or platform.identity.tls is None:
        return []
    return certificates.validities(platform.identity.tls)


def expiring(settings: Settings) -> list[str]:
    """A line for each kind of certificate that has expired or soon will, with the remedy."""
    rows = [_certificate(*first) for first in _first_to_expire(expiries(settings))]
    return [f"{row.part}: {row.found}; {row.remedy}" for row in rows if row.status != "ok"]


def as_json(reports: list[PartReport], certificates_: list[Validity]) -> dict[str, Any]:
    return {
        "healthy": healthy(reports),
        "parts": [asdict(report) for report in reports],
        "certificates": [asdict(one) | {"state": one.state, "remedy": one.remedy} for one in certificates_],
    }


def as_table(reports: list[PartReport]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("part", no_wrap=True)
    table.add_column("status")
    table.add_column("found, and the fix", overflow="fold")
    for report in reports:
        text = report.found if report.remedy is None else f"{report.found}\nfix: {report.remedy}"
        style = _STYLE[report.status]
        table.add_row(styled("{}", report.part), f"[{style}]{report.status}[/]", styled("{}", text))
    return table


# -- parts -----------------------------------------------------------------------------------------


def _python() -> PartReport:
    return PartReport("python", "ok", f"{sys.version.split()[0]} ({sys.executable})")


def _settings(stack: str, settings: Settings | SettingsError) -> PartReport:
    if isinstance(settings, Settings):
        nodes = ", ".join(settings.nodes)
        return PartReport("settings", "ok", f"Pulumi.{stack}.yaml: lab {settings.name}, nodes {nodes}")
    return PartReport("settings", "missing", str(settings), f"correct Pulumi.{stack}.yaml")


def _acceleration() -> PartReport:
    found = acceleration.probe()
    off = "; the nodes' kernels run without mitigations, ASLR and AppArmor" if found.domain_type == "qemu" else ""
    return PartReport("acceleration", "ok", f"{found.domain_type}: {found.reason}{off}")


def _hypervisors(settings: Settings) -> list[PartReport]:
    """Each system hypervisor, also those without nodes."""
    reports = []
    for name in settings.platform.hypervisors or [""]:
        part, (uri, _) = f"hypervisor {name}".strip(), hypervisors.address(settings, name)
        try:
            found = hypervisors.connect(uri)
            reports.append(PartReport(part, "ok", f"{uri} answers; {found.domain_type}: {found.reason}"))
            reports += _bridge(part, uri, settings.underlay.bridge)
        except OverlabError as error:
            reports.append(PartReport.missing(part, error))
    return reports


def _bridge(part: str, uri: str, bridge: str | None) -> list[PartReport]:
    if bridge is None:
        return []
    exists = hypervisors.has_bridge(uri, bridge)
    if exists is None:
        return [PartReport(f"{part}: bridge", "ok", f"{bridge}; not checked: its libvirt lists no devices")]
    if exists:
        return [PartReport(f"{part}: bridge", "ok", bridge)]
    return [PartReport(f"{part}: bridge", "missing", f"no device {bridge}", "create the bridge on that machine")]


def _lab(stack: str, settings: Settings) -> list[PartReport]:
    """What was prepared for this lab, and whether it is up."""
    try:
        remembered.require_own_lab(stack, settings.name)
    except OverlabError as error:
        return [PartReport.missing("lab", error)]
    paths = LabPaths(settings.name)
    manifest = PlatformManifest.load(paths)
    if manifest is None:
        namespace = Namespace.of(paths)
        if namespace.path.exists() and not namespace.ours():
            remedy = f"give the lab another name, or, if it is unused: ip netns delete {namespace.name}"
            return [PartReport("lab", "missing", f"the network namespace {namespace.name} is not this lab's", remedy)]
        return [PartReport("lab", "ok", "nothing is prepared yet; `overlab up` does it")]
    problems = {f"plugin {name}": text for name, text in plugins.problems(paths, manifest.cli).items()}
    reports = [
        PartReport(f"lab: {part}", "warning", problems[part], _REPAIR)
        if part in problems
        else PartReport(f"lab: {part}", "ok", source)
        for part, source in manifest.sources.items()
    ]
    if manifest.checkout != checkout():
        reports.append(PartReport("lab", "warning", f"was prepared from another checkout, {manifest.checkout}"))
    if prepare.ready(settings) is None:
        reports.append(
            PartReport("lab", "warning", "its platform is down, or no longer matches settings and tools", _REPAIR)
        )
    else:
        reports.append(PartReport("lab", "ok", f"its platform is up; state in {paths.state}"))
    return reports


def _first_to_expire(known: list[Validity]) -> list[tuple[str, Validity, int]]:
    """(row, the certificate that it shows, how many it represents): all servers share one row."""
    rows: dict[str, list[Validity]] = {}
    for one in known:
        rows.setdefault(one.whose.split()[0], []).append(one)
    return [(f"certificate: {whose}", min(each, key=lambda one: one.until), len(each)) for whose, each in rows.items()]


def _certificate(part: str, one: Validity, count: int) -> PartReport:
    verb = {"ok": "valid until", "soon": "expires soon,", "expired": "expired"}[one.state]
    left = f", {one.days} days left" if one.state != "expired" else ""
    among = f"; the first of {count}, {one.whose}" if count > 1 else ""
    return PartReport(part, _RENEWAL[one.state], f"{verb} {one.until[:10]}{left}{among}", one.remedy)


def _cache() -> list[PartReport]:
    reports = []
    for entry in cache.inspect_entries(full=True):
        part = f"cache: {entry.directory.parent.name}"
        size = f"{entry.directory.name[:12]}, {entry.size >> 20} MiB"
        if entry.problem is None:
            reports.append(PartReport(part, "ok", size))
        else:
            reports.append(PartReport(part, "warning", f"{size}: {entry.problem}", f"rm -rf {entry.directory}"))
    return reports


def _package_age() -> list[PartReport]:
    """How old the Debian packages are of which images were built; nothing replaces them by itself."""
    kinds = {
        "node packages": ("rootfs", rootfs.key_parts()),
        "workload packages": ("images", container_images.key_parts()),
    }
    reports = []
    for part, (kind, key_parts) in kinds.items():
        content = cache.find(kind, key_parts)
        if content is None:
            continue
        built = datetime.fromtimestamp((content.parent / "manifest.json").stat().st_mtime, UTC)
        age = datetime.now(UTC) - built
        found = f"Debian packages of {built:%Y-%m-%d}, {age.days} days old"
        if age < _OLD:
            reports.append(PartReport(part, "ok", found))
        else:
            remedy = f"rm -rf {content.parent}, then overlab up builds it from today's; the nodes are then recreated"
            reports.append(PartReport(part, "warning", found, remedy))
    return reports


def _optional(report: PartReport) -> PartReport:
    """A missing optional part is only a warning."""
    if report.status != "missing":
        return report
    return PartReport(report.part, "warning", report.found, report.remedy)
