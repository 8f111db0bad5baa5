"""What follows from several sections of a draft. Each in linear time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address
from itertools import islice

from components.config import addressing, spec
from components.config.draft import Draft
from components.config.spec import NodeSpec, WorkloadSpec


def store_nodes(lab: Draft) -> tuple[str, ...]:
    """The nodes that run a server, in the order of their names."""
    if lab.store is None:
        return ()
    if lab.store.node and lab.store.servers == 1:
        return (lab.store.node,)
    return tuple(lab.names("nodes") or ())[: lab.store.servers]


def agent_nodes(lab: Draft) -> Collection[str]:
    """The nodes that run a server of the store, or an agent of it."""
    return lab.nodes if lab.store and lab.store.backend.agents and lab.store.servers > 1 else store_nodes(lab)


def node_of(lab: Draft, workload: WorkloadSpec) -> str | None:
    """The node of a workload: its own, or that of the workload whose network stack it uses."""
    target = lab.workloads.get(workload.shares_network_of or "")
    return workload.node or (target.node if target else None)


def node_addresses(lab: Draft) -> Iterator[tuple[str, NodeSpec, IPv4Address | None]]:
    """Every node with its address, stated or derived; None where the underlay has none for it."""
    for key, node in lab.nodes.items():
        address = node.address
        if address is None and lab.underlay and (number := addressing.node_number(key)):
            address = addressing.node_address(lab.underlay.cidr, number)
        yield key, node, address


def hypervisor_of(lab: Draft, node: NodeSpec) -> str:
    """The name of the hypervisor of a node; empty where the lab's only one has no name."""
    names = list(lab.names("platform", "hypervisors") or ())
    return node.hypervisor or (names[0] if len(names) == 1 else "")


def has_egress(lab: Draft, workload: WorkloadSpec) -> bool:
    """Whether a workload gets an interface on docker_gwbridge."""
    return spec.has_egress([lab.networks[name] for name in workload.networks if name in lab.networks])


def choices(names: Collection[str]) -> str:
    """Names for a message: at most a dozen."""
    some = ", ".join(map(str, islice(names, 12))) or "(none)"
    return some + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
