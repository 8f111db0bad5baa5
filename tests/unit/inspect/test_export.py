"""A status as metrics and as events, for other programs."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from overlab.inspect import events, prometheus
from overlab.inspect.status import LabStatus
from tests.unit.inspect import faults
from tests.unit.inspect.snapshots import changed, recorded

_SAMPLE = re.compile(r'overlab_[a-z_]+\{([a-z]+="([^"\\\n]|\\.)*",?)+\} -?[0-9.e+]+')
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_metrics_of_a_broken_lab() -> None:
    text = prometheus.render(LabStatus.of(changed(faults.wrong_fdb_entry, faults.node_unreachable)))
    assert 'overlab_healthy{cluster="dev"} 0' in text
    assert 'overlab_node_up{cluster="dev",node="docker03"} 0' in text
    subject = "ov_net1/t2 on docker01"
    assert f'overlab_finding{{cluster="dev",id="fdb-mismatch",severity="wrong",subject="{subject}"}} 1' in text
    for line in text.splitlines():
        assert line.startswith("# ") or _SAMPLE.fullmatch(line), line


def test_labels_hold_any_text() -> None:
    status = LabStatus.of(recorded()).model_copy(update={"lab": 'a"b\\c\nd'})
    assert 'cluster="a\\"b\\\\c\\nd"' in prometheus.render(status)


def test_events_tell_what_appeared_and_what_is_gone() -> None:
    healthy, broken = LabStatus.of(recorded()), LabStatus.of(changed(faults.incomplete_entry))
    assert events.changes(healthy, healthy, NOW) == []
    (appeared,) = events.changes(healthy, broken, NOW)
    assert (appeared.kind, appeared.change, appeared.subject) == ("finding", "appeared", "ov_net1/t2 on docker01")
    assert str(appeared).startswith("2026-01-02T03:04:05+00:00 finding appeared: ov_net1/t2 on docker01: wrong peer-")
    (gone,) = events.changes(broken, healthy, NOW)
    assert gone.change == "gone"


def test_the_first_look_tells_what_is_there() -> None:
    found = events.changes(None, LabStatus.of(recorded()), NOW)
    assert {one.change for one in found} == {"appeared"}
    assert {one.kind for one in found} == {"node", "endpoint"}
