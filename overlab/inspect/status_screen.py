"""``overlab status`` drawn as one screen."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from overlab.core import exit_codes
from overlab.inspect import status as states
from overlab.inspect.finding import Finding
from overlab.inspect.status import LabStatus, NetworkStatus, NodeStatus, StoreStatus

_NONE = "[dim]-[/]"
_UNKNOWN = "[yellow]?[/]"
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
    return Text.assemble((f"lab {status.lab}: ", "bold"), (text, style))


def _table(*columns: str, rows: Iterable[Iterable[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _nodes(nodes: tuple[NodeStatus, ...]) -> Table:
    columns = "node,address,machine,engine,cluster store,advertises,registered,gossip,watchdog,containers"
    return _table(*columns.split(","), rows=map(_node, nodes))


def _node(node: NodeStatus) -> list[str]:
    row = [node.name, node.address, _colored(node.machine, node.machine == "running")]
    if node.error is not None:
        return [*row, f"[red]unreachable: {escape(node.error)}[/]"]
    members = " ".join(_colored(peer if joined else f"not {peer}", joined) for peer, joined in node.members.items())
    return [
        *row,
        escape(node.engine) if node.engine else "[red]no answer[/]",
        escape(node.cluster_store or "") or _NONE,
        escape(node.advertise or "") or _NONE,
        _UNKNOWN if node.registered is None else _colored("yes" if node.registered else "no", node.registered),
        members or _UNKNOWN,
        _UNKNOWN if node.watchdog is None else _colored(node.watchdog, node.watchdog == "healthy"),
        _UNKNOWN if node.containers is None else str(node.containers),
    ]


def _colored(text: str, good: bool) -> str:
    return f"[green]{text}[/]" if good else f"[red]{escape(text)}[/]"


def _store(store: StoreStatus) -> Text:
    mode = "single-server mode, one server" if store.servers == 1 else f"{store.servers} servers"
    line = Text.assemble(("store ", "bold"), f"{store.url} ({mode}): ")
    if store.version is None:
        return line.append("no answer", "red")
    line.append(f"Consul {store.version}, ")
    line.append(f"leader {store.leader}" if store.leader else "no leader", "green" if store.leader else "red")
    return line.append(f", peers {', '.join(store.peers) or 'none'}; docker/nodes: {', '.join(store.nodes) or 'none'}")


def _networks(status: LabStatus) -> Table:
    nodes = [node.name for node in status.nodes]
    missing = _UNKNOWN if status.store.leader is None else "[red]not in the store[/]"
    rows = (
        [
            escape(network.name),
            network.id[:12] if network.id else missing,
            str(network.vni) if network.vni else _NONE,
            network.subnet,
            "internal" if network.internal else "",
            *(_on_node(network, node) for node in nodes),
        ]
        for network in status.networks
    )
    return _table("network", "id", "VNI", "subnet", "", *(f"on {node}" for node in nodes), rows=rows)


def _on_node(network: NetworkStatus, node: str) -> str:
    """Whether the engine lists it, and the VNI of the kernel's VXLAN device where there is one."""
    visible, vni = network.visible[node], network.vnis[node]
    if visible is None:
        return _UNKNOWN
    if not visible:
        return "[red]not visible[/]"
    if vni is None:
        return "visible"
    return f"visible, VNI {vni}" if vni == network.vni else f"[red]visible, VNI {vni}[/]"


def _endpoints(status: LabStatus) -> Table:
    nodes = [node.name for node in status.nodes]
    rows = (
        [
            escape(endpoint.name),
            escape(network.name),
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


def _kernel(state: str, node: str) -> str:
    return {
        states.LOCAL: "[green]local[/]",
        states.RESOLVED: f"[green]-> {node}[/]",
        states.UNRESOLVED: "[cyan]unresolved[/]",
        states.WRONG: "[bold red]WRONG[/]",
        states.ABSENT: _NONE,
        states.UNKNOWN: _UNKNOWN,
    }[state]


def _findings(findings: tuple[Finding, ...]) -> Table:
    return _table("", "what", "", rows=map(_finding, findings))


def _finding(finding: Finding) -> list[str]:
    style = "cyan" if finding.severity == "note" else "red"
    rows = {"evidence": finding.evidence, "impact": finding.impact, "remedy": finding.remedy, "more": finding.link}
    lines = [escape(finding.message), *(f"[dim]{name}[/] {escape(text)}" for name, text in rows.items() if text)]
    subject = f"{escape(finding.subject)}\n[dim]{finding.id}[/]"
    return [f"[{style}]{finding.severity}[/]", subject, "\n".join(lines)]
