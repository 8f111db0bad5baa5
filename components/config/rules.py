"""Rules across fields. A rule judges one thing and notes what is wrong with it.

What rests on a field that could not be read is passed over: that field's own problem is noted already. Rules about
addresses, networks and names on them: ``rules_network.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from components.config import rules_network, rules_placement
from components.config.draft import Draft
from components.config.fields import HOSTNAME, LAB_NAME, OBJECT_NAME
from components.config.partial import if_parsed
from components.config.problems import join_path
from components.config.rules_network import known
from components.config.spec import CheckSpec, NodeSpec, WorkloadSpec

MAXIMUM_NODES = 250
ENGINE_HEADROOM_MIB = 320
"""What the node's own system, dockerd and containerd need beside the containers."""


def check(draft: Draft) -> None:
    """Apply every rule; the problems are added to the draft."""
    rules_network.check(draft)
    rules_placement.check(draft)
    for rule in _LAB_RULES:
        with if_parsed:
            rule(draft)
    for key, workload in draft.workloads.items():
        for of_workload in _WORKLOAD_RULES:
            with if_parsed:
                of_workload(draft, key, workload)
    for key, check_ in draft.checks.items():
        for of_check in _CHECK_RULES:
            with if_parsed:
                of_check(draft, key, check_)


# -- derived


def store_nodes(draft: Draft) -> tuple[str, ...]:
    """The nodes that run a server, in the order of their names."""
    if draft.store.servers > 1:
        return tuple(draft.nodes)[: draft.store.servers]
    return (draft.store.node,) if draft.store.node else tuple(draft.nodes)[:1]


def node_of(draft: Draft, key: str) -> str | None:
    """The node of a workload, its own or that of the one whose network it shares."""
    workload = draft.workloads[key]
    target = draft.workloads.get(workload.shares_network_of or "")
    return workload.node or (target.node if target else None)


# -- the lab


def _lab_name(draft: Draft) -> None:
    if not isinstance(draft.name, str) or not LAB_NAME.fullmatch(draft.name):
        rule = "lower-case letters, digits and inner hyphens, at most 20 characters (default: the stack's name)"
        draft.add_problem("name", draft.name, rule, "set a short name")


def _names(draft: Draft) -> None:
    for key in draft.nodes:
        if not HOSTNAME.fullmatch(key):
            rule = "a node's key is its host name: lower-case letters, digits and inner hyphens, 1 to 63 characters"
            draft.add_problem(join_path("nodes", key), key, rule, "rename the node, such as docker01")
    for collection in ("networks", "workloads", "checks"):
        for key in getattr(draft, collection):
            if not OBJECT_NAME.fullmatch(key):
                rule = "letters, digits, '_', '.', '-', starting with a letter or digit, at most 63 characters"
                draft.add_problem(join_path(collection, key), key, rule, "choose another name")


def _node_count(draft: Draft) -> None:
    count = len(draft.names("nodes"))
    if not 1 <= count <= MAXIMUM_NODES:
        draft.add_problem("nodes", count, f"1 to {MAXIMUM_NODES} nodes", "add a node, such as docker01: {}")


def _time_to_live(draft: Draft) -> None:
    heartbeat, ttl = draft.engine.heartbeat_s, draft.engine.ttl_s
    if ttl <= heartbeat:
        rule = f"greater than engine.heartbeat_s ({heartbeat})"
        draft.add_problem("engine.ttl_s", ttl, rule, f"use {3 * heartbeat}, three heartbeats")


def _store_node(draft: Draft) -> None:
    if draft.store.node is not None:
        known(draft, "nodes", "store.node", draft.store.node)


def _store_servers(draft: Draft) -> None:
    nodes, servers = len(draft.names("nodes")), draft.store.servers
    if servers > 1 and servers > nodes:
        rule = f"at most a server a node ({nodes} nodes)"
        draft.add_problem("store.servers", servers, rule, "use fewer servers, or add nodes")


def _store_placement(draft: Draft) -> None:
    if draft.store.servers > 1 and draft.store.node is not None:
        rule = "only for a single server"
        draft.add_problem("store.node", draft.store.node, rule, "leave it out: the first nodes have the servers")


def _store_acl(draft: Draft) -> None:
    if draft.store.acl and draft.store.servers == 1:
        rule = (
            "only with 3 or 5 servers: the engines cannot send a token, so each needs an agent of its own that has one"
        )
        draft.add_problem("store.acl", True, rule, "set store.servers to 3, or leave it out")


def _memory(draft: Draft) -> None:
    wanted: Counter[str | None] = Counter()
    for key, workload in draft.workloads.items():
        with if_parsed:
            wanted[node_of(draft, key)] += workload.memory_mib
    with if_parsed:
        # In cluster mode a node without a server has an agent.
        for key in draft.nodes if draft.store.servers > 1 else store_nodes(draft):
            wanted[key] += draft.store.memory_mib
    for key, node in draft.nodes.items():
        with if_parsed:
            _memory_of(draft, key, node, wanted[key])


def _memory_of(draft: Draft, key: str, node: NodeSpec, wanted: int) -> None:
    machine = node.machine or draft.machine
    need = wanted + ENGINE_HEADROOM_MIB
    if wanted and need > machine.memory_mib:
        path = join_path("nodes", key, "machine.memory_mib") if node.machine else "machine.memory_mib"
        rule = f"{key}'s containers ({wanted} MiB) and its engine ({ENGINE_HEADROOM_MIB} MiB) must fit: {need} MiB"
        draft.add_problem(path, machine.memory_mib, rule, f"give {key} {need} MiB or more, or move a workload")


_LAB_RULES: tuple[Callable[[Draft], None], ...] = (
    _lab_name,
    _names,
    _node_count,
    _time_to_live,
    _store_node,
    _store_servers,
    _store_placement,
    _store_acl,
    _memory,
)


# -- each workload


def _place(draft: Draft, key: str, workload: WorkloadSpec) -> None:
    if workload.node is not None:
        known(draft, "nodes", join_path("workloads", key, "node"), workload.node)
    elif workload.shares_network_of is None:
        rule = "a workload has a node, or shares another one's network"
        draft.add_problem(join_path("workloads", key), None, rule, "add the key node")


def _some_overlay(draft: Draft, key: str, workload: WorkloadSpec) -> None:
    if workload.shares_network_of is None and not workload.networks:
        rule = "at least one overlay, or network_mode: container:NAME"
        draft.add_problem(join_path("workloads", key, "networks"), [], rule, "name an overlay of this lab")


def _known_overlays(draft: Draft, key: str, workload: WorkloadSpec) -> None:
    for overlay in workload.networks:
        known(draft, "networks", join_path("workloads", key, "networks", overlay), overlay)


def _container_name(draft: Draft, key: str, workload: WorkloadSpec) -> None:
    # What serf names a node is a host name; the workload's is one too.
    if OBJECT_NAME.fullmatch(key) and not HOSTNAME.fullmatch(key.replace("_", "-").lower()):
        rule = "a name that is a host name when '_' is '-'"
        draft.add_problem(join_path("workloads", key), key, rule, "choose another name")


def _shared_with(draft: Draft, key: str, workload: WorkloadSpec) -> None:
    path, target = join_path("workloads", key, "network_mode"), workload.shares_network_of
    if target is None or not known(draft, "workloads", path, target):
        return
    if target == key or draft.workloads[target].shares_network_of is not None:
        rule = "a workload that has a network stack of its own"
        draft.add_problem(path, target, rule, "name the workload at the end of the chain")
    elif workload.node not in (None, draft.workloads[target].node):
        rule = f"on the node of {target} ({draft.workloads[target].node})"
        draft.add_problem(join_path("workloads", key, "node"), workload.node, rule, "leave it out")


def _nothing_of_its_own(draft: Draft, key: str, workload: WorkloadSpec) -> None:
    if workload.shares_network_of is None:
        return
    for name in ("networks", "ports", "publish_all"):
        with if_parsed:
            if getattr(workload, name):
                value = draft.raw_value("workloads", key, name)
                rule = f"a workload that shares {workload.shares_network_of}'s network has none of its own"
                remedy = f"leave it out, or set it at {workload.shares_network_of}"
                draft.add_problem(join_path("workloads", key, name), value, rule, remedy)


_WORKLOAD_RULES: tuple[Callable[[Draft, str, WorkloadSpec], None], ...] = (
    _place,
    _some_overlay,
    _known_overlays,
    _container_name,
    _shared_with,
    _nothing_of_its_own,
)


# -- each check of one's own


def _check_network(draft: Draft, key: str, check_: CheckSpec) -> None:
    known(draft, "networks", join_path("checks", key, "network"), check_.network)


def _check_source(draft: Draft, key: str, check_: CheckSpec) -> None:
    known(draft, "workloads", join_path("checks", key, "source"), check_.source)


def _check_target(draft: Draft, key: str, check_: CheckSpec) -> None:
    known(draft, "workloads", join_path("checks", key, "target"), check_.target)


def _target_overlay(draft: Draft, key: str, check_: CheckSpec) -> None:
    target = draft.workloads.get(check_.target)
    if target and check_.network not in target.networks:
        rule = f"a workload on overlay {check_.network}"
        draft.add_problem(join_path("checks", key, "target"), check_.target, rule, "name another workload or overlay")


def _target_http_port(draft: Draft, key: str, check_: CheckSpec) -> None:
    target = draft.workloads.get(check_.target)
    if target and check_.kind == "http" and target.http_port is None:
        rule = f"a workload with a web server: one that states http_port; {check_.target} does not"
        draft.add_problem(
            join_path("checks", key, "target"), check_.target, rule, f"state workloads.{check_.target}.http_port"
        )


_CHECK_RULES: tuple[Callable[[Draft, str, CheckSpec], None], ...] = (
    _check_network,
    _check_source,
    _check_target,
    _target_overlay,
    _target_http_port,
)
