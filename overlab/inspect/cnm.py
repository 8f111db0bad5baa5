"""``overlab inspect cnm``: a node in the terms of libnetwork's Container Network Model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from overlab.core.terminal import styled
from overlab.inspect.node_report import Container, ContainerEndpoint, EngineNetwork, Fact, Interface, NodeReport
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.store_view import StoreView

MODEL = (
    "A [bold]sandbox[/] is a container's network stack: its interfaces, routes and DNS, in a network namespace of the"
    " kernel.\nAn [bold]endpoint[/] joins a sandbox to a network: a veth pair, one interface in the sandbox, the other"
    " on the network's bridge.\nA [bold]network[/] is a group of endpoints that reach each other: here a bridge in a"
    " namespace on each node, joined by VXLAN."
)


class EndpointModel(Fact):
    """One endpoint of a sandbox."""

    network: str
    id: str
    interface: str
    """Name in the sandbox; empty where the kernel has none."""
    address: str
    mac: str
    mtu: int | None
    peer: str
    """Where the other interface of its veth pair is."""
    aliases: tuple[str, ...]
    gateway: bool
    """Whether it is the gateway endpoint, on docker_gwbridge."""


class SandboxModel(Fact):
    """One sandbox and every container in it."""

    id: str
    file: str
    containers: tuple[str, ...]
    """Its owner, then those that were started with ``--net container:...``."""
    endpoints: tuple[EndpointModel, ...]
    default_route: str | None
    ports: tuple[str, ...]


class NetworkModel(Fact):
    """One network as the node sees it."""

    name: str
    id: str
    driver: str
    scope: str
    subnet: str
    gateway: str
    internal: bool
    namespace: str | None
    vni: int | None
    local: tuple[str, ...]
    """Names of its endpoints on this node."""
    remote: tuple[str, ...]
    """Names of those on other nodes, by the store."""


class NodeModel(Fact):
    node: str
    networks: tuple[NetworkModel, ...]
    sandboxes: tuple[SandboxModel, ...]
    host: tuple[str, ...]
    """Containers with ``--net host``: no sandbox."""
    stopped: tuple[str, ...]
    """Containers that have no sandbox now."""


def models(snapshot: Snapshot) -> dict[str, NodeModel | str]:
    """By node: its model, or why there is none."""
    return {
        key: node.error or "no answer" if node.report is None else model(key, node.report, snapshot.store)
        for key, node in snapshot.nodes.items()
    }


def model(node: str, report: NodeReport, store: StoreView | None) -> NodeModel:
    """A node's report in the model's terms; the endpoints of other nodes are the store's."""
    containers = sorted(report.containers or (), key=lambda container: container.name)
    running = [container for container in containers if container.running]
    owners = [one for one in running if one.shares_network_of is None and one.network_mode != "host"]
    networks = sorted(report.networks or (), key=lambda network: network.name)
    return NodeModel(
        node=node,
        networks=tuple(_network(report, network, store) for network in networks),
        sandboxes=tuple(_sandbox(report, owner, running) for owner in owners),
        host=tuple(container.name for container in running if container.network_mode == "host"),
        stopped=tuple(container.name for container in containers if not container.running),
    )


def _sandbox(report: NodeReport, owner: Container, running: list[Container]) -> SandboxModel:
    namespace = report.sandbox(owner)
    endpoints = []
    for endpoint in owner.endpoints:
        endpoints.append(_endpoint(report, endpoint, namespace.by_mac(endpoint.mac) if namespace else None))
    bridge = next((network for network in report.networks or () if network.driver == "bridge"), None)
    attached = {endpoint.mac for endpoint in owner.endpoints}
    for interface in namespace.interfaces if namespace and bridge else ():
        if bridge is not None and interface.mac not in attached:
            endpoints.append(_endpoint(report, _gateway_endpoint(bridge, interface), interface))
    sharing = (container.name for container in running if container.shares_network_of == owner.id)
    return SandboxModel(
        id=owner.sandbox,
        file=owner.sandbox_key,
        containers=(owner.name, *sharing),
        endpoints=tuple(sorted(endpoints, key=lambda endpoint: (endpoint.gateway, endpoint.interface))),
        default_route=namespace.default_route if namespace else None,
        ports=owner.ports,
    )


def _gateway_endpoint(bridge: EngineNetwork, interface: Interface) -> ContainerEndpoint:
    """The engine does not list it among the container's."""
    id_ = next((key for key, endpoint in bridge.endpoints.items() if endpoint.mac == interface.mac), "")
    return ContainerEndpoint(
        network=bridge.name, network_id=bridge.id, id=id_, address="", mac=interface.mac, aliases=()
    )


def _endpoint(report: NodeReport, endpoint: ContainerEndpoint, interface: Interface | None) -> EndpointModel:
    peer, gateway = _peer(report, interface) if interface else ("", False)
    return EndpointModel(
        network=endpoint.network,
        id=endpoint.id,
        interface=interface.name if interface else "",
        address=" ".join(map(str, interface.addresses)) if interface and interface.addresses else endpoint.address,
        mac=endpoint.mac,
        mtu=interface.mtu if interface else None,
        peer=peer,
        aliases=endpoint.aliases,
        gateway=gateway,
    )


def _peer(report: NodeReport, interface: Interface) -> tuple[str, bool]:
    """Where the other veth of an interface is, and whether that is docker_gwbridge.

    Indexes are per namespace, so that several may have the same one: the MAC decides in which to look.
    """
    network = report.attached_to_network(interface.mac)
    if network is None:
        ports, place = report.gateway_ports or (), "docker_gwbridge"
    else:
        namespace = report.namespace(network)
        if namespace is None:
            return "", False
        ports, place = namespace.ports, f"the bridge in namespace {namespace.file.rsplit('/', 1)[-1]}"
    veth = next((port.name for port in ports if port.index == interface.peer), "no veth")
    return f"{veth} on {place}", network is None


def _network(report: NodeReport, network: EngineNetwork, store: StoreView | None) -> NetworkModel:
    namespace = report.namespace(network.id) if network.driver == "overlay" else None
    stored = store.networks if store else ()
    names = {endpoint.id: endpoint.name for one in stored if one.id == network.id for endpoint in one.endpoints}
    names |= {id_: endpoint.name for id_, endpoint in network.endpoints.items()}
    own = {endpoint.id for container in report.containers or () for endpoint in container.endpoints}
    local = names.keys() & (own | network.endpoints.keys())
    return NetworkModel(
        **network.model_dump(exclude={"endpoints"}),
        namespace=namespace.file if namespace else None,
        vni=next(iter(namespace.vnis), None) if namespace else None,
        local=tuple(sorted(names[id_] for id_ in local)),
        remote=tuple(sorted(names[id_] for id_ in names.keys() - local)),
    )


# -- output --------------------------------------------------------------------------------------------


def as_json(found: Mapping[str, NodeModel | str]) -> dict[str, Any]:
    return {
        node: {"error": one} if isinstance(one, str) else one.model_dump(mode="json") for node, one in found.items()
    }


def render(found: Mapping[str, NodeModel | str]) -> RenderableType:
    """The model explained, and each node as a tree."""
    parts: list[RenderableType] = [MODEL]
    for node, one in found.items():
        parts += ["", styled("[bold]{}[/]: [red]{}[/]", node, one) if isinstance(one, str) else _tree(one)]
    return Group(*parts)


def _tree(model: NodeModel) -> Tree:
    root = Tree(Text(model.node, "bold"))
    networks = root.add("[bold]networks[/]")
    for network in model.networks:
        _add_network(networks, network)
    sandboxes = root.add("[bold]sandboxes[/]")
    for sandbox in model.sandboxes:
        _add_sandbox(sandboxes, sandbox)
    if model.host:
        host = "the node's own network: {} [dim](--net host: no sandbox, no endpoint)[/]"
        sandboxes.add(styled(host, ", ".join(model.host)))
    if model.stopped:
        root.add(Text(f"without a sandbox, because stopped: {', '.join(model.stopped)}"))
    return root


def _add_network(parent: Tree, network: NetworkModel) -> None:
    internal = ", internal (no egress)" if network.internal else ""
    facts = f"{network.driver}, {network.scope}, {network.subnet}{internal}"
    branch = parent.add(styled("[cyan]{}[/] {} [dim]{}[/]", network.name, facts, network.id[:12]))
    if network.namespace is not None:
        branch.add(Text(f"namespace {network.namespace}: a bridge and a VXLAN device, VNI {network.vni}"))
    elif network.driver == "overlay":
        branch.add("[dim]no namespace: no endpoint of it is on this node[/]")
    for place, names in (("this node", network.local), ("other nodes", network.remote)):
        if names:
            branch.add(Text(f"endpoints on {place}: {', '.join(names)}"))


def _add_sandbox(parent: Tree, sandbox: SandboxModel) -> None:
    owner, *sharing = sandbox.containers
    count = f"one sandbox, {len(sandbox.containers)} containers"
    shared = styled(f", shared by [green]{{}}[/] ({count})", ", ".join(sharing)) if sharing else ""
    line = "sandbox {} of [green]{}[/]{} [dim]{}[/]"
    branch = parent.add(styled(line, sandbox.id[:12], owner, shared, sandbox.file))
    for endpoint in sandbox.endpoints:
        kind = "gateway endpoint" if endpoint.gateway else "endpoint"
        interface = endpoint.interface or Text("no interface", "red")
        mtu = f" mtu {endpoint.mtu}" if endpoint.mtu else ""
        peer = f", veth pair to {endpoint.peer}" if endpoint.peer else ""
        aliases = f", aliases {', '.join(endpoint.aliases)}" if endpoint.aliases else ""
        facts = f"{endpoint.address} {endpoint.mac}{mtu}{peer}{aliases}"
        line = "{} [dim]{}[/] in [cyan]{}[/]: {} {}"
        branch.add(styled(line, kind, endpoint.id[:12], endpoint.network, interface, facts))
    route = f"default route by {sandbox.default_route}" if sandbox.default_route else "no default route: no egress"
    branch.add(Text(f"{route}; published: {', '.join(sandbox.ports)}" if sandbox.ports else route))
