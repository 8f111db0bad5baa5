"""The lab's graph: complete, the same for the same lab, and parseable whatever the names."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from components.config.fields import HOSTNAME, OBJECT_NAME
from components.config.settings import parse
from overlab.core.errors import ToolError
from overlab.core.xmltext import clean
from overlab.report import graph, picture, svg
from overlab.report.picture import (
    Picture,
    PictureAttachment,
    PictureNetwork,
    PictureNode,
    PictureWorkload,
    Published,
    State,
)
from overlab.stack.outputs import Outputs
from tests.unit import check_run_factory
from tests.unit.lab_configs import HOSTILE_TEXTS, labs

needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
_SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def seed() -> Picture:
    lab = check_run_factory.lab()
    tested = check_run_factory.run(lab, check_run_factory.FAILURES)
    return picture.build(lab, check_run_factory.outputs(lab), tested.results, tested.begun)


@pytest.mark.parametrize("render", [graph.mermaid, graph.dot, svg.inline], ids=["mermaid", "dot", "report"])
def test_the_seed_experiment(seed: Picture, render: Callable[[Picture], str], snapshot: SnapshotAssertion) -> None:
    assert render(seed) == snapshot


@needs_graphviz
def test_svg_is_drawn_by_graphviz(seed: Picture) -> None:
    texts = [element.text for element in ET.fromstring(graph.render(seed, "svg").encode()).iter(f"{_SVG}text")]
    for name in [*(one.name for one in seed.networks), *(one.name for one in seed.workloads)]:
        assert name in texts


def test_svg_without_graphviz_is_refused(seed: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="`dot` is not installed"):
        graph.render(seed, "svg")


def test_parts_are_colored_by_the_checks_about_them(seed: Picture) -> None:
    states = {node.key: node.state.status for node in seed.nodes}
    states |= {overlay.name: overlay.state.status for overlay in seed.networks}
    states |= {workload.name: workload.state.status for workload in seed.workloads}
    assert {name for name, status in states.items() if status == "failed"} == {"docker02", "ov_net1", "t1", "t2", "t3"}
    assert set(states.values()) == {"failed", "passed"}
    [t3] = [workload for workload in seed.workloads if workload.name == "t3"]
    assert {one.network: one.state.status for one in t3.attachments} == {"ov_net1": "failed", "ov_net2": "passed"}


def test_what_a_node_that_is_away_should_have_checked_is_not_called_passed() -> None:
    lab = check_run_factory.lab()
    drawn = picture.build(lab, check_run_factory.outputs(lab), check_run_factory.run(lab, unreached="docker03").results)
    assert {node.key: node.state.status for node in drawn.nodes}["docker03"] == "not run"
    assert {one.name: one.state.status for one in drawn.workloads}["t3"] == "not run"


def test_a_lab_that_was_never_up_is_drawn_from_its_settings() -> None:
    drawn = picture.build(check_run_factory.lab(), Outputs())
    assert {workload.state.status for workload in drawn.workloads} == {"unknown"}
    text = graph.mermaid(drawn)
    assert "172.19.0.44" in text  # stated
    assert "10.99.0.12:picked by the engine" in text


def test_the_picture_is_the_same_every_time(seed: Picture) -> None:
    for render in (graph.mermaid, graph.dot, svg.inline):
        assert render(seed) == render(seed)


# -- whatever the names ----------------------------------------------------------------------------

_names = st.from_regex(OBJECT_NAME, fullmatch=True) | st.sampled_from(
    ["end", "graph", "subgraph", "class", "strict", "node", "edge", "o1", "x--y", "a.b", "1.2", "click", "default", "0"]
)
_hosts = st.from_regex(HOSTNAME, fullmatch=True)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [text for text in HOSTILE_TEXTS if "\ud800" not in text and len(text) < 200]
)
_states = st.builds(State, st.integers(0, 2), st.integers(0, 1), st.integers(0, 1))


@st.composite
def pictures(draw: st.DrawFn, names: st.SearchStrategy[str], texts: st.SearchStrategy[str]) -> Picture:
    hosts = draw(st.lists(_hosts, min_size=1, max_size=3, unique=True))
    nodes = [
        PictureNode(key, f"10.99.0.{n}", draw(texts), draw(st.booleans()), draw(_states)) for n, key in enumerate(hosts)
    ]
    found = draw(st.lists(names, max_size=3, unique=True))
    networks = [PictureNetwork(name, draw(texts), hosts[0], draw(st.booleans()), draw(_states)) for name in found]
    workloads: list[PictureWorkload] = []
    for name in draw(st.lists(names, max_size=4, unique=True)):
        on = [PictureAttachment(overlay.name, draw(texts), (draw(names),), draw(_states)) for overlay in networks]
        ports = (Published(draw(texts), draw(st.none() | st.integers(1, 65535))),) if draw(st.booleans()) else ()
        workloads.append(
            PictureWorkload(name, draw(st.sampled_from(hosts)), draw(texts), "", tuple(on), ports, draw(_states))
        )
    if workloads:
        first = workloads[0]
        workloads.append(replace(first, name="one that shares", shares_network_of=first.name, attachments=(), ports=()))
    parts = (tuple(nodes), tuple(networks), tuple(workloads))
    return Picture(draw(texts), "10.99.0.0/24", "10.99.0.1", draw(texts), *parts)


_any_picture = pictures(_names, st.just("text")) | pictures(_names | _texts, _texts)


@settings(max_examples=60, deadline=None)
@given(_any_picture)
def test_svg_is_well_formed_and_nothing_leaves_the_frame(drawn: Picture) -> None:
    root = ET.fromstring(svg.inline(drawn).encode())
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    for box in root.iter(f"{_SVG}rect"):
        assert 0 <= float(box.attrib["x"]) <= float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        assert 0 <= float(box.attrib["y"]) <= float(box.attrib["y"]) + float(box.attrib["height"]) <= height
    titles = [title.text or "" for title in root.iter(f"{_SVG}title")]
    for workload in drawn.workloads:
        if workload.attachments:
            assert any(title.startswith(read_back(workload.name)) for title in titles)
    assert {element.tag.removeprefix(_SVG) for element in root.iter()} <= {
        *("svg", "title", "style", "g", "rect", "text", "circle", "line", "path"),
    }


@settings(max_examples=60, deadline=None)
@given(_any_picture)
def test_mermaid_has_only_known_lines_and_every_id_once(drawn: Picture) -> None:
    label = r'"(?:[^"#;|`]|#\d+;|<br/>)*"'
    known = re.compile(
        rf"flowchart TB|  subgraph n\d+\[{label}\]|  end"
        rf"|    w\d+\[{label}\]|    s\d+\[\({label}\)\]|  o\d+\{{\{{{label}\}}\}}|  w\d+p\d+\(\[{label}\]\)"
        rf"|  w\d+ --- (?:\|{label}\| )?o\d+|  w\d+ === \|{label}\| w\d+|  w\d+p\d+ --> (?:\|{label}\| )?w\d+"
        r"|  classDef \w+ [\w:#,]+|  class [nwo]\d+ (?:passed|failed|notrun|unknown)"
    )
    lines = graph.mermaid(drawn).rstrip("\n").split("\n")
    assert [line for line in lines if not known.fullmatch(line)] == []
    defined = re.findall(r"^ +(?:subgraph )?([nwso]\d+(?:p\d+)?)[\[({]", "\n".join(lines), re.MULTILINE)
    assert len(defined) == len(set(defined))
    used = re.findall(r"\b([wo]\d+(?:p\d+)?)\b", re.sub(r'"[^"]*"', "", "\n".join(lines)))
    assert set(used) <= set(defined)


@settings(max_examples=60, deadline=None)
@given(_any_picture)
def test_dot_is_tokens_of_its_grammar_with_balanced_braces(drawn: Picture) -> None:
    text = graph.dot(drawn)
    token = re.compile(r'\s+|cluster_n\d+|[a-z]+\d*(?:p\d+|e)?|\d+|--|[{}\[\];,=]|"(?:[^"\\]|\\[\\"n])*"')
    position, depth = 0, 0
    while position < len(text):
        match = token.match(text, position)
        assert match, text[position : position + 40]
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        assert depth >= 0
        position = match.end()
    assert depth == 0


@needs_graphviz
@settings(max_examples=15, deadline=None)
@given(_any_picture)
def test_dot_is_read_by_graphviz_itself(drawn: Picture) -> None:
    done = subprocess.run(["dot", "-Tcanon"], input=graph.dot(drawn).encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


@settings(max_examples=50, deadline=None)
@given(labs())
def test_every_valid_lab_can_be_drawn(raw: dict[str, object]) -> None:
    drawn = picture.build(parse(raw, "x"), Outputs())
    for render in (graph.mermaid, graph.dot, svg.inline):
        assert render(drawn)


def read_back(text: str) -> str:
    """As an XML reader gives it: with one kind of line end."""
    return clean(text).replace("\r\n", "\n").replace("\r", "\n")


def test_quotes_and_backslashes_stay_inside_a_dot_string() -> None:
    assert graph._d("a\\", 'b"c', "", "d\ne") == r'"a\\\nb\"c\nd e"'
