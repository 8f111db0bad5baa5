"""Endpoints: as the store has them, against the engines' containers and the kernels' entries and cables."""

from __future__ import annotations

from collections.abc import Iterator

from overlab.inspect.compare_overlays import stored
from overlab.inspect.finding import Finding
from overlab.inspect.report import Container, NodeReport, OverlayNamespace
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.store import StoredEndpoint, StoredNetwork


def owners(look: Snapshot) -> Iterator[Finding]:
    """Each of the store's endpoints has its container on its node, with that address and MAC, and a cable."""
    for network in stored(look):
        for end in network.endpoints:
            owner = look.wanted.node_at(end.owner)
            if owner is None:
                yield _orphan(network, end)
                continue
            report = look.reports.get(owner)
            if report is None or report.containers is None:
                continue
            container = report.container_of(end.id)
            if container is None:
                yield _stale(look, network, end, owner)
            else:
                yield from _inside(network, end, owner, report, container)


def _orphan(network: StoredNetwork, end: StoredEndpoint) -> Finding:
    return Finding(
        severity="wrong",
        kind="endpoint-orphan",
        subject=f"{network.name}/{end.name}",
        says=f"the store has it on {end.owner or 'nobody'}, which is no node of the lab",
        means="its name and its address stay taken, and nobody answers there",
        remedy=f"overlab exec NODE -- docker network disconnect -f {network.name} {end.name}",
    )


def _stale(look: Snapshot, network: StoredNetwork, end: StoredEndpoint, owner: str) -> Finding:
    """Left over, by a container that is gone or by one that is stopped: that one may take it back."""
    elsewhere = next((key for key in look.wanted.nodes if key != owner), owner)
    free = f"overlab exec {elsewhere} -- docker network disconnect -f {network.name} {end.name} (never on {owner})"
    stopped = [one for one in look.reports[owner].containers or () if one.name == end.name and not one.running]
    state = f"its container is there: {stopped[0].status}" if stopped else f"no container of {owner} has it"
    return Finding(
        severity="wrong",
        kind="endpoint-stale",
        subject=f"{network.name}/{end.name}",
        says=f"the store has it on {owner} as {_address(end)}, {state}",
        means="its engine or machine died: name and address stay taken, others send into the void",
        remedy=f"overlab exec {owner} -- docker start {end.name}; if that fails: {free}" if stopped else free,
    )


def _inside(
    network: StoredNetwork, end: StoredEndpoint, owner: str, report: NodeReport, container: Container
) -> Iterator[Finding]:
    """The engine's idea of the endpoint, the interface in the sandbox, and the other end of its cable."""
    subject = f"{network.name}/{end.name}"
    recreate = f"overlab exec {owner} -- docker restart {container.name}"
    has = next(one for one in container.endpoints if one.id == end.id)
    if end.address is not None and (has.address, has.mac) != (str(end.address.ip), end.mac):
        yield Finding(
            severity="wrong",
            kind="endpoint-differs",
            subject=subject,
            says=f"the store has {_address(end)} {end.mac}, the engine of {owner} {has.address} {has.mac}",
            means="the others send to an address that it does not have",
            remedy=recreate,
        )
    sandbox = report.sandbox(container)
    if sandbox is None or end.address is None:
        return
    interface = sandbox.by_mac(end.mac)
    if interface is None or end.address not in interface.addresses:
        seen = ", ".join(f"{i.name} {' '.join(map(str, i.addresses))} {i.mac}" for i in sandbox.interfaces)
        yield Finding(
            severity="wrong",
            kind="interface-missing",
            subject=subject,
            says=f"the sandbox on {owner} has no interface with {end.address} and {end.mac} (it has: {seen or 'none'})",
            means="the kernel does not have what the engine promised: it cannot be reached",
            remedy=recreate,
        )
        return
    namespace = report.namespace(network.id)
    if namespace is not None and interface.peer not in [port.index for port in namespace.ports]:
        yield Finding(
            severity="wrong",
            kind="cable-cut",
            subject=subject,
            says=f"the cable of {interface.name} does not end on the bridge in the overlay's namespace on {owner}",
            means="it has its address and reaches nobody on this overlay",
            remedy=recreate,
        )


def unregistered(look: Snapshot) -> Iterator[Finding]:
    """Each running container's endpoint on an overlay is in the store."""
    networks = {network.id: {end.id for end in network.endpoints} for network in stored(look)}
    for key, report in look.reports.items():
        for container in report.containers or ():
            for end in container.endpoints if container.running else ():
                if end.id and end.network_id in networks and end.id not in networks[end.network_id]:
                    yield Finding(
                        severity="wrong",
                        kind="endpoint-unregistered",
                        subject=f"{end.network}/{container.name}",
                        says=f"{key} runs it with {end.address}, the store does not have it",
                        means="the others do not find its name, and its address may be given to another one",
                        remedy=f"overlab exec {key} -- docker restart {container.name}",
                    )


# -- what a node's kernel knows of the endpoints on the others -----------------------------------------


def entries(namespace: OverlayNamespace, end: StoredEndpoint) -> tuple[str | None, str | None]:
    """For one endpoint: the MAC that its address has there, and the node's address that its MAC is behind."""
    address = str(end.address.ip) if end.address else ""
    macs = [entry.mac for entry in namespace.neighbours if entry.address == address]
    targets = [entry.to for entry in namespace.forwarding if entry.mac == end.mac]
    return (macs[0] if macs else None), (targets[0] if targets else None)


def remote_entries(look: Snapshot) -> Iterator[Finding]:
    """A node that is on an overlay sends what is for an endpoint of another node to that node."""
    for network in stored(look):
        for key, report in look.reports.items():
            namespace = report.namespace(network.id)
            if namespace is None:
                continue
            for end in network.endpoints:
                # Where nobody of the lab has it, that is told once, and not for every node.
                if end.address is not None and look.wanted.node_at(end.owner) not in (key, None):
                    yield from _remote(look, network, namespace, end, key)


def _remote(
    look: Snapshot, network: StoredNetwork, namespace: OverlayNamespace, end: StoredEndpoint, key: str
) -> Iterator[Finding]:
    mac, target = entries(namespace, end)
    subject = f"{network.name}/{end.name} on {key}"
    device = next(iter(namespace.devices), "vxlan0")
    # The engine remembers what it once wrote and does not write it again: a packet alone may bring nothing back.
    reproduce_command = f"overlab exec {key} -- nsenter --net={namespace.file}"
    neighbour = f"{reproduce_command} ip neigh replace {_address(end)} lladdr {end.mac} dev {device} nud permanent"
    forwarding = f"{reproduce_command} bridge fdb replace {end.mac} dev {device} dst {end.owner} self permanent"
    if mac is not None and mac != end.mac:
        yield Finding(
            severity="wrong",
            kind="neighbour-wrong",
            subject=subject,
            says=f"the kernel has {mac} for {_address(end)}, the store {end.mac}",
            means="packets go to an endpoint of the past",
            remedy=neighbour,
        )
    if target is not None and target != end.owner:
        yield Finding(
            severity="wrong",
            kind="forwarding-wrong",
            subject=subject,
            says=f"the kernel sends {end.mac} to {target}, the store has it on {end.owner}",
            means="packets go to the wrong node",
            remedy=forwarding,
        )
    if (mac is None) != (target is None):
        has, lacks = ("a neighbour", "forwarding") if target is None else ("a forwarding", "neighbour")
        yield Finding(
            severity="wrong",
            kind="entry-half",
            subject=subject,
            says=f"the kernel has {has} entry for {_address(end)} and no {lacks} entry",
            means="somebody removed it; nothing from here gets there, and the engine does not write it again",
            remedy=forwarding if target is None else neighbour,
        )
    if mac is None and target is None:
        yield _unknown(look, network, end, key, subject)


def _unknown(look: Snapshot, network: StoredNetwork, end: StoredEndpoint, key: str, subject: str) -> Finding:
    """Not learnt yet is normal, as long as the one who could tell is a member."""
    owner = look.wanted.node_at(end.owner)
    gossip = look.reports[key].gossip
    member = gossip.get(owner) if gossip is not None and owner is not None else None
    says = f"the kernel knows neither neighbour nor forwarding entry for {_address(end)}"
    if owner in look.reports and gossip is not None and (member is None or not member.joined):
        return Finding(
            severity="wrong",
            kind="entry-missing",
            subject=subject,
            says=f"{says}, and {key} has no gossip member {owner} to ask",
            means="the silent split: this endpoint cannot be reached from here",
            remedy=f"the one for gossip-split {key} - {owner}",
        )
    return Finding(
        severity="note",
        kind="entry-unlearnt",
        subject=subject,
        says=says,
        means="nobody here has sent to it yet: the first packet makes the engine ask",
        remedy=_ping(look, end, key, network),
    )


def _ping(look: Snapshot, end: StoredEndpoint, key: str, network: StoredNetwork) -> str:
    here = [one.name for one in network.endpoints if one.owner == look.wanted.nodes[key]]
    if not here:
        return "none is needed"
    return f"overlab exec {key} -- docker exec {here[0]} ping -c 1 {_address(end)}"


def left_entries(look: Snapshot) -> Iterator[Finding]:
    """A node's kernel has no entry for an address or a MAC that no endpoint has."""
    for network in stored(look):
        macs = {end.mac for end in network.endpoints}
        addresses = {str(end.address.ip) for end in network.endpoints if end.address}
        for key, report in look.reports.items():
            namespace = report.namespace(network.id)
            if namespace is None:
                continue
            left = {entry.address for entry in namespace.neighbours} - addresses
            left |= {entry.mac for entry in namespace.forwarding} - macs
            if left:
                yield Finding(
                    severity="wrong",
                    kind="entry-left",
                    subject=f"{network.name} on {key}",
                    says=f"the kernel has entries for {', '.join(sorted(left))}, which no endpoint of the store has",
                    means="left by an endpoint that went unseen; what is sent to that address goes astray",
                    remedy="none is needed while nothing has that address",
                )


def _address(end: StoredEndpoint) -> str:
    return str(end.address.ip) if end.address else "no address"
