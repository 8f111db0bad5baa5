"""Rules across fields. Each looks at what could be read of a draft and notes every problem it sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from components import addressing
from components.draft import Draft
from components.spec import HOSTNAME, OBJECT_NAME, MachineSpec, NodeSpec

LAB_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
MAXIMUM_NODES = 250
ENGINE_HEADROOM_MIB = 320
"""What the node's own system, dockerd and containerd need beside the containers."""


def check(draft: Draft) -> None:
    """Apply every rule; the problems are added to the draft."""
    for rule in (_names, _nodes, _addresses, _networks, _store, _overlays, _workloads, _memory, _checks):
        rule(draft)


def _names(draft: Draft) -> None:
    if not isinstance(draft.name, str) or not LAB_NAME.fullmatch(draft.name):
        rule = "the lab's name: lower-case letters, digits, inner hyphens, at most 20 characters (default: the stack's name)"
        draft.refuse("name", draft.name, rule, "set a short name")
    for key in draft.keys["nodes"]:
        if not HOSTNAME.fullmatch(key):
            rule = "a node's key is its host name: lower-case letters, digits and inner hyphens, 1 to 63 characters"
            draft.refuse(f"nodes.{key}", key, rule, "rename the node, such as docker01")
    for collection in ("overlays", "workloads", "checks"):
        for key in draft.keys[collection]:
            if not OBJECT_NAME.fullmatch(key):
                rule = "letters, digits, '_', '.', '-', starting with a letter or digit, at most 63 characters"
                draft.refuse(f"{collection}.{key}", key, rule, "choose another name")


def _nodes(draft: Draft) -> None:
    count = len(draft.keys["nodes"])
    if not 1 <= count <= MAXIMUM_NODES:
        draft.refuse("nodes", count, f"1 to {MAXIMUM_NODES} nodes", "add a node, such as docker01: {}")


def node_addresses(draft: Draft) -> Iterator[tuple[str, NodeSpec, IPv4Address | None]]:
    """Every readable node with its address: stated, or derived, or None where neither works."""
    for key, node in draft.nodes.items():
        if node.address is not None:
            yield key, node, node.address
        else:
            number = addressing.node_number(key)
            network = draft.network.cidr if draft.network else None
            yield key, node, addressing.node_address(network, number) if network and number else None


def _addresses(draft: Draft) -> None:
    if draft.network is None:
        return
    network = draft.network.cidr
    taken: dict[IPv4Address, str] = {}
    for key, node, address in sorted(node_addresses(draft), key=lambda item: item[0]):
        path = f"nodes.{key}.address"
        if address is None:
            _refuse_underived(draft, key, network)
        elif not addressing.usable(network, address):
            rule = f"inside the lab network {network}, and not its network, gateway ({network[1]}) or broadcast address"
            draft.refuse(path, str(address), rule, f"choose a free address of {network}")
        elif address in taken:
            rule = f"one address a node; nodes.{taken[address]} has it already"
            draft.refuse(path, str(address), rule, "state another address for one of the two")
        taken.setdefault(address, key) if address is not None else None


def _refuse_underived(draft: Draft, key: str, network: IPv4Network) -> None:
    number = addressing.node_number(key)
    if number is None:
        rule = "a node's address follows from the number (1 or more) that ends its key, and this key has none"
        draft.refuse(f"nodes.{key}", key, rule, f"rename it (such as {key}1) or state its address")
    else:
        last = addressing.last_number(network)
        rule = f"{network} has addresses for node numbers 1 to {max(last, 0)}"
        draft.refuse(f"nodes.{key}", key, rule, "use a larger lab network, a smaller number, or state its address")


def _networks(draft: Draft) -> None:
    ranges: list[tuple[str, IPv4Network]] = []
    if draft.network:
        ranges.append(("network.cidr", draft.network.cidr))
    if draft.engine:
        ranges += [(f"engine.local_pools.{i}.base", pool.base) for i, pool in enumerate(draft.engine.local_pools)]
        for index, pool in enumerate(draft.engine.local_pools):
            if pool.size < pool.base.prefixlen:
                rule = f"a prefix length of {pool.base.prefixlen} or more, to cut {pool.base} into subnets"
                draft.refuse(f"engine.local_pools.{index}.size", pool.size, rule, "write a larger prefix length")
    ranges += [(f"overlays.{key}.subnet", overlay.subnet) for key, overlay in sorted(draft.overlays.items())]
    for (first, one), (second, other) in combinations(ranges, 2):
        if one.overlaps(other):
            rule = f"networks must not overlap; lab.{first} is {one}"
            draft.refuse(second, str(other), rule, "choose a range that no other network of the lab uses")
    for key, overlay in draft.overlays.items():
        if overlay.subnet.prefixlen > 29:
            draft.refuse(f"overlays.{key}.subnet", str(overlay.subnet), "/29 or larger", "use a shorter prefix")
    if draft.network and draft.network.cidr.prefixlen > 28:
        draft.refuse("network.cidr", str(draft.network.cidr), "/28 or larger", "use a shorter prefix")


def _known(draft: Draft, collection: str, path: str, name: str) -> bool:
    known = draft.keys[collection]
    if name in known:
        return True
    kind = collection.removesuffix("s")
    draft.refuse(path, name, f"the name of a {kind} of this lab", f"one of: {', '.join(sorted(known)) or '(none)'}")
    return False


def _store(draft: Draft) -> None:
    if draft.store and draft.store.node is not None:
        _known(draft, "nodes", "store.node", draft.store.node)
    if draft.engine and draft.engine.ttl_s <= draft.engine.heartbeat_s:
        rule = f"greater than engine.heartbeat_s ({draft.engine.heartbeat_s})"
        draft.refuse("engine.ttl_s", draft.engine.ttl_s, rule, f"use {3 * draft.engine.heartbeat_s}, three heartbeats")


def _overlays(draft: Draft) -> None:
    for key, overlay in draft.overlays.items():
        _known(draft, "nodes", f"overlays.{key}.made_from", overlay.made_from)
        if overlay.mtu and draft.network and overlay.mtu > draft.network.mtu:
            rule = f"at most the lab network's MTU ({draft.network.mtu})"
            draft.refuse(f"overlays.{key}.mtu", overlay.mtu, rule, "leave it out, or write a smaller one")


def _workloads(draft: Draft) -> None:
    for key, workload in draft.workloads.items():
        _known(draft, "nodes", f"workloads.{key}.node", workload.node)
        for index, overlay in enumerate(workload.overlays):
            _known(draft, "overlays", f"workloads.{key}.overlays.{index}", overlay)
        if len(set(workload.overlays)) < len(workload.overlays):
            draft.refuse(f"workloads.{key}.overlays", list(workload.overlays), "each overlay once", "remove the repetition")


def store_node(draft: Draft) -> str | None:
    """The node that runs the single server."""
    if draft.store and draft.store.node:
        return draft.store.node
    return next(iter(draft.nodes), None)


def _memory(draft: Draft) -> None:
    if not (draft.store and draft.machine):
        return
    for key, node in draft.nodes.items():
        machine: MachineSpec = node.machine or draft.machine
        wanted = sum(w.memory_mib for w in draft.workloads.values() if w.node == key)
        wanted += draft.store.memory_mib if key == store_node(draft) else 0
        if wanted and wanted + ENGINE_HEADROOM_MIB > machine.memory_mib:
            path = f"nodes.{key}.machine.memory_mib" if node.machine else "machine.memory_mib"
            need = wanted + ENGINE_HEADROOM_MIB
            rule = f"{key}'s containers ({wanted} MiB) and its engine ({ENGINE_HEADROOM_MIB} MiB) must fit: {need} MiB"
            draft.refuse(path, machine.memory_mib, rule, f"give {key} {need} MiB or more, or move a workload")


def _checks(draft: Draft) -> None:
    for key, check_ in draft.checks.items():
        overlay_known = _known(draft, "overlays", f"checks.{key}.overlay", check_.overlay)
        for role in ("source", "target"):
            name = getattr(check_, role)
            if not _known(draft, "workloads", f"checks.{key}.{role}", name) or not overlay_known:
                continue
            workload = draft.workloads.get(name)
            if workload and role == "target" and check_.overlay not in workload.overlays:
                rule = f"a workload on overlay {check_.overlay}"
                draft.refuse(f"checks.{key}.{role}", name, rule, "name another workload or overlay")
