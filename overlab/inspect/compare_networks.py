"""Overlay networks: settings, store, engines, and their namespaces in the kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from overlab.inspect import kernel_commands
from overlab.inspect.finding import Finding, finding
from overlab.inspect.snapshot import Snapshot


def expected_networks(snapshot: Snapshot) -> Iterator[Finding]:
    """The store has every network of the settings once, with the stated subnet, and no other."""
    if snapshot.led_store is None:
        return
    networks, expected = snapshot.stored_networks, snapshot.expected.networks
    names = Counter(network.name for network in networks)
    for name, subnet in expected.items():
        if name not in names:
            yield finding("network-missing", name)
            for other in networks:
                if subnet and other.subnet == subnet:
                    yield finding("network-subnet-taken", name, f"{other.name} has {subnet}", other=other.name)
        for network in networks:
            if network.name == name and subnet and network.subnet != subnet:
                yield finding("network-subnet-mismatch", name, f"store {network.subnet}, settings {subnet}")
    for name, count in names.items():
        if count > 1:
            ids = [network.id[:12] for network in networks if network.name == name]
            yield finding("network-duplicate", name, f"the store has {', '.join(ids)}")
        if name not in expected and not snapshot.expected.attached:
            yield finding("network-unexpected", name, network=name)


def visible_networks(snapshot: Snapshot) -> Iterator[Finding]:
    """Every engine that answers lists every overlay network of the store, with the same id, and no other."""
    if snapshot.led_store is None:
        return
    stored = {network.id: network.name for network in snapshot.stored_networks}
    for key, report in snapshot.reports.items():
        if report.networks is None:
            continue
        listed = {network.id: network.name for network in report.networks if network.driver == "overlay"}
        for id_ in sorted(stored.keys() - listed.keys()):
            yield finding("network-not-visible", f"{stored[id_]} on {key}", id_[:12], node=key)
        for id_ in sorted(listed.keys() - stored.keys()):
            yield finding("network-orphaned", f"{listed[id_]} on {key}", id_[:12], node=key)


def namespaces(snapshot: Snapshot) -> Iterator[Finding]:
    """A node with an endpoint on a network has the network's namespace; its VNI there is the store's."""
    for network in snapshot.stored_networks:
        for key, report in snapshot.reports.items():
            if report.overlay_namespaces is None:
                continue
            subject, namespace = f"{network.name} on {key}", report.namespace(network.id)
            if namespace is None:
                local = [one for one in network.endpoints if snapshot.expected.node_at(one.locator) == key]
                running = [endpoint.name for endpoint in local if report.container_of(endpoint.id) is not None]
                if running:
                    yield finding("namespace-missing", subject, ", ".join(running), node=key, workload=running[0])
                continue
            if namespace.down:
                commands = [kernel_commands.set_up(namespace.file, device) for device in namespace.down]
                command = kernel_commands.shown(key, *commands)
                yield finding("device-down", subject, ", ".join(namespace.down), command=command)
            if namespace.vnis and network.vni not in namespace.vnis:
                evidence = f"kernel {', '.join(map(str, namespace.vnis))}, store {network.vni}"
                yield finding("vni-mismatch", subject, evidence, node=key)


def orphaned_ports(snapshot: Snapshot) -> Iterator[Finding]:
    """Each veth on a network's bridge leads to a sandbox of the node. Those of load balancers are not collected."""
    for network, key, namespace in snapshot.namespaces():
        report = snapshot.reports[key]
        incomplete = any(part.startswith("sandbox") for part in report.errors)
        if report.sandboxes is None or report.containers is None or incomplete:
            continue
        peers = {one.peer for sandbox in report.sandboxes.values() for one in sandbox.interfaces}
        unused = [port for port in namespace.ports if port.index not in peers]
        own = snapshot.expected.nodes[key]
        balancers = [one for one in network.endpoints if one.balancer and one.locator == own]
        for port in unused if len(unused) > len(balancers) else ():
            command = kernel_commands.shown(key, kernel_commands.delete(namespace.file, port.name))
            yield finding("network-veth-orphaned", f"{network.name} on {key}", port.name, command=command)
