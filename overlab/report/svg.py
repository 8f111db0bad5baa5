"""The report's picture as SVG: nodes are columns, networks are lanes across them, workloads are in the cells.

The same picture always gives the same bytes. Colors follow the reader's light or dark scheme.
"""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from overlab.core.xmltext import clean
from overlab.report.picture import (
    Picture,
    PictureAttachment,
    PictureNetwork,
    PictureNode,
    PictureStatus,
    PictureWorkload,
    State,
)

_MARGIN = 16
_LABEL = 184
_CHIP = 150
_GAP = 12
_COLUMN_GAP = 16
_HEADER = 74
_TITLE = 54
_TAB = 24
_PORT = 26
_LINE = 16
_UNDERLAY = 46
_TINTS = ("#4e79a7", "#f28e2b", "#76b7b2", "#b07aa1", "#9c755f", "#edc948", "#ff9da7", "#59a14f")
_MARK: dict[PictureStatus, str] = {"passed": "✓", "failed": "✗", "not run": "?", "unknown": ""}

_STYLE = "\n" + Path(__file__).with_name("picture.css").read_text("utf-8")


_Chip = tuple[PictureWorkload, PictureAttachment, int, int, int]


def inline(picture: Picture) -> str:
    """The ``svg`` element, to stand in a page."""
    return _Drawing(picture).text()


def natural_width(picture: Picture) -> int:
    """Pixels at which its text has its own size."""
    return _Grid(picture).width


@dataclass
class _Grid:
    """Where columns are."""

    picture: Picture

    def __post_init__(self) -> None:
        places = itertools.product(self.picture.nodes, self.picture.networks)
        fullest = max((len(_cell(self.picture, node.key, network.name)) for node, network in places), default=1)
        publishing = any(workload.ports for workload in self.picture.workloads)
        self.across = 2 if fullest > 1 or publishing else 1
        self.column = self.across * _CHIP + (self.across + 1) * _GAP
        count = len(self.picture.nodes)
        self.left = _MARGIN + _LABEL
        self.right = self.left + count * self.column + (count - 1) * _COLUMN_GAP
        self.width = self.right + _MARGIN

    def x(self, column: int) -> int:
        return self.left + column * (self.column + _COLUMN_GAP)


class _Drawing:
    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._grid = _Grid(picture)
        self._root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "class": "lab", "role": "img"})
        _tooltip(self._root, f"lab {picture.lab}")
        _child(self._root, "style").text = _STYLE
        self._columns = _child(self._root, "g")
        self._lanes = _child(self._root, "g")
        self._links = _child(self._root, "g")
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._heading()
        y = _MARGIN + _TITLE
        for column, node in enumerate(picture.nodes):
            self._node(node, self._grid.x(column), y)
        top, y = y, y + _HEADER
        for number, network in enumerate(picture.networks):
            y = self._lane(network, number, y) + _GAP
        y = self._ports(y)
        self._close(top, y)
        self._link()

    def text(self) -> str:
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode", xml_declaration=False) + "\n"

    # -- parts -------------------------------------------------------------------------------------

    def _heading(self) -> None:
        picture = self._picture
        _text(self._root, _MARGIN, _MARGIN + 16, f"lab {picture.lab}", "heading")
        tested = "as the last up that checked found it"
        if picture.tested:
            tested = f"tested {picture.tested:%Y-%m-%d %H:%M:%S} UTC"
        elif not any(workload.state.total for workload in picture.workloads):
            tested = "not tested"
        _text(self._root, _MARGIN, _MARGIN + 36, f"store: {picture.store}   ·   {tested}", "small")
        x = self._grid.right
        for label in ("not tested", "not run", "failed", "passed"):
            x -= len(label) * 7 + 24
            look = {"class": "unknown" if label == "not tested" else label.replace(" ", "")}
            _child(self._root, "circle", cx=x, cy=_MARGIN + 32, r=5, attributes=look)
            _text(self._root, x + 10, _MARGIN + 36, label, "small")

    def _node(self, node: PictureNode, x: int, y: int) -> None:
        group = _child(self._root, "g")
        _tooltip(group, f"{node.key} {node.address}: {node.state.text}")
        _text(group, x + _GAP, y + 24, _short(node.key, self._grid.column - 60), "heading")
        _text(group, x + _GAP, y + 42, node.address, "mono")
        parts = [f"engine {node.engine}" if node.engine else "", "store server" if node.serves_store else ""]
        _text(group, x + _GAP, y + 59, "   ·   ".join(part for part in parts if part), "small")
        _mark(group, x + self._grid.column - _GAP - 10, y + 24, node.state)

    def _lane(self, network: PictureNetwork, number: int, y: int) -> int:
        rows = [self._rows(network.name, column, y) for column in range(len(self._picture.nodes))]
        bottom = max([end for _, end in rows] + [y + 5 * _LINE + 2])
        tint = _TINTS[number % len(_TINTS)]
        box = {"fill": tint, "fill-opacity": "0.13", "stroke": tint, "stroke-opacity": "0.55"}
        width = self._grid.right - _MARGIN + 8
        _child(self._lanes, "rect", x=_MARGIN - 4, y=y, width=width, height=bottom - y, rx=10, attributes=box)
        group = _child(self._root, "g")
        _tooltip(group, f"{network.name} {network.subnet}: {network.state.text}")
        x = _MARGIN + 8
        _text(group, x, y + 22, _short(network.name, _LABEL - 50), "name")
        _mark(group, x + _LABEL - 34, y + 22, network.state)
        _text(group, x, y + 40, network.subnet or "subnet: next free one", "mono")
        kind = "overlay (VXLAN)" if network.driver == "overlay" else network.driver
        _text(group, x, y + 56, "internal: no egress" if network.internal else kind, "small")
        _text(group, x, y + 72, _short(f"created on {network.created_on}", _LABEL - 24), "small")
        for chips, _ in rows:
            for chip in chips:
                self._chip(*chip)
        return bottom

    def _rows(self, network: str, column: int, y: int) -> tuple[list[_Chip], int]:
        """(workload, attachment, x, y, height) of every chip of a cell, and where the cell ends."""
        cell = _cell(self._picture, self._picture.nodes[column].key, network)
        chips = []
        top = y + _GAP
        for first in range(0, len(cell), self._grid.across):
            row = cell[first : first + self._grid.across]
            height = max(38 + (_LINE if one.aliases else 0) for _, one in row)
            tabs = max(len(self._picture.sharing(workload.name)) for workload, _ in row)
            for place, (workload, one) in enumerate(row):
                x = self._grid.x(column) + _GAP + place * (_CHIP + _GAP)
                chips.append((workload, one, x, top, height))
            top += height + tabs * _TAB + _GAP
        return chips, top

    def _chip(self, workload: PictureWorkload, one: PictureAttachment, x: int, y: int, height: int) -> None:
        self._places.setdefault(workload.name, []).append((x, y + height // 2))
        # The tabs first: the chip overlaps them.
        for number, sharing in enumerate(self._picture.sharing(workload.name)):
            self._tab(sharing, x, y + height + number * _TAB)
        group = _child(self._root, "g")
        _tooltip(group, f"{workload.name} ({workload.image}) on {one.network}: {one.state.text}")
        _child(group, "rect", x=x, y=y, width=_CHIP, height=height, rx=6, attributes={"class": "chip"})
        _stripe(group, x, y, height, one.state)
        _text(group, x + 14, y + 17, _short(workload.name, _CHIP - 44), "name")
        _mark(group, x + _CHIP - 18, y + 17, one.state)
        _text(group, x + 14, y + 32, one.address or "address: next free one", "mono" if one.address else "small")
        if one.aliases:
            _text(group, x + 14, y + 47, _short(f"also {', '.join(one.aliases)}", _CHIP - 24, 6.2), "small")

    def _tab(self, workload: PictureWorkload, x: int, y: int) -> None:
        group = _child(self._root, "g")
        _tooltip(group, f"{workload.name} in the network of {workload.shares_network_of}: {workload.state.text}")
        box = {"class": "tab"}
        _child(group, "rect", x=x + 8, y=y - 5, width=_CHIP - 8, height=_TAB + 3, rx=5, attributes=box)
        _stripe(group, x + 8, y, _TAB - 2, workload.state)
        _text(group, x + 20, y + 15, _short(f"{workload.name} · same stack", _CHIP - 42, 6.1), "small")
        _mark(group, x + _CHIP - 18, y + 15, workload.state)

    def _ports(self, y: int) -> int:
        """What the nodes publish, below the lanes."""
        published = {n.key: [(w, p) for w in self._picture.on(n.key) for p in w.ports] for n in self._picture.nodes}
        deepest = max((len(ports) for ports in published.values()), default=0)
        if deepest == 0:
            return y
        _text(self._root, _MARGIN + 8, y + 20, "published ports", "name")
        _text(self._root, _MARGIN + 8, y + 37, "on each node's own address", "small")
        width = self._grid.column - 2 * _GAP
        for column, node in enumerate(self._picture.nodes):
            for row, (workload, port) in enumerate(published[node.key]):
                x, top = self._grid.x(column) + _GAP, y + 4 + row * (_PORT + 6)
                group = _child(self._root, "g")
                outside = f"{node.address}:{port.node_port or '?'}"
                _tooltip(group, f"{outside} leads to {workload.name} {port.inside}")
                _child(group, "rect", x=x, y=top, width=width, height=_PORT, rx=13, attributes={"class": "chip"})
                label = f"{':' if port.node_port else ''}{port.node_port or 'any'}  →  {workload.name}  {port.inside}"
                _text(group, x + 16, top + 17, _short(label, width - 28, 7.4), "mono")
        return y + 4 + max(deepest * (_PORT + 6), 44)

    def _close(self, top: int, y: int) -> None:
        """The columns' background, the underlay below, and the size of the picture."""
        grid, picture = self._grid, self._picture
        for column in range(len(picture.nodes)):
            x = grid.x(column)
            box = {"class": "column"}
            _child(self._columns, "rect", x=x, y=top, width=grid.column, height=y - top + 6, rx=12, attributes=box)
            middle = x + grid.column // 2
            _child(self._columns, "line", x1=middle, y1=y + 6, x2=middle, y2=y + 26, attributes={"class": "drop"})
        line = {"class": "underlay"}
        _child(self._columns, "line", x1=_MARGIN + 8, y1=y + 26, x2=grid.right - 8, y2=y + 26, attributes=line)
        _text(self._root, _MARGIN + 8, y + 18, "underlay", "name")
        _text(self._root, _MARGIN + 8, y + 44, f"{picture.underlay}, gateway {picture.gateway}", "small")
        height = y + _UNDERLAY + _MARGIN
        self._root.set("viewBox", f"0 0 {grid.width} {height}")
        self._root.set("width", str(grid.width))
        self._root.set("height", str(height))

    def _link(self) -> None:
        """Join the places of a workload on several networks."""
        for name, places in self._places.items():
            for (x1, y1), (x2, y2) in itertools.pairwise(places):
                path = f"M{x1},{y1} C{x1 - 26},{y1} {x2 - 26},{y2} {x2},{y2}"
                link = _child(self._links, "path", d=path, attributes={"class": "link"})
                _tooltip(link, f"{name} is on both")


def _cell(picture: Picture, node: str, network: str) -> list[tuple[PictureWorkload, PictureAttachment]]:
    return [(w, one) for w in picture.on(node) for one in w.attachments if one.network == network]


def _child(parent: ET.Element, tag: str, attributes: dict[str, str] | None = None, **numbers: object) -> ET.Element:
    return ET.SubElement(parent, tag, {**{key: str(value) for key, value in numbers.items()}, **(attributes or {})})


def _text(parent: ET.Element, x: int, y: int, text: str, look: str) -> None:
    if text:
        _child(parent, "text", x=x, y=y, attributes={"class": look}).text = clean(text)


def _tooltip(parent: ET.Element, text: str) -> None:
    _child(parent, "title").text = clean(text)


def _mark(parent: ET.Element, x: int, y: int, state: State) -> None:
    _text(parent, x, y, _MARK[state.status], state.status.replace(" ", ""))


def _stripe(parent: ET.Element, x: int, y: int, height: int, state: State) -> None:
    box = {"class": state.status.replace(" ", "")}
    _child(parent, "rect", x=x, y=y + 3, width=5, height=height - 6, rx=2, attributes=box)


def _short(text: str, width: float, per_character: float = 7.6) -> str:
    """The text, cut to about a width in pixels."""
    room = max(2, int(width / per_character))
    return text if len(text) <= room else f"{text[: room - 1]}…"
