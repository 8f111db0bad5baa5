"""``overlab inspect cnm``: a node in the terms of libnetwork's Container Network Model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.tree import Tree

from overlab.inspect.report import Container, Fact, Interface, Network, NodeReport
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.store import StoreView

MODEL = (
    "A [bold]sandbox[/] is a container's network: its own interfaces, routes and name lookup, in a namespace of the"
    " kernel.\nAn [bold]endpoint[/] joins one sandbox to one network: an interface in the sandbox, a cable, a port at"
    " the other end.\nA [bold]network[/] is a group of endpoints that reach each other: here bridges in a namespace,"
    " joined across nodes by VXLAN."
)


class End(Fact):
    """One endpoint of a sandbox."""

    network: str
    id: str
    interface: str
    """Name in the sandbox; empty where the kernel has none."""
    address: str
    mac: str
    mtu: int | None
    cable: str
    """Where its other end is."""
    aliases: tuple[str, ...]
    way_out: bool
    """Whether it is the one on the node's bridge."""


class Box(Fact):
    """One sandbox and every container in it."""

    id: str
    file: str
    containers: tuple[str, ...]
    """The first has made it; the others were started with ``--net container:...``."""
    ends: tuple[End, ...]
    default_route: str | None
    ports: tuple[str, ...]


class Net(Fact):
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
    here: tuple[str, ...]
    """Names of its endpoints on this node."""
    elsewhere: tuple[str, ...]
    """Names of those on other nodes, by the store."""


class Model(Fact):
    node: str
    networks: tuple[Net, ...]
    sandboxes: tuple[Box, ...]
    host: tuple[str, ...]
    """Containers without a sandbox of their own: they live in the node's own network."""
    stopped: tuple[str, ...]
    """Containers that have no sandbox now."""


def models(look: Snapshot) -> dict[str, Model | str]:
    """By node: its model, or why there is none."""
    return {
        key: node.error or "no answer" if node.report is None else model(key, node.report, look.store)
        for key, node in look.nodes.items()
    }


def model(node: str, report: NodeReport, store: StoreView | None) -> Model:
    """What a node told, in the model's terms; of other nodes' endpoints only the store tells."""
    containers = report.containers or ()
    running = [one for one in containers if one.running]
    owners = [one for one in running if one.host_of_network is None and one.mode != "host"]
    return Model(
        node=node,
        networks=tuple(
            _net(report, network, store) for network in sorted(report.networks or (), key=lambda one: one.name)
        ),
        sandboxes=tuple(_box(report, one, running) for one in sorted(owners, key=lambda one: one.name)),
        host=tuple(sorted(one.name for one in running if one.mode == "host")),
        stopped=tuple(sorted(one.name for one in containers if not one.running)),
    )


def _box(report: NodeReport, owner: Container, running: list[Container]) -> Box:
    sandbox = report.sandbox(owner)
    interfaces = list(sandbox.interfaces) if sandbox else []
    ends = []
    for end in owner.endpoints:
        interface = next((one for one in interfaces if one.mac == end.mac), None)
        ends.append(_end(report, end.network, end.id, interface, (end.address, end.mac), end.aliases))
    taken = {end.mac for end in owner.endpoints}
    bridge = next((network for network in report.networks or () if network.driver == "bridge"), None)
    for interface in interfaces:
        if interface.mac not in taken and bridge is not None:
            found = next((key for key, one in bridge.endpoints.items() if one.mac == interface.mac), "")
            ends.append(_end(report, bridge.name, found, interface, ("", interface.mac), ()))
    sharing = sorted(one.name for one in running if one.host_of_network == owner.id)
    return Box(
        id=owner.sandbox,
        file=owner.sandbox_key,
        containers=(owner.name, *sharing),
        ends=tuple(sorted(ends, key=lambda end: (end.way_out, end.interface))),
        default_route=sandbox.default_route if sandbox else None,
        ports=owner.ports,
    )


def _end(
    report: NodeReport,
    network: str,
    endpoint: str,
    interface: Interface | None,
    given: tuple[str, str],
    aliases: tuple[str, ...],
) -> End:
    cable, way_out = _cable(report, interface)
    addresses = " ".join(map(str, interface.addresses)) if interface else ""
    return End(
        network=network,
        id=endpoint,
        interface=interface.name if interface else "",
        address=addresses or given[0],
        mac=given[1],
        mtu=interface.mtu if interface else None,
        cable=cable,
        aliases=aliases,
        way_out=way_out,
    )


def _cable(report: NodeReport, interface: Interface | None) -> tuple[str, bool]:
    """Where an interface's cable ends, and whether that is the node's bridge.

    Indexes are per namespace, so that the same one may be in several: the MAC says which kind of end it is.
    """
    if interface is None:
        return "", False
    network = next(
        (end.network_id for one in report.containers or () for end in one.endpoints if end.mac == interface.mac), None
    )
    if network is None:
        found = [port.name for port in report.bridge or () if port.index == interface.peer]
        return (f"{found[0]} on the node's bridge" if found else "no end on the node's bridge"), True
    namespace = report.namespace(network)
    if namespace is None:
        return "", False
    ports = [port.name for port in namespace.ports if port.index == interface.peer]
    where = namespace.file.rsplit("/", 1)[1]
    return (f"{ports[0]} on the bridge in namespace {where}" if ports else f"no end in namespace {where}"), False


def _net(report: NodeReport, network: Network, store: StoreView | None) -> Net:
    namespace = report.namespace(network.id) if network.driver == "overlay" else None
    own = {end.id for container in report.containers or () for end in container.endpoints}
    ends = (
        {end.id: end.name for one in store.networks if one.id == network.id for end in one.endpoints} if store else {}
    )
    ends |= {key: end.name for key, end in network.endpoints.items()}
    here = {key for key in ends if key in own or key in network.endpoints}
    return Net(
        name=network.name,
        id=network.id,
        driver=network.driver,
        scope=network.scope,
        subnet=network.subnet,
        gateway=network.gateway,
        internal=network.internal,
        namespace=namespace.file if namespace else None,
        vni=next(iter(namespace.vnis), None) if namespace else None,
        here=tuple(sorted(ends[key] for key in here)),
        elsewhere=tuple(sorted(ends[key] for key in ends.keys() - here)),
    )


# -- drawing -------------------------------------------------------------------------------------------


def as_json(found: Mapping[str, Model | str]) -> dict[str, Any]:
    return {
        node: {"error": one} if isinstance(one, str) else one.model_dump(mode="json") for node, one in found.items()
    }


def render(found: Mapping[str, Model | str]) -> RenderableType:
    """The model explained, and each node as a tree."""
    parts: list[RenderableType] = [MODEL]
    for node, one in found.items():
        parts += ["", f"[bold]{node}[/]: [red]{escape(one)}[/]" if isinstance(one, str) else _tree(one)]
    return Group(*parts)


def _tree(model: Model) -> Tree:
    root = Tree(f"[bold]{model.node}[/]")
    networks = root.add("[bold]networks[/]")
    for network in model.networks:
        _add_network(networks, network)
    sandboxes = root.add("[bold]sandboxes[/]")
    for box in model.sandboxes:
        _add_box(sandboxes, box)
    if model.host:
        sandboxes.add(f"the node's own network: {', '.join(model.host)} [dim](--net host: no sandbox, no endpoint)[/]")
    if model.stopped:
        root.add(f"without a sandbox, because stopped: {', '.join(model.stopped)}")
    return root


def _add_network(parent: Tree, network: Net) -> None:
    internal = ", internal (no way out)" if network.internal else ""
    text = f"[cyan]{escape(network.name)}[/] {network.driver}, {network.scope}, {network.subnet}{internal}"
    branch = parent.add(f"{text} [dim]{network.id[:12]}[/]")
    if network.namespace is not None:
        branch.add(f"namespace {network.namespace}: a bridge and a VXLAN device, VNI {network.vni}")
    elif network.driver == "overlay":
        branch.add("[dim]no namespace: no endpoint of it is on this node[/]")
    if network.here:
        branch.add(f"endpoints here: {', '.join(map(escape, network.here))}")
    if network.elsewhere:
        branch.add(f"endpoints on other nodes: {', '.join(map(escape, network.elsewhere))}")


def _add_box(parent: Tree, box: Box) -> None:
    owner, *sharing = map(escape, box.containers)
    shared = (
        f", shared by [green]{', '.join(sharing)}[/] (one sandbox, {len(box.containers)} containers)" if sharing else ""
    )
    branch = parent.add(f"sandbox {box.id[:12]} of [green]{owner}[/]{shared} [dim]{box.file}[/]")
    for end in box.ends:
        branch.add(_sentence(end))
    route = f"default route by {box.default_route}" if box.default_route else "no default route: no way out"
    branch.add(f"{route}; published: {', '.join(box.ports)}" if box.ports else route)


def _sentence(end: End) -> str:
    kind = "gateway endpoint" if end.way_out else "endpoint"
    interface = end.interface or "[red]no interface[/]"
    aliases = f", also called {', '.join(map(escape, end.aliases))}" if end.aliases else ""
    mtu = f" mtu {end.mtu}" if end.mtu else ""
    cable = f", cable to {end.cable}" if end.cable else ""
    return (
        f"{kind} [dim]{end.id[:12]}[/] in [cyan]{escape(end.network)}[/]: {interface} {end.address} {end.mac}{mtu}"
        f"{cable}{aliases}"
    )
