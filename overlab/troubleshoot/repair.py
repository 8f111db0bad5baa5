"""``overlab repair``: put back what the kernels of the nodes lost of their overlay networks.

Only what is wrong beyond doubt: the endpoint's own node confirms it, and two looks agree. No engine and no container
is restarted, and no other entry is touched.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from overlab.core.errors import OverlabError
from overlab.inspect import compare_endpoints, kernel_commands
from overlab.inspect.cluster import Cluster
from overlab.inspect.finding import Finding
from overlab.inspect.kernel_commands import Command
from overlab.inspect.node_report import OverlayNamespace
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.store_view import StoredEndpoint, StoredNetwork
from overlab.troubleshoot.flow import Side

_LIMIT_S = 60


@dataclass(frozen=True)
class Step:
    """A command on a node, and why."""

    node: str
    subject: str
    reason: str
    command: Command

    @property
    def shown(self) -> str:
        return f"{self.node}: {self.subject}: {self.reason}\n    {shlex.join(self.command)}"


def plan(cluster: Cluster) -> list[Step]:
    """What two looks agree on. A container that starts or stops between them is in one only.

    Raises :class:`OverlabError` where no node answers.
    """
    snapshot = cluster.take_snapshot()
    if not snapshot.reports:
        reasons = "; ".join(f"{key}: {node.error}" for key, node in snapshot.nodes.items())
        raise OverlabError(f"no node of {cluster.name} answers ({reasons})", f"overlab status --stack {cluster.name}")
    first = steps(snapshot)
    if not first:
        return []
    again = {(step.node, step.command) for step in steps(cluster.take_snapshot())}
    return [step for step in first if (step.node, step.command) in again]


def steps(snapshot: Snapshot) -> list[Step]:
    """Commands for what is wrong in a snapshot."""
    return [
        *devices_down(snapshot),
        *_detached_veths(snapshot),
        *_peer_entries(snapshot),
        *_stale_entries(snapshot),
    ]


def run(cluster: Cluster, planned: list[Step]) -> dict[str, str]:
    """Run the steps, nodes at once and each node's in order. By node: why it did not take them."""
    by_node: dict[str, list[Step]] = {}
    for step in planned:
        by_node.setdefault(step.node, []).append(step)
    with ThreadPoolExecutor(max(1, len(by_node))) as pool:
        answers = dict(zip(by_node, pool.map(lambda node: _run_on(cluster, node, by_node[node]), by_node), strict=True))
    return {node: reason for node, reason in answers.items() if reason}


def _run_on(cluster: Cluster, node: str, planned: list[Step]) -> str:
    script = "\n".join(["status=0", *(f"{shlex.join(step.command)} || status=1" for step in planned), "exit $status"])
    try:
        ssh = cluster.as_root(node, ["sh", "-c", script])
        done = subprocess.run(ssh, capture_output=True, stdin=subprocess.DEVNULL, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"


# -- what is wrong -------------------------------------------------------------------------------------


def devices_down(snapshot: Snapshot) -> Iterator[Step]:
    """In the namespaces of networks, and endpoints' interfaces."""
    for network, key, namespace in snapshot.namespaces():
        for device in namespace.down:
            command = kernel_commands.set_up(namespace.file, device)
            yield Step(key, network.name, f"{device} is down", command)
        for side in _local(snapshot, network, key):
            if side.interface is not None and side.container is not None and not side.interface.up:
                command = kernel_commands.set_up(side.container.sandbox_key, side.interface.name)
                yield Step(key, f"{network.name}/{side.name}", f"{side.interface.name} is down", command)


def _detached_veths(snapshot: Snapshot) -> Iterator[Step]:
    for network, key, namespace in snapshot.namespaces():
        for side in _local(snapshot, network, key):
            if side.detached_veth is not None and namespace.bridge:
                command = kernel_commands.attach(namespace, side.detached_veth.name)
                yield Step(key, f"{network.name}/{side.name}", "its veth is not a port of the bridge", command)


def _local(snapshot: Snapshot, network: StoredNetwork, key: str) -> Iterator[Side]:
    for endpoint in network.endpoints:
        if snapshot.expected.node_at(endpoint.locator) == key:
            yield Side(endpoint, network, key, snapshot.reports[key])


def _peer_entries(snapshot: Snapshot) -> Iterator[Step]:
    for network, key, namespace in snapshot.namespaces():
        for endpoint in network.endpoints:
            owner = snapshot.expected.node_at(endpoint.locator)
            if owner not in (None, key) and endpoint.address and endpoint.mac and _confirms(snapshot, owner, endpoint):
                yield from _peer_entry(snapshot, network, key, namespace, endpoint)


def _confirms(snapshot: Snapshot, owner: str | None, endpoint: StoredEndpoint) -> bool:
    """Whether the endpoint's own node has it, with that address and MAC in its kernel."""
    report = snapshot.reports.get(owner or "")
    if report is None:
        return False
    container = report.container_of(endpoint.id)
    if container is None:
        return endpoint.balancer
    sandbox = report.sandbox(container)
    interface = sandbox.by_mac(endpoint.mac) if sandbox else None
    return interface is not None and endpoint.address in interface.addresses


def _peer_entry(
    snapshot: Snapshot, network: StoredNetwork, key: str, namespace: OverlayNamespace, endpoint: StoredEndpoint
) -> Iterator[Step]:
    mac, destination = compare_endpoints.entries(namespace, endpoint)
    subject = f"{network.name}/{endpoint.name}"
    if mac is None and destination is None and not _is_lost(snapshot, network, namespace, endpoint, key):
        return
    if mac != endpoint.mac:
        reason = f"neighbor entry of {endpoint.ip} is {mac or 'missing'}, the endpoint has {endpoint.mac}"
        yield Step(key, subject, reason, kernel_commands.neighbor(namespace, endpoint))
        for side in _local(snapshot, network, key):
            if side.container is not None and side.interface is not None:
                command = kernel_commands.forget(side.container.sandbox_key, endpoint.ip, side.interface.name)
                yield Step(key, f"{network.name}/{side.name}", f"it asks again for {endpoint.ip}", command)
    if destination != endpoint.locator:
        reason = f"FDB entry of {endpoint.mac} is {destination or 'missing'}, the endpoint is on {endpoint.locator}"
        yield Step(key, subject, reason, kernel_commands.fdb(namespace, endpoint))


def _is_lost(
    snapshot: Snapshot, network: StoredNetwork, namespace: OverlayNamespace, endpoint: StoredEndpoint, key: str
) -> bool:
    """Whether no packet would bring both entries: with a store the first one does, where gossip is whole."""
    found: Iterator[Finding] = compare_endpoints.of_peer(snapshot, network, namespace, endpoint, key)
    return any(one.severity != "note" for one in found)


def _stale_entries(snapshot: Snapshot) -> Iterator[Step]:
    """Entries that no endpoint has."""
    for network, key, namespace, addresses, macs in compare_endpoints.stale(snapshot):
        for address in sorted(addresses):
            command = kernel_commands.no_neighbor(namespace, address)
            yield Step(key, network.name, f"no endpoint has {address}", command)
        for mac in sorted(macs):
            yield Step(key, network.name, f"no endpoint has {mac}", kernel_commands.no_fdb(namespace, mac))
