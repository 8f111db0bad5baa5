"""The report: one self-contained page, complete and escaped, as a real browser shows it."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config.settings import parse
from overlab.checks.grids import grids
from overlab.checks.history import LastResults
from overlab.report import page as report_page
from overlab.report.data import ReportData
from overlab.stack.outputs import Outputs
from overlab.stack.phases import Span
from tests.unit import browser, check_run_factory
from tests.unit.lab_configs import HOSTILE_TEXTS, labs

LAB = check_run_factory.lab()
BAD = check_run_factory.run(LAB, check_run_factory.FAILURES)
SPANS = [
    Span("Machine/docker01-domain", 5, 60),
    Span("DockerEngine/docker01-dockerd", 60, 120),
    Span("Store/consul", 120, 140),
]
COMPLETE = ReportData(
    LAB,
    check_run_factory.outputs(LAB),
    LastResults(BAD.results, BAD),
    SPANS,
    "3.259.0",
    {"hypervisor": "private libvirtd"},
)

_VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Tags, texts and references of a page; fails on one that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [
            value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action", "data")
        ]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def stands_alone(text: str) -> Page:
    page = Page(text)
    assert [one for one in page.references if not one.startswith(("#", "data:,"))] == []
    assert not page.handlers
    assert not {"script", "iframe", "object", "img"} & page.tags
    assert not re.search(r"url\(|@import", text)
    return page


def test_a_report_has_every_part_and_nothing_from_elsewhere() -> None:
    page = stands_alone(report_page.render(COMPLETE))
    for part in (
        "lab seed",
        "112 passed, 4 failed of 116 checks",
        "10.99.0.13:2376",  # a node advertises
        "172.19.0.44",  # a fixed address
        "10.99.0.11:90 → 80/tcp",
        "as web5",
        "100% packet loss",
        "docs/cookbook.md#gossip-partition",
        "took 21.5 s in 3 sessions",
        "DockerEngine",
        "private libvirtd",
        "3.259.0",
        "busybox:1.35",
    ):
        assert part in page.text, part


def test_every_overlay_has_its_grid_and_every_pair_its_cell() -> None:
    found = {one.title: one for one in grids(BAD.results)}
    assert list(found) == [
        "ov_net1",
        "ov_net2",
        "ov_net3",
        "ov_closed",
        "Isolation",
        "Control plane",
        "Nodes",
        "Workloads",
    ]
    net1 = {row.name: dict(zip(found["ov_net1"].columns, row.cells, strict=True)) for row in found["ov_net1"].rows}
    assert set(net1) == {"t1", "t2", "t3"}
    for source, cells in net1.items():
        for target, cell in cells.items():
            assert (cell is None) == (source == target)
    broken = net1["t1"]["t3"]
    assert broken is not None
    assert (broken.status, broken.text, broken.bad) == ("failed", "1/3", ["ping-ip", "ping-name"])
    apart = {row.name: row.cells for row in found["Isolation"].rows}
    assert set(apart) == {"ov_net1", "ov_net2", "ov_net3", "ov_closed"}


def test_every_result_is_in_a_grid() -> None:
    shown = {
        one.id for grid in grids(BAD.results) for row in grid.rows for cell in row.cells if cell for one in cell.results
    }
    assert shown == {one.id for one in BAD.results}


def test_a_lab_that_was_never_up_has_a_report_too() -> None:
    page = stands_alone(report_page.render(ReportData(LAB)))
    assert "not tested" in page.text
    assert "Not tested yet" in page.text
    assert "No up that changed anything is recorded" in page.text


def test_a_page_of_one_run_stands_alone() -> None:
    page = stands_alone(report_page.render_run(BAD))
    assert "112 passed, 4 failed of 116 checks in 21.5 s, 3 sessions" in page.text
    assert "ping: bad address 't3'" in page.text
    away = stands_alone(report_page.render_run(check_run_factory.run(LAB, unreached="docker03")))
    assert check_run_factory.NODE in away.text


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([text for text in HOSTILE_TEXTS if "\ud800" not in text and len(text) < 300]) | st.text(max_size=30)
)
def test_output_of_others_is_escaped(raw: str) -> None:
    raw = raw.encode(errors="replace").decode()
    odd = BAD.model_copy(
        update={"results": tuple(one.model_copy(update={"output": f"<b onclick=x>{raw}"}) for one in BAD.results[:9])}
    )
    outputs = replace(check_run_factory.outputs(LAB), networks={"ov_net1": {"id": raw, "subnet": f"<i>{raw}"}})
    stands_alone(
        report_page.render(replace(COMPLETE, outputs=outputs, known=LastResults(odd.results, odd), pulumi=raw))
    )
    stands_alone(report_page.render_run(odd))


@settings(max_examples=20, deadline=None)
@given(labs())
def test_every_valid_lab_has_a_report(raw: dict[str, object]) -> None:
    lab = parse(raw, "x")
    run = check_run_factory.run(lab)
    stands_alone(report_page.render(ReportData(lab, Outputs(), LastResults(run.results, run))))


@browser.needed
@pytest.mark.slow
def test_a_real_browser_shows_it(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(report_page.render(COMPLETE), "utf-8")
    seen = browser.load(page, tmp_path)
    assert seen.console == []
    # The picture is drawn inside the page, not shown as text: its parts are elements of it.
    dom = seen.dom[seen.dom.index('<svg xmlns="http://www.w3.org/2000/svg"') : seen.dom.index("</svg>") + 6]
    chips = ET.fromstring(dom).findall(".//{http://www.w3.org/2000/svg}rect[@class='chip']")
    assert len(chips) == sum(len(spec.networks) for spec in LAB.workloads.values()) + 2
    assert seen.dom.count('class="failure failed"') == len(BAD.failed)
    assert struct.unpack(">II", seen.screenshot[16:24]) == (1280, 1600)
    assert len(set(seen.screenshot)) > 200
    assert len(seen.screenshot) > 50_000, "an almost empty picture"


@browser.needed
@pytest.mark.slow
def test_a_script_in_an_output_does_not_run_in_a_real_browser(tmp_path: Path) -> None:
    attack = "</pre></svg><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    odd = BAD.model_copy(
        update={"results": tuple(v.model_copy(update={"output": attack, "title": attack}) for v in BAD.failed)}
    )
    page = tmp_path / "run.html"
    page.write_text(report_page.render_run(odd), "utf-8")
    seen = browser.load(page, tmp_path)
    assert "<title>overlab test: seed</title>" in seen.dom
    assert "&lt;script&gt;" in seen.dom
