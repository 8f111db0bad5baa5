"""``overlab status``: a summary drawn as one screen."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from overlab.inspect import summary as words
from overlab.inspect.finding import Finding
from overlab.inspect.summary import EndpointLine, NodeLine, OverlayLine, StoreLine, Summary

_NOTHING = "[dim]-[/]"
_UNKNOWN = "[yellow]?[/]"
_SEVERITY = {"down": "red", "wrong": "red", "note": "cyan"}


def render(summary: Summary) -> RenderableType:
    """Title, machines and engines, the store, overlays, endpoints (store against kernel), and what is wrong."""
    parts: list[RenderableType] = [_title(summary), "", _nodes(summary.nodes), "", _store(summary.store)]
    if summary.overlays:
        parts += ["", _overlays(summary)]
    if any(overlay.endpoints for overlay in summary.overlays):
        parts += ["", _endpoints(summary), _legend()]
    if summary.findings:
        parts += ["", _findings(summary.findings)]
    return Group(*parts)


def _title(summary: Summary) -> Text:
    silent = [node.name for node in summary.nodes if node.error is not None]
    bad = sum(finding.severity != "note" for finding in summary.findings)
    if len(silent) == len(summary.nodes):
        said, style = "nothing could be looked at", "bold red"
    elif bad:
        said, style = f"{bad} {'thing is' if bad == 1 else 'things are'} wrong, see below", "bold red"
    else:
        said, style = "every view agrees", "bold green"
    return Text.assemble((f"lab {summary.lab}: ", "bold"), (said, style))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _nodes(nodes: tuple[NodeLine, ...]) -> Table:
    table = _table(
        "node", "address", "machine", "engine", "its store", "advertises", "listed", "gossip", "guard", "runs"
    )
    for node in nodes:
        machine = node.machine if node.machine == "running" else f"[red]{escape(node.machine)}[/]"
        if node.error is not None:
            table.add_row(node.name, node.address, machine, f"[red]silent: {escape(node.error)}[/]")
            continue
        members = " ".join(
            f"[green]{peer}[/]" if known else f"[red]not {peer}[/]" for peer, known in node.members.items()
        )
        table.add_row(
            node.name,
            node.address,
            machine,
            escape(node.engine) if node.engine else "[red]silent[/]",
            escape(node.store or "") or _NOTHING,
            escape(node.advertise or "") or _NOTHING,
            _yes(node.listed),
            members or _UNKNOWN,
            _guard(node.guard),
            str(node.running) if node.running is not None else _UNKNOWN,
        )
    return table


def _yes(value: bool | None) -> str:
    return _UNKNOWN if value is None else "[green]yes[/]" if value else "[red]no[/]"


def _guard(guard: str | None) -> str:
    return _UNKNOWN if guard is None else f"[green]{guard}[/]" if guard == "sound" else f"[red]{guard}[/]"


def _store(store: StoreLine) -> Text:
    mode = "single-server mode, one server" if store.servers == 1 else f"{store.servers} servers"
    line = Text.assemble(("store ", "bold"), f"{store.url} ({mode}): ")
    if store.version is None:
        return line.append("no answer", "red")
    line.append(f"Consul {store.version}, ")
    line.append(f"leader {store.leader}" if store.leader else "no leader", "green" if store.leader else "red")
    line.append(f", peers {', '.join(store.peers) or 'none'}; docker/nodes: {', '.join(store.nodes) or 'none'}")
    return line


def _overlays(summary: Summary) -> Table:
    names = [node.name for node in summary.nodes]
    table = _table("overlay", "id", "VNI", "subnet", "", *(f"on {name}" for name in names))
    for overlay in summary.overlays:
        table.add_row(
            escape(overlay.name),
            overlay.id[:12] if overlay.id else _UNKNOWN if summary.store.leader is None else "[red]not in the store[/]",
            str(overlay.vni) if overlay.vni else _NOTHING,
            overlay.subnet,
            "internal" if overlay.internal else "",
            *(_on_node(overlay, name) for name in names),
        )
    return table


def _on_node(overlay: OverlayLine, node: str) -> str:
    """Seen by the engine, and the VNI of the kernel's device where there is one."""
    seen, vni = overlay.seen[node], overlay.vnis[node]
    if seen is None:
        return _UNKNOWN
    if not seen:
        return "[red]not seen[/]"
    if vni is None:
        return "seen"
    return f"seen, VNI {vni}" if vni == overlay.vni else f"[red]seen, VNI {vni}[/]"


def _endpoints(summary: Summary) -> Table:
    names = [node.name for node in summary.nodes]
    table = _table("store: endpoint", "overlay", "address", "MAC", "on", *(f"kernel of {name}" for name in names))
    for overlay in summary.overlays:
        for end in overlay.endpoints:
            table.add_row(
                escape(end.name),
                escape(overlay.name),
                end.address or _NOTHING,
                end.mac or _NOTHING,
                end.node,
                *(_kernel(end, name) for name in names),
            )
    return table


def _kernel(end: EndpointLine, node: str) -> str:
    return {
        words.HERE: "[green]here[/]",
        words.KNOWN: f"[green]-> {end.node}[/]",
        words.UNLEARNT: "[cyan]unlearnt[/]",
        words.WRONG: "[bold red]WRONG[/]",
        words.ABSENT: _NOTHING,
        words.UNSEEN: _UNKNOWN,
    }[end.kernel[node]]


def _legend() -> str:
    return (
        "[dim]here: interface, address and cable are there; ->: neighbour and forwarding entry lead to that node;"
        " unlearnt: the first packet will ask; -: no endpoint of the overlay on that node; ?: not known[/]"
    )


def _findings(findings: tuple[Finding, ...]) -> Table:
    table = _table("", "what", "")
    for finding in findings:
        style = _SEVERITY[finding.severity]
        text = f"{escape(finding.says)}\n[dim]means[/] {escape(finding.means)}\n[dim]do[/] {escape(finding.remedy)}"
        table.add_row(f"[{style}]{finding.severity}[/]", f"{escape(finding.subject)}\n[dim]{finding.kind}[/]", text)
    return table
