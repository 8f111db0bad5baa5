"""``overlab status`` drawn as one screen."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from overlab.core import exit_codes
from overlab.core.terminal import styled
from overlab.inspect import status as states
from overlab.inspect.finding import Finding
from overlab.inspect.status import LabStatus, NetworkStatus, NodeStatus, StoreStatus

_NONE = Text("-", "dim")
_UNKNOWN = Text("?", "yellow")
_LEGEND = (
    "[dim]local: interface, address and veth pair as in the store; ->: neighbor and FDB entry lead there; unresolved:"
    " the first packet makes the engine ask; -: no endpoint of the network here; ?: unknown[/]"
)


def render(status: LabStatus) -> RenderableType:
    """Title, machines and engines, the store, networks, endpoints (store against kernel), and the findings."""
    parts: list[RenderableType] = [_title(status), "", _nodes(status.nodes), "", _store(status.store)]
    if status.networks:
        parts += ["", _networks(status)]
    if any(network.endpoints for network in status.networks):
        parts += ["", _endpoints(status), _LEGEND]
    if status.findings:
        parts += ["", _findings(status.findings)]
    return Group(*parts)


def _title(status: LabStatus) -> Text:
    wrong = sum(finding.severity != "note" for finding in status.findings)
    if status.exit_code == exit_codes.COULD_NOT_RUN:
        text, style = "no node answers", "bold red"
    elif wrong:
        text, style = f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong, see below", "bold red"
    else:
        text, style = "every view agrees", "bold green"
    kind = "cluster" if status.attached else "lab"
    return Text.assemble((f"{kind} {status.lab}: ", "bold"), (text, style))


def _table(*columns: str, rows: Iterable[Iterable[str | Text]]) -> Table:
    """A text in it is printed as it is, never read as markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def _nodes(nodes: tuple[NodeStatus, ...]) -> Table:
    columns = "node,address,machine,engine,cluster store,advertises,registered,gossip,watchdog,containers"
    return _table(*columns.split(","), rows=map(_node, nodes))


def _node(node: NodeStatus) -> list[str | Text]:
    machine = _colored(node.machine, node.machine == "running") if node.machine else _NONE
    row: list[str | Text] = [node.name, node.address, machine]
    if node.error is not None:
        return [*row, Text(f"unreachable: {node.error}", "red")]
    members = Text(" ").join(
        _colored(peer if joined else f"not {peer}", joined) for peer, joined in node.members.items()
    )
    return [
        *row,
        node.engine or Text("no answer", "red"),
        node.cluster_store or _NONE,
        node.advertise or _NONE,
        _UNKNOWN if node.registered is None else _colored("yes" if node.registered else "no", node.registered),
        members or _UNKNOWN,
        _UNKNOWN if node.watchdog is None else _colored(node.watchdog, node.watchdog == "healthy"),
        _UNKNOWN if node.containers is None else str(node.containers),
    ]


def _colored(text: str, good: bool) -> Text:
    return Text(text, "green" if good else "red")


def _store(store: StoreStatus) -> Text:
    mode = "single-server mode, one server" if store.servers == 1 else f"{store.servers} servers"
    if not store.url:
        return Text.assemble(("store ", "bold"), "none: a swarm's networks are shown as its engines declare them")
    line = Text.assemble(("store ", "bold"), f"{store.url} ({mode}): ")
    if store.version is None:
        return line.append("no answer", "red")
    line.append(f"{store.product} {store.version}, ")
    line.append(f"leader {store.leader}" if store.leader else "no leader", "green" if store.leader else "red")
    return line.append(f", peers {', '.join(store.peers) or 'none'}; docker/nodes: {', '.join(store.nodes) or 'none'}")


def _networks(status: LabStatus) -> Table:
    nodes = [node.name for node in status.nodes]
    missing = _UNKNOWN if status.store.leader is None else Text("not in the store", "red")
    rows = (
        [
            network.name,
            network.id[:12] if network.id else missing,
            str(network.vni) if network.vni else _NONE,
            network.subnet,
            "internal" if network.internal else "",
            *(_on_node(network, node) for node in nodes),
        ]
        for network in status.networks
    )
    return _table("network", "id", "VNI", "subnet", "", *(f"on {node}" for node in nodes), rows=rows)


def _on_node(network: NetworkStatus, node: str) -> str | Text:
    """Whether the engine lists it, and the VNI of the kernel's VXLAN device where there is one."""
    visible, vni = network.visible[node], network.vnis[node]
    if visible is None:
        return _UNKNOWN
    if not visible:
        return Text("not visible", "red")
    if vni is None:
        return "visible"
    return Text(f"visible, VNI {vni}", "" if vni == network.vni else "red")


def _endpoints(status: LabStatus) -> Table:
    nodes = [node.name for node in status.nodes]
    rows = (
        [
            endpoint.name,
            network.name,
            endpoint.address or _NONE,
            endpoint.mac or _NONE,
            endpoint.node,
            *(_kernel(endpoint.kernel[node], endpoint.node) for node in nodes),
        ]
        for network in status.networks
        for endpoint in network.endpoints
    )
    kernels = (f"kernel of {node}" for node in nodes)
    return _table("store: endpoint", "network", "address", "MAC", "on", *kernels, rows=rows)


def _kernel(state: str, node: str) -> Text:
    return {
        states.LOCAL: Text("local", "green"),
        states.RESOLVED: Text(f"-> {node}", "green"),
        states.UNRESOLVED: Text("unresolved", "cyan"),
        states.WRONG: Text("WRONG", "bold red"),
        states.ABSENT: _NONE,
        states.UNKNOWN: _UNKNOWN,
    }[state]


def _findings(findings: tuple[Finding, ...]) -> Table:
    return _table("", "what", "", rows=map(_finding, findings))


def _finding(finding: Finding) -> list[str | Text]:
    style = "cyan" if finding.severity == "note" else "red"
    rows = {"evidence": finding.evidence, "impact": finding.impact, "remedy": finding.remedy, "more": finding.link}
    lines = [Text(finding.message), *(styled("[dim]{}[/] {}", name, text) for name, text in rows.items() if text)]
    subject = styled("{}\n[dim]{}[/]", finding.subject, finding.id)
    return [Text(finding.severity, style), subject, Text("\n").join(lines)]
