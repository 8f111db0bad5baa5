"""Whatever nodes, stores, workloads and images say: no command crashes on it, and none prints or runs it.

A node's report is taken as the collector prints it, a check's result as its script prints it, with any part exchanged
for hostile data. The terminal gets no control character that is not the console's own; markup and HTML are text.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import json
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.text import Text

from components import checks
from overlab.checks import junit, text
from overlab.checks.history import LastResults
from overlab.checks.results import CheckRun
from overlab.core.terminal import SafeConsole, clean, styled
from overlab.diagnosis import catalogue
from overlab.inspect import cnm, lab_collector, status_screen, store_view
from overlab.inspect.node_report import StoreAnswer
from overlab.inspect.snapshot import NodeAnswer, Snapshot
from overlab.inspect.status import LabStatus
from overlab.report import graph, page, picture
from overlab.report.data import ReportData
from tests.unit import check_run_factory
from tests.unit.inspect.snapshots import recorded
from tests.unit.test_report import stands_alone

DEEP = "[" * 100_000
HOSTILE = (
    "\x1b]0;owned\x07",
    "\x1b[2J",
    "\x9b31m",
    "a\rb",
    "\u202egnp.exe",
    "[/]",
    "[/x]",
    "[red",
    "x]",
    "[link=file:///etc/passwd]x[/link]",
    "\\",
    "</style><script>alert(1)</script>",
    '" onload="alert(1)',
    "]]>",
    "$(id)",
    "`id`; reboot",
    "a\nb",
    "\0",
    "\ud800",
    "{0.__class__}",
    "x" * 5000,
    "",
)
values = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=12),
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from([[], {}, [[]], [None], {"a": 1}, ["[/x]"], {"\x1b[2J": "[/x]"}, [{"id": "\x1b"}]]),
)
changes = st.lists(st.tuples(st.integers(0, 10**6), values), min_size=1, max_size=6)
"""Which places of a structure are exchanged, and for what."""

_OWN = re.compile(r"\x1b\[[0-9;]*m")
"""The styles of a console, and nothing else."""


def changed(structure: Any, exchange: list[tuple[int, Any]]) -> Any:
    """The structure with the values, keys and list items at some places exchanged."""
    result = copy.deepcopy(structure)
    for number, value in exchange:
        places: list[tuple[Any, Any]] = []
        waiting = [result]
        while waiting:
            one = waiting.pop()
            keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
            places += [(one, key) for key in keys]
            waiting += [one[key] for key in keys]
        if not places:
            return result
        holder, key = places[number % len(places)]
        if number % 7 == 0:
            del holder[key]
        elif number % 5 == 0 and isinstance(holder, dict) and isinstance(value, str):
            holder[value] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(value)
    return result


def printed(*things: Any) -> str:
    """What a terminal gets; fails on a control character that is not the console's own."""
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=True, color_system="standard", width=160, highlight=False)
    for thing in things:
        if callable(thing):
            thing(console)
        elif isinstance(thing, str):
            text.print_plain(console, thing)
        else:
            console.print(thing)
    shown = file.getvalue()
    assert clean(_OWN.sub("", shown)) == _OWN.sub("", shown)
    return shown


def loadable(document: Any) -> None:
    """JSON for programs has no raw control character."""
    assert json.dumps(document).isprintable()


# -- status and inspect cnm ------------------------------------------------------------------------

_HEALTHY = recorded()
_KEY = next(iter(_HEALTHY.nodes))
_REPORT = json.loads(json.dumps(_HEALTHY.nodes[_KEY].report.model_dump(mode="json")))  # type: ignore[union-attr]
_VALUES = {
    key: json.loads(base64.b64decode(text))
    for key, text in _REPORT["store"]["keys"].items()
    if "/v1.0/" in key and text
}


def snapshot(output: bytes) -> Snapshot:
    report, error = lab_collector._read(output, "no reason\x1b[2J [/x]")
    answer = NodeAnswer(report=report, error=error, seconds=1)
    return _HEALTHY.model_copy(update={"nodes": dict(_HEALTHY.nodes) | {_KEY: answer}})


def show_lab(taken: Snapshot) -> None:
    status, models = LabStatus.of(taken), cnm.models(taken)
    printed(status_screen.render(status), cnm.render(models))
    loadable(status.as_json())
    loadable(cnm.as_json(models))


def node_report(exchange: list[tuple[int, Any]]) -> None:
    raw = changed(_REPORT, exchange)
    show_lab(snapshot("\n".join(json.dumps({part: value}) for part, value in raw.items()).encode()))


def store_records(exchange: list[tuple[int, Any]]) -> None:
    records = changed(_VALUES, exchange)
    keys = {key: base64.b64encode(json.dumps(value).encode()).decode() for key, value in records.items()}
    view = store_view.read(StoreAnswer(version="1\x1b[2J", leader="[/x]", peers=("\x9b",), keys=keys))
    assert set(view.invalid) <= keys.keys()
    if exchange[0][0] % 64 == 0:  # drawing is slow
        raw = copy.deepcopy(_REPORT)
        raw["store"]["keys"] = keys
        show_lab(snapshot("\n".join(json.dumps({part: value}) for part, value in raw.items()).encode()))


# -- test, report, graph ---------------------------------------------------------------------------

LAB = check_run_factory.lab()
RUN = check_run_factory.run(LAB, check_run_factory.FAILURES)
_OUTPUTS = check_run_factory.outputs(LAB)
_MATRIX = checks.matrix(LAB)
_SOME = {"ping-ip:ov_net1:t1:t3", "kv:docker02", *(one.id for one in _MATRIX[:5])}
_RECORDS = [
    {"id": one.id, "got": "fail", "seconds": 1, "command": one.command, "output": one.output}
    for one in RUN.results
    if one.id in _SOME
]


def run_of(records: list[Any]) -> CheckRun:
    """The run in which the nodes printed these records."""
    own = [check for check in _MATRIX if check.id in _SOME]
    found = checks.parse(own, "\n".join(map(json.dumps, records)))
    results = tuple(found.get(check.id) or checks.result(check, "not run", output="\x1b[2J[/x]") for check in own)
    return RUN.model_copy(update={"results": results, "notes": tuple(HOSTILE[:3])})


def check_records(exchange: list[tuple[int, Any]]) -> None:
    run = run_of(changed(_RECORDS, exchange))
    printed(lambda console: text.show(run, console), *map(text.line, run.results), *text.changes(RUN, run))
    loadable(text.as_json(run))
    ET.fromstring(junit.document(run))
    assert "\x1b" not in junit.document(run).decode()


def is_table(value: Any) -> bool:
    """Of the form that the program's own outputs have whatever nodes say."""
    return isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())


def report_and_graph(exchange: list[tuple[int, Any]]) -> None:
    run = run_of(changed(_RECORDS, exchange))
    raw = changed({"networks": _OUTPUTS.networks, "ports": _OUTPUTS.ports, "nodes": _OUTPUTS.nodes}, exchange)
    shown = {key: one for key, one in raw.items() if key in _OUTPUTS.__dataclass_fields__ and is_table(one)}
    outputs = replace(_OUTPUTS, **shown)
    drawn = picture.build(LAB, outputs, run.results, run.begun)
    for found in (graph.mermaid(drawn), graph.dot(drawn)):
        assert clean(clean(found)) == clean(found)
        assert "\x1b" not in found
    html = page.render(ReportData(LAB, outputs, LastResults(run.results, run)))
    stands_alone(html)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", html)
    assert "<script" not in html


def facts(exchange: list[tuple[int, Any]]) -> None:
    workload = {
        "workload": "/t1",
        "networks": {"n": {"IPAddress": "10.0.0.2"}},
        "ports": {"80/tcp": [{"HostPort": "1"}]},
    }
    network = {"network": "n", "id": "1", "ipam": [{"Subnet": "10.0.0.0/24"}]}
    checks.parse_facts([*(json.dumps(changed(one, exchange)) for one in (workload, network)), DEEP[:2000]])


TARGETS: dict[str, tuple[Callable[[list[tuple[int, Any]]], None], int]] = {
    "node report": (node_report, 300),
    "store records": (store_records, 3700),
    "check records": (check_records, 500),
    "report and graph": (report_and_graph, 60),
    "facts": (facts, 5440),
}
"""What is fuzzed, and with how many inputs: 10,000 in all, in about a minute."""


def fuzz(name: str, share: int) -> None:
    target, count = TARGETS[name]

    @settings(max_examples=count // share, suppress_health_check=list(HealthCheck), database=None)
    @given(changes)
    def run(exchange: list[tuple[int, Any]]) -> None:
        target(exchange)

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_content_a_little(name: str) -> None:
    fuzz(name, share=50)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", TARGETS)
def test_hostile_content_ten_thousand_times(name: str) -> None:
    fuzz(name, share=1)


# -- what crashed once -----------------------------------------------------------------------------


def endpoint(value: Any) -> store_view.StoreView:
    key = "docker/network/v1.0/endpoint/n1/e1/"
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    answer = StoreAnswer(version="1", leader="x", peers=(), keys={key: base64.b64encode(data).decode()})
    return store_view.read(answer)


@pytest.mark.parametrize("port", ["NaN", "Infinity", '"x"', "[]", "{}"])
def test_a_fact_of_another_form_is_passed_over(port: str) -> None:
    line = f'{{"workload": "/t1", "networks": {{}}, "ports": {{"80/tcp": [{{"HostPort": {port}}}]}}}}'
    assert checks.parse_facts([line]).ports == {}


@pytest.mark.parametrize(
    "value",
    [
        {"name": "no id"},
        {"id": "1"},
        {"id": "1", "name": "x", "ep_iface": {"addr": "10.0.0.999/24"}},
        {"id": "1", "name": "x", "ep_iface": {"addr": True}},
        {"id": "1", "name": "x", "ep_iface": "eth0"},
        DEEP.encode(),
        b"\xff\xfe",
        b"NaN",
        [],
    ],
)
def test_a_store_record_that_is_not_libnetworks_is_named(value: Any) -> None:
    assert endpoint(value).invalid == ("docker/network/v1.0/endpoint/n1/e1/",)


@pytest.mark.parametrize(
    "output",
    [
        DEEP.encode(),
        b'["hostname"]',
        b'[["hostname", 1]]',
        b'{"hostname": "x", "errors": []}',
        b'{"hostname": "x", "errors": {"engine": "\\u001b[2J[/x]"}}',
        b'{"hostname": [[[[]]]]}',
        b'{"hostname": "x", "sandboxes": {"a": {"interfaces": [{"addresses": [true]}]}}}',
        b"\xff\n\x1b[2J",
    ],
)
def test_a_node_report_of_another_form_is_shown_as_that(output: bytes) -> None:
    show_lab(snapshot(output))


@pytest.mark.parametrize("line", [DEEP, '{"id": [], "got": "pass"}', '{"id": {}}', "[]", '{"reopened": [1]}'])
def test_a_check_record_of_another_form_is_passed_over(line: str) -> None:
    assert checks.parse(_MATRIX, line) == {}
    assert checks.reopened_workloads(line) in ([], ["[1]"])


def test_markup_of_others_is_text() -> None:
    for value in HOSTILE:
        line = styled("a [red]{}[/] {} b", value, value)
        assert line.plain == Text(f"a {value} {value} b").plain
    assert [str(span.style) for span in styled("[red]{}[/]{}", "x", "y").spans] == ["red"]


def test_nothing_of_others_reaches_the_terminal_raw() -> None:
    shown = printed(*HOSTILE[:5], styled("[bold]{}[/]", "\x1b]0;owned\x07"))
    assert shown.count("\ufffd]0;owned") == 2


@pytest.mark.parametrize("value", HOSTILE)
def test_a_pasted_remedy_runs_nothing_of_others(value: str) -> None:
    """In a remedy a name is one word of its command."""
    if "\0" in value:
        return
    facts = dict.fromkeys(("node", "workload", "network", "other_node", "target", "veth", "other"), value)
    facts |= dict.fromkeys(("store_node", "store_container", "advertise", "start", "command", "kind"), "x")
    plain = dict.fromkeys(facts, "x")
    for id_, entry in catalogue.ENTRIES.items():
        with contextlib.suppress(ValueError):  # an apostrophe in the sentence around
            words = shlex.split(catalogue.diagnose(id_, **plain).remedy)
            hostile = shlex.split(catalogue.diagnose(id_, **facts).remedy)
            assert len(words) == len(hostile), entry.remedy
