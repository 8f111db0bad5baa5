"""Every prerequisite, the rung taken for each part of the platform, and the fix for what is missing."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from components.config.settings import Settings, SettingsError
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.platform import acceleration, cache, certificates, hypervisors, preflight, prepare
from overlab.platform.certificates import Validity
from overlab.platform.manifest import PlatformManifest, checkout
from overlab.platform.preflight import Finding, Status
from overlab.platform.private_libvirtd import PrivateLibvirtd

_RENEWAL: dict[str, Status] = {"ok": "ok", "soon": "warning", "expired": "missing"}
_STYLE = {"ok": "green", "warning": "yellow", "missing": "red"}


def examine(stack: str, settings: Settings | SettingsError) -> list[Finding]:
    """Look at everything; changes nothing, and reads every byte of the cache."""
    findings = [_python(), _settings(stack, settings)]
    if isinstance(settings, Settings):
        kind = hypervisors.kind_of(settings)
        findings += preflight.findings(settings, kind)
        findings += preflight.plugin_rungs(settings.platform.pulumi)
        findings.append(Finding("platform", "ok", f"{kind} ({settings.platform.kind} in the settings)"))
        findings += _hypervisors(settings) if kind == "system" else [_acceleration()]
        findings += _lab(settings)
        findings += [_certificate(*first) for first in _first_to_expire(expiries(settings))]
    else:
        findings.append(preflight.packages(("up", "bundled")))
    findings.append(preflight.cache_space())
    findings += _cache()
    findings += [_optional(preflight.packages(("test",))), _optional(preflight.packages(("check",)))]
    return findings


def healthy(findings: list[Finding]) -> bool:
    return all(finding.status != "missing" for finding in findings)


def expiries(settings: Settings | SettingsError) -> list[Validity]:
    """How long each of the lab's certificates is valid; empty without a TLS port, or where there are none yet."""
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


def as_json(findings: list[Finding], certificates_: list[Validity]) -> dict[str, Any]:
    return {
        "healthy": healthy(findings),
        "findings": [asdict(finding) for finding in findings],
        "certificates": [asdict(one) | {"state": one.state, "remedy": one.remedy} for one in certificates_],
    }


def as_table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("part", no_wrap=True)
    table.add_column("status")
    table.add_column("found, and the fix", overflow="fold")
    for finding in findings:
        text = finding.found if finding.remedy is None else f"{finding.found}\nfix: {finding.remedy}"
        style = _STYLE[finding.status]
        table.add_row(finding.part, f"[{style}]{finding.status}[/]", escape(text))
    return table


# -- parts -----------------------------------------------------------------------------------------


def _python() -> Finding:
    return Finding("python", "ok", f"{sys.version.split()[0]} ({sys.executable})")


def _settings(stack: str, settings: Settings | SettingsError) -> Finding:
    if isinstance(settings, Settings):
        return Finding("settings", "ok", f"Pulumi.{stack}.yaml: lab {settings.name}, nodes {', '.join(settings.nodes)}")
    return Finding("settings", "missing", str(settings), f"correct Pulumi.{stack}.yaml")


def _acceleration() -> Finding:
    found = acceleration.probe()
    return Finding("acceleration", "ok", f"{found.domain_type}: {found.reason}")


def _hypervisors(settings: Settings) -> list[Finding]:
    """Each native one, also those that no node is on."""
    findings = []
    for name in settings.platform.hypervisors or [""]:
        part, (uri, _) = f"hypervisor {name}".strip(), hypervisors.address(settings, name)
        try:
            found = hypervisors.look(uri)
            findings.append(Finding(part, "ok", f"{uri} answers; {found.domain_type}: {found.reason}"))
            findings += _bridge(part, uri, settings.underlay.bridge)
        except OverlabError as error:
            findings.append(Finding(part, "missing", error.what, error.remedy))
    return findings


def _bridge(part: str, uri: str, bridge: str | None) -> list[Finding]:
    if bridge is None:
        return []
    there = hypervisors.has_bridge(uri, bridge)
    if there is None:
        return [Finding(f"{part}: bridge", "ok", f"{bridge}; its libvirt knows of no devices, so nobody looked")]
    if there:
        return [Finding(f"{part}: bridge", "ok", bridge)]
    return [Finding(f"{part}: bridge", "missing", f"no {bridge} there", f"make the bridge {bridge} on that machine")]


def _lab(settings: Settings) -> list[Finding]:
    """What was prepared for this lab, and whether it lives."""
    paths = LabPaths(settings.name)
    prepared = PlatformManifest.load(paths)
    if prepared is None:
        namespace = PrivateLibvirtd(paths).namespace
        if namespace.path.exists() and not namespace.ours():
            remedy = f"give the lab another name, or, if nobody needs it: ip netns delete {namespace.name}"
            return [Finding("lab", "missing", f"the network namespace {namespace.name} is somebody else's", remedy)]
        return [Finding("lab", "ok", "nothing is prepared yet; `overlab up` does it")]
    findings = [Finding(f"lab: {part}", "ok", rung) for part, rung in prepared.rungs.items()]
    if prepared.checkout != checkout():
        findings.append(Finding("lab", "warning", f"was prepared from another checkout, {prepared.checkout}"))
    if prepare.ready(settings) is None:
        findings.append(
            Finding("lab", "warning", "its platform is down, or does not fit the settings any more", "overlab up")
        )
    else:
        findings.append(Finding("lab", "ok", f"its platform is up; state in {paths.state}"))
    return findings


def _first_to_expire(known: list[Validity]) -> list[tuple[str, Validity, int]]:
    """Name of the row, the certificate that it shows, and how many it stands for: the servers' have one together."""
    rows: dict[str, list[Validity]] = {}
    for one in known:
        rows.setdefault(one.whose.split()[0], []).append(one)
    return [(f"certificate: {whose}", min(each, key=lambda one: one.until), len(each)) for whose, each in rows.items()]


def _certificate(part: str, one: Validity, count: int) -> Finding:
    verb = {"ok": "valid until", "soon": "expires soon,", "expired": "expired"}[one.state]
    left = f", {one.days} days left" if one.state != "expired" else ""
    among = f"; the first of {count}, {one.whose}" if count > 1 else ""
    return Finding(part, _RENEWAL[one.state], f"{verb} {one.until[:10]}{left}{among}", one.remedy)


def _cache() -> list[Finding]:
    findings = []
    for entry in cache.survey(full=True):
        part = f"cache: {entry.kind}"
        size = f"{entry.key[:12]}, {entry.size >> 20} MiB"
        if entry.problem is None:
            findings.append(Finding(part, "ok", size))
        else:
            findings.append(
                Finding(part, "warning", f"{size}: {entry.problem}", "none needed: it is built again on use")
            )
    return findings


def _optional(finding: Finding) -> Finding:
    """Without it a lab still comes up."""
    if finding.status != "missing":
        return finding
    return Finding(finding.part, "warning", finding.found, finding.remedy)
