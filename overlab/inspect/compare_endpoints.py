"""Endpoints: as the store has them, against the engines' containers, their veth pairs, FDB and neighbor entries."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from overlab.inspect import kernel_commands
from overlab.inspect.finding import Finding, finding
from overlab.inspect.node_report import Container, NodeReport, OverlayNamespace
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.store_view import StoredEndpoint, StoredNetwork


def stored_endpoints(snapshot: Snapshot) -> Iterator[Finding]:
    """Each of the store's endpoints has its container on its node, with that address and MAC, and a veth pair."""
    for network in snapshot.stored_networks:
        for endpoint in network.endpoints:
            node = snapshot.expected.node_at(endpoint.locator)
            report = snapshot.reports.get(node) if node else None
            subject, names = f"{network.name}/{endpoint.name}", {"network": network.name, "workload": endpoint.name}
            if endpoint.balancer or (node is None and _is_elsewhere(snapshot, endpoint)):
                continue
            if node is None:
                yield finding("endpoint-orphaned", subject, endpoint.locator or "nobody", **names, other_node="NODE")
            elif report is not None and report.containers is not None:
                container = report.container_of(endpoint.id)
                if container is None:
                    yield _stale(snapshot, endpoint, node, subject, names)
                elif endpoint.mac:
                    yield from _local(network, endpoint, node, report, container)


def _is_elsewhere(snapshot: Snapshot, endpoint: StoredEndpoint) -> bool:
    """Whether it is on a node that was not attached, and so cannot be looked at."""
    registered = snapshot.led_store.nodes if snapshot.led_store else (f"{endpoint.locator}:",)
    return snapshot.expected.attached and any(one.startswith(f"{endpoint.locator}:") for one in registered)


def _stale(snapshot: Snapshot, endpoint: StoredEndpoint, node: str, subject: str, names: dict[str, str]) -> Finding:
    """The container is gone, or it is stopped: then it may take its endpoint back."""
    others = [key for key in snapshot.expected.nodes if key != node]
    same_name = [one for one in snapshot.reports[node].containers or () if one.name == endpoint.name]
    stopped = [container.status for container in same_name if not container.running]
    state = f"its container is {stopped[0]}" if stopped else "no container has it"
    return finding(
        "endpoint-stale",
        subject,
        f"{endpoint.ip or 'no address'} on {node}, where {state}",
        start=f"overlab exec {node} -- docker start {shlex.quote(endpoint.name)}; if that fails: " if stopped else "",
        node=node,
        other_node=(others or [node])[0],
        **names,
    )


def _local(
    network: StoredNetwork, endpoint: StoredEndpoint, node: str, report: NodeReport, container: Container
) -> Iterator[Finding]:
    """The engine's view of the endpoint, the interface in the sandbox, and the veth on the network's bridge."""
    subject, facts = f"{network.name}/{endpoint.name}", {"node": node, "workload": container.name}
    actual = next(one for one in container.endpoints if one.id == endpoint.id)
    if endpoint.address is not None and (actual.address, actual.mac) != (endpoint.ip, endpoint.mac):
        evidence = f"store {endpoint.ip} {endpoint.mac}, engine of {node} {actual.address} {actual.mac}"
        yield finding("endpoint-mismatch", subject, evidence, **facts)
    sandbox = report.sandbox(container)
    if sandbox is None or endpoint.address is None:
        return
    interface, namespace = sandbox.by_mac(endpoint.mac), report.namespace(network.id)
    if interface is None or endpoint.address not in interface.addresses:
        present = ", ".join(f"{i.name} {' '.join(map(str, i.addresses))} {i.mac}" for i in sandbox.interfaces)
        evidence = f"{endpoint.address} {endpoint.mac} on {node}; it has {present or 'none'}"
        yield finding("interface-missing", subject, evidence, **facts)
    elif not interface.up:
        command = kernel_commands.shown(node, kernel_commands.set_up(container.sandbox_key, interface.name))
        yield finding("interface-down", subject, f"{interface.name} on {node}", command=command)
    elif namespace is not None and interface.peer not in [port.index for port in namespace.ports]:
        yield finding("veth-detached", subject, f"{interface.name} on {node}", **facts)


def running_endpoints(snapshot: Snapshot) -> Iterator[Finding]:
    """Each running container's endpoint on an overlay network is in the store."""
    stored = {network.id: {endpoint.id for endpoint in network.endpoints} for network in snapshot.stored_networks}
    for key, report in snapshot.reports.items():
        for container in report.containers or ():
            for endpoint in container.endpoints if container.running else ():
                if endpoint.id and endpoint.id not in stored.get(endpoint.network_id, {endpoint.id}):
                    subject, evidence = f"{endpoint.network}/{container.name}", f"{endpoint.address} on {key}"
                    yield finding("endpoint-not-registered", subject, evidence, node=key, workload=container.name)


def duplicates(snapshot: Snapshot) -> Iterator[Finding]:
    """No two endpoints of a network have the same address or MAC."""
    for network in snapshot.stored_networks:
        for kind, values in (
            ("address", [(one.ip, one.name) for one in network.endpoints]),
            ("MAC", [(one.mac, one.name) for one in network.endpoints]),
        ):
            names: dict[str, list[str]] = {}
            for value, name in values:
                names.setdefault(value, []).append(name)
            for value, having in names.items():
                if value and len(having) > 1:
                    subject, evidence = f"{network.name}/{having[0]}", f"{kind} {value}: {', '.join(having)}"
                    yield finding("endpoint-duplicate", subject, evidence, workload=having[-1], kind=kind)


def mtus(snapshot: Snapshot) -> Iterator[Finding]:
    """All endpoints of a network have interfaces of the same MTU."""
    for network in snapshot.stored_networks:
        found: dict[int, list[str]] = {}
        for endpoint in network.endpoints:
            node = snapshot.expected.node_at(endpoint.locator)
            report = snapshot.reports.get(node) if node else None
            container = report.container_of(endpoint.id) if report else None
            sandbox = report.sandbox(container) if report and container else None
            interface = sandbox.by_mac(endpoint.mac) if sandbox else None
            if interface is not None:
                found.setdefault(interface.mtu, []).append(f"{endpoint.name} on {node}")
        if len(found) > 1:
            evidence = "; ".join(f"{mtu}: {', '.join(names)}" for mtu, names in sorted(found.items()))
            yield finding("network-mtu-mismatch", network.name, evidence)


# -- FDB and neighbor entries for the endpoints on other nodes -----------------------------------------


def entries(namespace: OverlayNamespace, endpoint: StoredEndpoint) -> tuple[str | None, str | None]:
    """A namespace's neighbor entry for an endpoint's address (a MAC), and FDB entry for its MAC (a node's address)."""
    macs = (entry.mac for entry in namespace.neighbors if entry.address == endpoint.ip)
    destinations = (entry.destination for entry in namespace.fdb if entry.mac == endpoint.mac)
    return next(macs, None), next(destinations, None)


def peer_entries(snapshot: Snapshot) -> Iterator[Finding]:
    """A node with a network's namespace sends packets for an endpoint on another node to that node."""
    for network, key, namespace in snapshot.namespaces():
        for endpoint in network.endpoints:
            # An endpoint on no node of the lab is found once, and not for every node.
            node = snapshot.expected.node_at(endpoint.locator)
            if endpoint.address is not None and endpoint.mac and node not in (key, None):
                yield from of_peer(snapshot, network, namespace, endpoint, key)


def of_peer(
    snapshot: Snapshot, network: StoredNetwork, namespace: OverlayNamespace, endpoint: StoredEndpoint, key: str
) -> Iterator[Finding]:
    mac, destination = entries(namespace, endpoint)
    subject = f"{network.name}/{endpoint.name} on {key}"
    # The engine remembers what it once wrote and does not write it again: a packet alone may restore nothing.
    neighbor = kernel_commands.shown(key, kernel_commands.neighbor(namespace, endpoint))
    fdb = kernel_commands.shown(key, kernel_commands.fdb(namespace, endpoint))
    if mac not in (None, endpoint.mac):
        evidence = f"{endpoint.ip}: kernel {mac}, store {endpoint.mac}"
        yield finding("neighbor-mismatch", subject, evidence, command=neighbor)
    if destination not in (None, endpoint.locator):
        evidence = f"{endpoint.mac}: kernel {destination}, store {endpoint.locator}"
        yield finding("fdb-mismatch", subject, evidence, command=fdb)
    if mac is None and destination is None and snapshot.in_swarm:
        # An engine of a swarm writes both as soon as gossip brings the endpoint.
        yield finding("peer-entry-lost", subject, f"{endpoint.ip} on {endpoint.locator}", command=f"{neighbor}; {fdb}")
    elif mac is None and destination is None:
        yield _no_entries(snapshot, network, endpoint, key, subject)
    elif mac is None:
        yield finding("peer-entry-incomplete", subject, f"{endpoint.ip} has no neighbor entry", command=neighbor)
    elif destination is None:
        yield finding("peer-entry-incomplete", subject, f"{endpoint.ip} has no FDB entry", command=fdb)


def _no_entries(
    snapshot: Snapshot, network: StoredNetwork, endpoint: StoredEndpoint, key: str, subject: str
) -> Finding:
    """Unresolved is normal, as long as the endpoint's node is a gossip member."""
    peer, gossip = snapshot.expected.node_at(endpoint.locator) or "", snapshot.reports[key].gossip
    if peer in snapshot.reports and gossip is not None and not (peer in gossip and gossip[peer].joined):
        return finding("peer-entry-missing", subject, f"{endpoint.ip} on {peer}", node=key, other_node=peer)
    local = [one.name for one in network.endpoints if one.locator == snapshot.expected.nodes[key]]
    ping = (
        f"overlab exec {key} -- docker exec {shlex.quote(local[0])} ping -c 1 {endpoint.ip}"
        if local
        else "none is needed"
    )
    return finding("peer-entry-unresolved", subject, endpoint.ip, command=ping)


def stale_peer_entries(snapshot: Snapshot) -> Iterator[Finding]:
    """A node's kernel has no entry for an address or a MAC that no endpoint has."""
    for network, key, _, addresses, macs in stale(snapshot):
        yield finding("peer-entry-stale", f"{network.name} on {key}", ", ".join(sorted(addresses | macs)))


def stale(snapshot: Snapshot) -> Iterator[tuple[StoredNetwork, str, OverlayNamespace, set[str], set[str]]]:
    """Namespaces with :func:`stale_entries`, and these.

    Gossip does not bring all endpoints of a swarm's nodes: where one of them does not report, nothing is known.
    """
    for network, key, namespace in snapshot.namespaces():
        if snapshot.in_swarm and not _all_report(snapshot, network):
            continue
        addresses, macs = stale_entries(network, namespace)
        if addresses or macs:
            yield network, key, namespace, addresses, macs


def _all_report(snapshot: Snapshot, network: StoredNetwork) -> bool:
    listed = [one for report in snapshot.reports.values() for one in report.networks or () if one.id == network.id]
    reporting = {
        snapshot.expected.nodes[key] for key, report in snapshot.reports.items() if report.networks is not None
    }
    return {peer for one in listed for peer in one.peers} <= reporting


def stale_entries(network: StoredNetwork, namespace: OverlayNamespace) -> tuple[set[str], set[str]]:
    """Addresses of neighbor entries, and MACs of FDB entries, that no endpoint of the store has."""
    addresses = {entry.address for entry in namespace.neighbors} - {endpoint.ip for endpoint in network.endpoints}
    macs = {entry.mac for entry in namespace.fdb} - {endpoint.mac for endpoint in network.endpoints}
    return addresses, macs
