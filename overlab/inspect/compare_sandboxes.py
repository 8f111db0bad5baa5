"""Sandboxes: who shares whose, and their way out by the node's bridge."""

from __future__ import annotations

from collections.abc import Iterator

from overlab.inspect.compare_overlays import stored
from overlab.inspect.finding import Finding
from overlab.inspect.report import NodeReport
from overlab.inspect.snapshot import Snapshot


def shared(look: Snapshot) -> Iterator[Finding]:
    """A container that shares another one's sandbox is in the namespace that this one is in now."""
    for key, report in look.reports.items():
        by_id = {container.id: container for container in report.containers or ()}
        for container in by_id.values():
            if container.host_of_network is None or container.namespace is None:
                continue
            owner = by_id.get(container.host_of_network)
            if owner is None or owner.namespace != container.namespace:
                name = owner.name if owner else container.host_of_network[:12]
                yield Finding(
                    severity="wrong",
                    kind="sandbox-left-behind",
                    subject=f"{container.name} on {key}",
                    says=f"it is in another network namespace than {name}, whose network it shares",
                    means=f"{name} was started or made again: {container.name} has no interface but its loopback",
                    remedy=f"overlab exec {key} -- docker restart {container.name}"
                    if owner
                    else "overlab refresh, then overlab up",
                )


def ways_out(look: Snapshot) -> Iterator[Finding]:
    """A container with a way out has a cable to its node's bridge, and each cable there has a container."""
    internal = {network.id: network.internal for network in stored(look)}
    for key, report in look.reports.items():
        if report.bridge is None or report.sandboxes is None or report.containers is None:
            continue
        ports = {port.index: port for port in report.bridge}
        used = set()
        for container in report.containers:
            sandbox = report.sandbox(container)
            if sandbox is None or not container.running:
                continue
            ends = {interface.peer for interface in sandbox.interfaces if interface.peer in ports}
            ends -= {interface.peer for interface in sandbox.interfaces if _on_overlay(report, interface.mac)}
            used |= ends
            overlays = [end.network_id for end in container.endpoints if end.network_id in internal]
            if overlays and not all(internal[one] for one in overlays) and not ends:
                yield Finding(
                    severity="wrong",
                    kind="way-out-missing",
                    subject=f"{container.name} on {key}",
                    says="no interface of its sandbox ends on docker_gwbridge",
                    means="no way out, and its published ports answer nobody",
                    remedy=f"overlab exec {key} -- docker restart {container.name}",
                )
        for index in sorted(ports.keys() - used):
            yield Finding(
                severity="wrong",
                kind="cable-left",
                subject=key,
                says=f"{ports[index].name} on docker_gwbridge leads to no running container",
                means="left by a container that died; harmless, and a sign that an engine was killed",
                remedy=f"overlab exec {key} -- ip link del {ports[index].name}",
            )


def _on_overlay(report: NodeReport, mac: str) -> bool:
    return any(end.mac == mac for container in report.containers or () for end in container.endpoints)
