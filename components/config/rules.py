"""Rules between sections: names, addresses, ports, memory, placement. Each checks the entire lab, in linear time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address

from components.config import address_rules, addressing, name_rules, platform_rules, port_rules
from components.config.derived import agent_nodes, choices, hypervisor_of, node_addresses, node_of
from components.config.draft import Draft

MAXIMUM_NODES = 250
ENGINE_HEADROOM_MIB = 320
"""What a node's own system, dockerd and containerd need beside the containers."""

KeyPath = tuple[str | int, ...]


def check(lab: Draft) -> None:
    """Apply every rule; the problems are added to the draft."""
    for rule in _RULES:
        rule(lab)


# -- names


def _known(lab: Draft, collection: str, path: KeyPath, name: str) -> None:
    names = lab.names(collection)
    if names is not None and name not in names:
        rule = f"the name of a {collection.removesuffix('s')} of this lab"
        lab.add_problem(path, rule, f"one of: {choices(names)}")


def _names(lab: Draft) -> None:
    if lab.store and lab.store.node is not None:
        _known(lab, "nodes", ("store", "node"), lab.store.node)
    for key, network in lab.networks.items():
        if network.created_on is not None:
            _known(lab, "nodes", ("networks", key, "created_on"), network.created_on)
    for key, workload in lab.workloads.items():
        if workload.node is not None:
            _known(lab, "nodes", ("workloads", key, "node"), workload.node)
        if workload.shares_network_of is not None:
            _known(lab, "workloads", ("workloads", key, "network_mode"), workload.shares_network_of)
        for name in workload.networks:
            _known(lab, "networks", ("workloads", key, "networks", name), name)
    for key, check_ in lab.checks.items():
        _known(lab, "networks", ("checks", key, "network"), check_.network)
        _known(lab, "workloads", ("checks", key, "source"), check_.source)
        _known(lab, "workloads", ("checks", key, "target"), check_.target)


# -- nodes


def _node_count(lab: Draft) -> None:
    names = lab.names("nodes")
    if names is not None and not 1 <= len(names) <= MAXIMUM_NODES:
        lab.add_problem(("nodes",), f"1 to {MAXIMUM_NODES} nodes", "add a node, such as docker01: {}", len(names))


def _node_addresses(lab: Draft) -> None:
    owners: dict[IPv4Address, str] = {}
    for key, _, address in sorted(node_addresses(lab), key=lambda item: item[0]):
        if address is None:
            _underived(lab, key)
            continue
        if lab.underlay and not addressing.usable(cidr := lab.underlay.cidr, address):
            rule = f"inside the underlay {cidr}, not its network, gateway ({cidr[1]}) or broadcast address"
            lab.add_problem(("nodes", key, "address"), rule, f"choose a free address of {cidr}", address)
        if (owner := owners.setdefault(address, key)) != key:
            rule = f"one address a node; nodes.{owner} has it already"
            lab.add_problem(("nodes", key, "address"), rule, "state another address for one of the two", address)


def _underived(lab: Draft, key: str) -> None:
    if addressing.node_number(key) is None:
        rule = "a node's address follows from the number (1 or more) at the end of its key, and this key has none"
        lab.add_problem(("nodes", key), rule, f"rename it (such as {key}1) or state its address", key)
    elif lab.underlay:
        cidr = lab.underlay.cidr
        rule = f"{cidr} has addresses for node numbers 1 to {max(addressing.last_number(cidr), 0)}"
        lab.add_problem(("nodes", key), rule, "use a larger underlay, a smaller number, or state its address", key)


def _store_servers(lab: Draft) -> None:
    names = lab.names("nodes")
    if lab.store and names is not None and 1 < lab.store.servers > len(names):
        rule = f"at most one server a node ({len(names)} nodes)"
        lab.add_problem(("store", "servers"), rule, "use fewer servers, or add nodes")


def _memory(lab: Draft) -> None:
    needed: Counter[str | None] = Counter()
    for workload in lab.workloads.values():
        needed[node_of(lab, workload)] += workload.memory_mib
    if lab.store:
        for key in agent_nodes(lab):
            needed[key] += lab.store.memory_limit_mib
    for key, node in lab.nodes.items():
        machine, need = node.machine or lab.machine, needed[key] + ENGINE_HEADROOM_MIB
        if machine and needed[key] and need > machine.memory_mib:
            path: KeyPath = ("nodes", key, "machine", "memory_mib") if node.machine else ("machine", "memory_mib")
            parts = f"containers ({needed[key]} MiB) and its engine ({ENGINE_HEADROOM_MIB} MiB)"
            rule = f"{key}'s {parts} must fit: {need} MiB"
            lab.add_problem(path, rule, f"give {key} {need} MiB or more, or move a workload", machine.memory_mib)


# -- networks


def _mtu(lab: Draft) -> None:
    for key, network in lab.networks.items():
        if lab.underlay and network.mtu and network.mtu > lab.underlay.mtu:
            rule = f"at most the underlay's MTU ({lab.underlay.mtu})"
            lab.add_problem(("networks", key, "mtu"), rule, "leave it out, or write a smaller one")


def _addresses_on_networks(lab: Draft) -> None:
    owners = {
        (name, address): f"networks.{name}.aux_addresses.{key}"
        for name, network in lab.networks.items()
        for key, address in network.aux_addresses.items()
    }
    for key, workload in sorted(lab.workloads.items()):
        for name, attachment in workload.networks.items():
            network, address = lab.networks.get(name), attachment.ipv4_address
            if network is None or address is None:
                continue
            path = ("workloads", key, "networks", name, "ipv4_address")
            if (owner := owners.setdefault((name, address), key)) != key:
                rule = f"one owner an address; {owner} has it already"
                lab.add_problem(path, rule, "choose another address of the subnet")
            if network.subnet is None:
                lab.add_problem(path, f"{name} has no stated subnet", f"state networks.{name}.subnet")
            elif not network.has_host(address) or address == network.gateway_address:
                rule = f"a host address of {network.subnet} that is not its gateway"
                lab.add_problem(path, rule, "choose another address of the subnet")


# -- workloads


def _shared_stacks(lab: Draft) -> None:
    for key, workload in lab.workloads.items():
        name = workload.shares_network_of
        target = lab.workloads.get(name or "")
        if target and (name == key or target.shares_network_of is not None):
            rule = "a workload that has its own network stack"
            lab.add_problem(("workloads", key, "network_mode"), rule, "name the workload that owns the network stack")
        elif target and workload.node not in (None, target.node):
            lab.add_problem(("workloads", key, "node"), f"on the node of {name} ({target.node})", "leave it out")


def _check_targets(lab: Draft) -> None:
    for key, check_ in lab.checks.items():
        path, target = ("checks", key, "target"), lab.workloads.get(check_.target)
        if target and check_.network not in target.networks:
            lab.add_problem(path, f"a workload on network {check_.network}", "name another workload or network")
        if target and check_.kind == "http" and target.http_port is None:
            rule = f"a workload with a web server: one that states http_port; {check_.target} does not"
            lab.add_problem(path, rule, f"state workloads.{check_.target}.http_port")


# -- placement


def _hypervisors(lab: Draft) -> None:
    names = lab.names("platform", "hypervisors")
    if names is None or _of_containers(lab):
        return
    remedy = f"one of: {choices(names)}" if names else "name it in platform.hypervisors, with its uri"
    for key, node in lab.nodes.items():
        path = ("nodes", key, "hypervisor")
        if node.hypervisor is None and len(names) > 1:
            lab.add_problem(path, "required where platform.hypervisors are several", remedy)
        elif node.hypervisor is not None and node.hypervisor not in names:
            lab.add_problem(path, "the name of one of platform.hypervisors", remedy)


def _bridge(lab: Draft) -> None:
    names = lab.names("platform", "hypervisors")
    if lab.underlay is None or names is None or _of_containers(lab):
        return
    used = {hypervisor_of(lab, node) for node in lab.nodes.values()}
    several = [name for name in names if name in used]
    if len(several) > 1 and lab.underlay.bridge is None:
        rule = f"required where machines are on several hypervisors ({choices(several)}): it connects them"
        lab.add_problem(("underlay", "bridge"), rule, "name an existing bridge of each of them, such as br0")
    if lab.platform and lab.platform.is_bundled and lab.underlay.bridge is not None:
        rule = "only on a system platform: the bundled one has no bridge but the lab's own"
        remedy = "leave it out, or name a hypervisor in platform.uri or platform.hypervisors"
        lab.add_problem(("underlay", "bridge"), rule, remedy)


def _of_containers(lab: Draft) -> bool:
    return lab.machine is not None and lab.machine.kind == "container"


def _containers(lab: Draft) -> None:
    """Nodes as containers have an engine in their image, and no hypervisor."""
    if not _of_containers(lab):
        if lab.machine is not None and lab.platform is not None and lab.platform.docker_host is not None:
            rule = "only with machine.kind container: machines run on a hypervisor"
            lab.add_problem(("platform", "docker_host"), rule, "leave it out, or set machine.kind to container")
        return
    remedy = "leave it out, or set machine.kind to vm"
    stated: list[tuple[tuple[str, ...], object]] = []
    if lab.platform is not None:
        stated += [
            (("platform", name), getattr(lab.platform, name) or None) for name in ("uri", "hypervisors", "image")
        ]
    if lab.underlay is not None:
        stated.append((("underlay", "bridge"), lab.underlay.bridge))
    stated += [(("nodes", key, "hypervisor"), node.hypervisor) for key, node in lab.nodes.items()]
    for path, value in stated:
        if value is not None:
            lab.add_problem(path, "not with machine.kind container, whose nodes have no hypervisor", remedy)
    if lab.platform is not None and lab.platform.kind == "system" and lab.platform.docker_host is None:
        rule = "with machine.kind container only together with platform.docker_host, the engine that runs the nodes"
        lab.add_problem(("platform", "kind"), rule, "name it, such as unix:///var/run/docker.sock, or leave kind out")
    if lab.engine is not None and lab.engine.install != "preinstalled":
        rule = "preinstalled with machine.kind container: the engine is part of the nodes' image"
        lab.add_problem(("engine", "install"), rule, remedy)


_RULES: tuple[Callable[[Draft], None], ...] = (
    _names,
    _node_count,
    _node_addresses,
    _store_servers,
    _memory,
    _mtu,
    _addresses_on_networks,
    *address_rules.RULES,
    *name_rules.RULES,
    *port_rules.RULES,
    _shared_stacks,
    _check_targets,
    _containers,
    _hypervisors,
    _bridge,
    *platform_rules.RULES,
)
