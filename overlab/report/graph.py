"""The lab's graph as Mermaid or Graphviz DOT, or drawn as SVG by Graphviz. Names are quoted labels, never ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from overlab.core.tools import output
from overlab.core.xmltext import clean
from overlab.report.picture import Picture, PictureNode, PictureWorkload, Published

Format = Literal["mermaid", "dot", "svg"]

_COLORS = {"passed": "#2e7d32", "failed": "#c62828", "not run": "#b26a00", "unknown": "#607d8b"}
_FILLS = {"passed": "#e8f5e9", "failed": "#ffebee", "not run": "#fff8e1", "unknown": "#eceff1"}


def render(picture: Picture, form: Format) -> str:
    """The picture in a format, complete and ready for a file."""
    forms: dict[Format, Callable[[Picture], str]] = {"mermaid": mermaid, "dot": dot, "svg": svg}
    return forms[form](picture)


# -- Mermaid ---------------------------------------------------------------------------------------


def mermaid(picture: Picture) -> str:
    """A flowchart."""
    ids = _Ids(picture)
    lines = ["flowchart TB"]
    for node in picture.nodes:
        title = _m(f"{node.key}  {node.address}")
        lines.append(f"  subgraph {ids.node[node.key]}[{title}]")
        for workload in picture.on(node.key):
            lines.append(f"    {ids.workload[workload.name]}[{_m(workload.name, workload.image)}]")
        if node.serves_store:
            lines.append(f"    {ids.store[node.key]}[({_m('store', picture.store)})]")
        lines.append("  end")
    for network in picture.networks:
        kind = f"{'internal ' if network.internal else ''}{network.driver}"
        label = _m(network.name, network.subnet, kind, f"created on {network.created_on}")
        lines.append(f"  {ids.network[network.name]}{{{{{label}}}}}")
    for workload in picture.workloads:
        source = ids.workload[workload.name]
        for one in workload.attachments:
            label = _m(one.address, *(f"alias {alias}" for alias in one.aliases))
            lines.append(f"  {source} ---{_on_edge(label)}{ids.network[one.network]}")
        if workload.shares_network_of:
            lines.append(f"  {source} === |{_m('one network stack')}| {ids.workload[workload.shares_network_of]}")
        for number, port in enumerate(workload.ports):
            outside = f"{source}p{number}"
            lines.append(f"  {outside}([{_m(_published(picture, workload, port))}])")
            lines.append(f"  {outside} -->{_on_edge(_m(port.inside))}{source}")
    for status in _COLORS:
        style = f"fill:{_FILLS[status]},stroke:{_COLORS[status]},color:#1b1b1b"
        lines.append(f"  classDef {status.replace(' ', '')} {style}")
    for id_, status in ids.states(picture):
        lines.append(f"  class {id_} {status.replace(' ', '')}")
    return "\n".join(lines) + "\n"


def _m(*parts: str) -> str:
    """A quoted Mermaid label of several lines; empty lines are left out."""
    return '"' + "<br/>".join(_m_escape(part) for part in parts if part) + '"'


def _m_escape(text: str) -> str:
    # Entities by number; Mermaid's own form has no ampersand. Everything but plain characters becomes one.
    return "".join(one if one.isalnum() or one in " ._:/,()+-" else f"#{ord(one)};" for one in text)


def _on_edge(label: str) -> str:
    return f" |{label}| " if label != '""' else " "


# -- DOT -------------------------------------------------------------------------------------------


def dot(picture: Picture) -> str:
    """A Graphviz graph."""
    ids = _Ids(picture)
    status = dict(ids.states(picture))

    def box(id_: str, shape: str, *label: str) -> str:
        now = status.get(id_, "unknown")
        look = f'shape={shape}, style="filled,rounded", fillcolor="{_FILLS[now]}", color="{_COLORS[now]}"'
        return f"{id_} [label={_d(*label)}, {look}];"

    lines = [f"graph {_d(picture.lab)} {{"]
    lines.append('  node [fontname="sans-serif"]; edge [fontname="sans-serif", fontsize=10];')
    for node in picture.nodes:
        lines.append(f"  subgraph cluster_{ids.node[node.key]} {{")
        lines.append(f'    label={_d(*_node_label(node))}; style=rounded; color="{_COLORS[node.state.status]}";')
        lines += [f"    {box(ids.workload[w.name], 'box', w.name, w.image)}" for w in picture.on(node.key)]
        if node.serves_store:
            lines.append(f"    {box(ids.store[node.key], 'cylinder', 'store', picture.store)}")
        if not picture.on(node.key) and not node.serves_store:
            lines.append(f'    {ids.node[node.key]}e [label="", shape=point, style=invis];')
        lines.append("  }")
    for network in picture.networks:
        kind = f"{'internal ' if network.internal else ''}{network.driver}"
        lines.append(f"  {box(ids.network[network.name], 'hexagon', network.name, network.subnet, kind)}")
    for workload in picture.workloads:
        source = ids.workload[workload.name]
        for one in workload.attachments:
            label = _d(one.address, *(f"alias {alias}" for alias in one.aliases))
            lines.append(f"  {source} -- {ids.network[one.network]} [label={label}];")
        if workload.shares_network_of:
            shared = ids.workload[workload.shares_network_of]
            lines.append(f'  {source} -- {shared} [label="one network stack", style=bold];')
        for number, port in enumerate(workload.ports):
            outside = f"{source}p{number}"
            lines.append(f"  {outside} [label={_d(_published(picture, workload, port))}, shape=cds];")
            lines.append(f"  {outside} -- {source} [label={_d(port.inside)}, dir=forward];")
    return "\n".join([*lines, "}"]) + "\n"


def _d(*parts: str) -> str:
    """A quoted DOT string of several lines; empty lines are left out. A backslash is one, and begins no escape."""
    shown = [clean(part).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for part in parts if part]
    return '"' + "\\n".join(shown) + '"'


def svg(picture: Picture) -> str:
    """The DOT graph as Graphviz draws it. Raises :class:`ToolError` where it is not installed."""
    return output(["dot", "-Tsvg"], stdin=dot(picture))


# -- what both need --------------------------------------------------------------------------------


class _Ids:
    """A generated id for every part: no name can be parsed as syntax."""

    def __init__(self, picture: Picture) -> None:
        self.node = {node.key: f"n{number}" for number, node in enumerate(picture.nodes)}
        self.store = {key: f"s{id_[1:]}" for key, id_ in self.node.items()}
        self.network = {network.name: f"o{number}" for number, network in enumerate(picture.networks)}
        self.workload = {workload.name: f"w{number}" for number, workload in enumerate(picture.workloads)}

    def states(self, picture: Picture) -> list[tuple[str, str]]:
        """(id, status) of everything that has one."""
        return [
            *((self.node[node.key], node.state.status) for node in picture.nodes),
            *((self.network[network.name], network.state.status) for network in picture.networks),
            *((self.workload[workload.name], workload.state.status) for workload in picture.workloads),
        ]


def _node_label(node: PictureNode) -> tuple[str, ...]:
    return (node.key, node.address, f"engine {node.engine}" if node.engine else "")


def _published(picture: Picture, workload: PictureWorkload, port: Published) -> str:
    address = next(node.address for node in picture.nodes if node.key == workload.node)
    return f"{address}:{port.node_port or 'picked by the engine'}"
