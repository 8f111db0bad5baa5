"""Sandboxes: shared ones, and their gateway endpoints on docker_gwbridge."""

from __future__ import annotations

from collections.abc import Iterator

from overlab.inspect.finding import Finding, finding
from overlab.inspect.snapshot import Snapshot


def shared_sandboxes(snapshot: Snapshot) -> Iterator[Finding]:
    """A container that shares a sandbox is in the present network namespace of the sandbox's owner."""
    for key, report in snapshot.reports.items():
        by_id = {container.id: container for container in report.containers or ()}
        for container in by_id.values():
            if container.shares_network_of is None or container.network_namespace is None:
                continue
            owner = by_id.get(container.shares_network_of)
            if owner is None or owner.network_namespace != container.network_namespace:
                target = owner.name if owner else container.shares_network_of[:12]
                subject = f"{container.name} on {key}"
                yield finding("shared-sandbox-stale", subject, node=key, workload=container.name, target=target)


def gateway_endpoints(snapshot: Snapshot) -> Iterator[Finding]:
    """A container with egress has a veth pair to docker_gwbridge, and each veth there belongs to a container."""
    internal = {network.id: network.internal for network in snapshot.stored_networks}
    for key, report in snapshot.reports.items():
        if report.gateway_ports is None or report.sandboxes is None or report.containers is None:
            continue
        ports = {port.index: port.name for port in report.gateway_ports}
        used = set()
        for container in report.containers:
            sandbox = report.sandbox(container)
            if sandbox is None or not container.running:
                continue
            # Indexes are per namespace: an overlay endpoint's peer may have the index of a port here.
            peers = {one.peer for one in sandbox.interfaces if report.attached_to_network(one.mac) is None}
            used |= peers & ports.keys()
            overlays = [one.network_id for one in container.endpoints if one.network_id in internal]
            if len(overlays) < len(container.endpoints):
                continue  # on a network of the node's own too, by which its default route may be
            if overlays and not all(internal[id_] for id_ in overlays) and not peers & ports.keys():
                subject = f"{container.name} on {key}"
                yield finding("gateway-endpoint-missing", subject, node=key, workload=container.name)
        unused = sorted(ports.keys() - used)
        # A swarm's load balancers have sandboxes that are no container's.
        for index in unused if len(unused) > len(report.load_balancers) else ():
            yield finding("veth-orphaned", key, ports[index], node=key, veth=ports[index])
