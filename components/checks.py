"""The lab's checks as data: what is expected of whom, derived from the settings. Pure; who runs them is elsewhere.

A check runs inside its source workload, or on that workload's node. The checks of one node go there as one script
(``templates/checks.sh.j2``), so sessions grow with nodes and not with pairs. Each check prints one record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from components import conventions, scripts
from components.settings import Settings

Kind = Literal["ping-ip", "ping-name", "interface", "bridge"]
Addresses = Mapping[str, Mapping[str, str]]
"""Workload -> overlay -> address."""
RECORD = "overlab-check"
FIELDS = 7


@dataclass(frozen=True)
class Check:
    """One expectation."""

    id: str
    kind: Kind
    node: str
    source: str
    """The workload that it runs in."""
    overlay: str
    target: str = ""
    """The workload that is pinged."""
    expect: Literal["pass", "fail"] = "pass"
    within_s: int = conventions.CHECK_LIMIT_S

    @property
    def title(self) -> str:
        """For people: ``t1 -> t2 ping-ip on ov_net1``."""
        pair = f"{self.source} -> {self.target}" if self.target else self.source
        return f"{pair} {self.kind} on {self.overlay if self.kind != 'bridge' else conventions.GWBRIDGE}"


@dataclass(frozen=True)
class Result:
    """What a check found."""

    id: str
    title: str
    node: str
    expect: str
    got: str
    seconds: int
    command: str
    output: str

    @property
    def passed(self) -> bool:
        return self.expect == self.got


def matrix(settings: Settings) -> tuple[Check, ...]:
    """Every check of the lab: all ordered pairs on each overlay by address and by name, interfaces, and the stated ones."""
    return (*_pairs(settings), *_interfaces(settings), *_stated(settings))


def _pairs(settings: Settings) -> Iterable[Check]:
    for overlay in settings.overlays:
        members = [name for name, spec in settings.workloads.items() if overlay in spec.overlays]
        for source in members:
            node = settings.workloads[source].node
            for target in members:
                if source != target:
                    for kind in ("ping-ip", "ping-name"):
                        name = f"{kind}:{overlay}:{source}:{target}"
                        yield Check(name, kind, node, source, overlay, target)


def _interfaces(settings: Settings) -> Iterable[Check]:
    for name, spec in settings.workloads.items():
        for overlay in spec.overlays:
            yield Check(f"interface:{overlay}:{name}", "interface", spec.node, name, overlay)
        yield Check(f"bridge:{name}", "bridge", spec.node, name, "")


def _stated(settings: Settings) -> Iterable[Check]:
    for name, spec in settings.checks.items():
        node = settings.workloads[spec.source].node
        yield Check(name, spec.kind, node, spec.source, spec.overlay, spec.target, spec.expect, spec.within_s)


def script(node: str, checks: Iterable[Check], settings: Settings, addresses: Addresses) -> str:
    """The script that runs a node's checks: exit code 1 and the failed ones on stderr when one fails."""
    own = [check for check in checks if check.node == node]
    sources = list(dict.fromkeys(check.source for check in own))
    parts = [
        {
            "workload": source,
            "script": inside(source, [check for check in own if check.source == source], settings, addresses),
        }
        for source in sources
    ]
    return scripts.render("checks", node=node, sources=parts, bridge=conventions.GWBRIDGE)


def inside(source: str, checks: list[Check], settings: Settings, addresses: Addresses) -> str:
    """The part of a node's script that runs inside one workload."""
    lines = [_call(check, settings, addresses) for check in checks]
    return scripts.render("checks_inside", record=RECORD, calls=lines)


def _call(check: Check, settings: Settings, addresses: Addresses) -> dict[str, object]:
    call: dict[str, object] = {
        "id": check.id,
        "title": check.title,
        "expect": check.expect,
        "within_s": check.within_s,
    }
    if check.kind == "ping-ip":
        return call | {"argv": ["ping", "-c", "1", "-W", "2", addresses[check.target][check.overlay]]}
    if check.kind == "ping-name":
        return call | {"argv": ["ping", "-c", "1", "-W", "2", check.target]}
    if check.kind == "interface":
        spec = settings.workloads[check.source]
        # With several overlays the engine joins them in no fixed order.
        device = "eth0" if len(spec.overlays) == 1 else ""
        address = f"{addresses[check.source][check.overlay]}/{settings.overlays[check.overlay].subnet.prefixlen}"
        mtu = settings.underlay_mtu(check.overlay) - conventions.VXLAN_OVERHEAD
        return call | {"argv": ["interface", device, address, mtu]}
    return call | {"argv": ["peer", f"eth{len(settings.workloads[check.source].overlays)}"]}


def parse(node: str, output: str) -> tuple[Result, ...]:
    """The results in what a node's script printed."""
    results = []
    for line in output.splitlines():
        parts = line.split("\t")
        if parts[0] == RECORD and len(parts) == FIELDS + 1:
            _, id_, title, expect, got, seconds, command, text = parts
            results.append(Result(id_, title, node, expect, got, int(seconds), command, text))
    return tuple(results)
