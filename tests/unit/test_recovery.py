"""The looks around an update: what is done between them, and how they end."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from components.config.settings import Settings
from components.config.stores import BACKENDS
from overlab.core.progress import Progress
from overlab.inspect import lab_collector
from overlab.inspect.snapshot import Snapshot
from overlab.recovery import recovery as module
from overlab.recovery.recovery import Recovery
from overlab.stack import state as stack_state
from overlab.stack.convergence import Convergence
from overlab.stack.foreground import Ended
from overlab.stack.state import Resource, State
from tests.unit.inspect import faults
from tests.unit.inspect.snapshots import Raw, changed, recorded, report
from tests.unit.test_remedies import state

CHECKS = "urn:pulumi:s::overlab::overlab:index:Connectivity$command:remote:Command::docker01-checks"


class Lab:
    """Snapshots one after the other, the last one from then on; records what is done."""

    def __init__(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *looks: tuple[Callable[[Raw], None], ...]
    ) -> None:
        self.looks = [changed(*one) for one in looks]
        self.scripts: list[str] = []
        self.updates: list[list[str]] = []
        self.changes: dict[str, int] = {"same": 9}
        self.codes = [0]
        self.error: dict[str, str] = {}
        self.out = io.StringIO()
        snapshot = recorded()
        nodes = {key: SimpleNamespace(address=address) for key, address in snapshot.expected.nodes.items()}
        settings = SimpleNamespace(
            nodes=nodes,
            machine_kind="container",
            workloads={},
            networks={},
            placement={},
            cluster_store=snapshot.expected.store,
            store=SimpleNamespace(servers=1, backend=BACKENDS["consul"]),
            store_nodes=["docker01"],
        )
        known = state()
        engines = tuple(f"ssh://root@{address}:22" for address in snapshot.expected.nodes.values())
        self.state = State((*known.resources, Resource(CHECKS, "command:remote:Command")), engines=engines)
        self.log = tmp_path / "events.json"
        convergence = SimpleNamespace(
            stack=SimpleNamespace(event_log=self.log),
            platform=None,
            progress=Progress(Console(file=self.out, width=200)),
            engines=SimpleNamespace(call=lambda _address, script, _limit_s: self.scripts.append(script)),
            refresh_changed=lambda targets: self.scripts.append(f"refresh {len(targets)}"),
        )
        monkeypatch.setattr(lab_collector, "take_snapshot", self._snapshot)
        monkeypatch.setattr(stack_state, "read", lambda _stack: self.state)
        monkeypatch.setattr(module, "_PAUSE_S", 0.0)
        self.recovery = Recovery(cast(Convergence, convergence), cast(Settings, settings))

    def _snapshot(self, *_: object) -> Snapshot:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def _update(self, urns: list[str], targets: list[str]) -> Ended:
        self.updates.append([*urns, *(f"only {urn.rsplit('::')[-1]}" for urn in targets)])
        events: list[dict[str, object]] = [{"summaryEvent": {"resourceChanges": self.changes}}]
        events += [{"diagnosticEvent": {"severity": "error", **self.error}}] if self.error else []
        self.log.write_text("".join(f"{json.dumps(event)}\n" for event in events))
        return Ended(self.codes.pop(0) if len(self.codes) > 1 else self.codes[0], interrupted=False)

    def up(self, *replace: str) -> tuple[int, list[str]]:
        ended, findings = self.recovery.run(self._update, replace)
        return ended.code, [one.id for one in findings]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Lab]:
    return lambda *looks: Lab(tmp_path, monkeypatch, *looks)


def test_where_all_is_right_there_is_one_look_and_one_update(lab: Callable[..., Lab]) -> None:
    one = lab((), (faults.container_stopped,))
    assert one.up() == (0, [])
    assert (one.updates, one.scripts) == ([[]], [])
    assert "looked at 3 nodes, 3 engines, store, 4 networks, 12 containers" in one.out.getvalue()


def test_after_a_change_there_is_another_look(lab: Callable[..., Lab]) -> None:
    one = lab((), ())
    one.changes = {"create": 1}
    assert one.up() == (0, [])
    assert one.out.getvalue().count("looked at") == 2


def test_what_was_repaired_is_checked_in_the_same_update(lab: Callable[..., Lab]) -> None:
    one = lab((faults.container_stopped,), ())
    assert one.up() == (0, [])
    assert len(one.scripts) == 1
    assert "docker start 2e23623d" in one.scripts[0]
    assert one.updates == [[CHECKS]]


def test_what_passes_by_itself_is_waited_for(lab: Callable[..., Lab]) -> None:
    one = lab((faults.gossip_partition,), ())
    assert one.up() == (0, [])
    assert (one.scripts, one.updates) == ([], [[]])


def test_what_cannot_be_repaired_is_named(lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.SETTLE_LIMIT_S, "container", 0.0)
    one = lab((faults.node_unreachable,))
    code, found = one.up()
    assert code == 0
    assert "node-unreachable" in found
    assert len(one.updates) < module.UPDATES


def test_what_is_gone_is_refreshed_before_the_update(lab: Callable[..., Lab]) -> None:
    one = lab((faults.container_vanished,), (faults.container_vanished,), ())
    assert one.up() == (0, [])
    assert one.scripts[-1].startswith("refresh")
    assert one.updates == [[CHECKS]]


def test_an_update_that_failed_is_tried_again_after_a_repair_alone(lab: Callable[..., Lab]) -> None:
    one = lab((), (faults.container_stopped,), ())
    one.codes = [1, 0]
    assert one.up() == (0, [])
    assert one.updates == [[], [CHECKS]]
    other = lab((), ())
    other.codes = [1]
    assert other.up() == (1, [])
    assert len(other.updates) == 1


def test_an_update_that_failed_by_the_settings_is_no_reason_for_repairs(lab: Callable[..., Lab]) -> None:
    one = lab((), (faults.container_stopped,), ())
    one.codes = [1, 0]
    message = 'Unable to start container: exec: "nosuch": executable file not found in $PATH'
    one.error = {"urn": "urn:pulumi:s::overlab::overlab:index:Workload$d:x:Container::z1", "message": message}
    assert one.up() == (1, [])
    assert (len(one.updates), one.scripts) == (1, [])


def test_nothing_is_done_while_the_settings_name_another_store(lab: Callable[..., Lab]) -> None:
    def another(raw: Raw) -> None:
        raw["expected"]["store"] = "consul://127.0.0.1:8500"

    one = lab((another, faults.container_stopped), ())
    one.changes = {"update": 1}
    assert one.up() == (0, [])
    assert one.scripts == []


def test_a_node_that_is_replaced_is_replaced_once(lab: Callable[..., Lab]) -> None:
    one = lab((), (faults.container_stopped,), ())
    one.changes = {"replace": 2}
    assert one.up("urn:machine") == (0, [])
    assert one.updates == [["urn:machine"], [CHECKS]]


def test_what_can_be_repaired_does_not_wait_for_what_passes(lab: Callable[..., Lab]) -> None:
    one = lab((faults.container_stopped, faults.not_registered), ())
    assert one.up() == (0, [])
    assert len(one.scripts) == 1
    assert "docker start 2e23623d" in one.scripts[0]


def test_what_an_update_brings_back_is_not_waited_for(lab: Callable[..., Lab]) -> None:
    def consul_removed(raw: Raw) -> None:
        found = report(raw, "docker01")["containers"]
        found[:] = [one for one in found if one["name"] != "consul"]

    one = lab((faults.store_down, consul_removed), ())
    known = [replace(r, inputs={"networkMode": "host"}) if r.name == "consul" else r for r in one.state.resources]
    one.state = replace(one.state, resources=tuple(known))
    assert one.up() == (0, [])
    assert one.scripts == ["refresh 1"]
    # The store alone first: whether its data were lost shows only then.
    assert one.updates == [["only consul"], [CHECKS]]


def test_peer_entries_are_repaired_again_after_an_update(lab: Callable[..., Lab]) -> None:
    """It may have created the endpoints of the same addresses again."""
    one = lab((faults.incomplete_entry,), (), (faults.incomplete_entry,), ())
    one.changes = {"replace": 2}
    assert one.up() == (0, [])
    assert len(one.scripts) == 2
    assert all("sync-peers" in script for script in one.scripts)


def test_within_one_look_no_action_is_repeated(lab: Callable[..., Lab]) -> None:
    one = lab((faults.incomplete_entry,))
    code, found = one.up()
    assert (code, found) == (0, ["peer-entry-incomplete"])
    assert len(one.scripts) <= module.UPDATES + 1


def test_an_engine_of_no_node_is_removed_from_the_store_at_once(lab: Callable[..., Lab]) -> None:
    """One that still runs registers again within its heartbeat."""
    one = lab((), (faults.unexpected_node,), ())
    one.changes = {"delete": 1}
    assert one.up() == (0, [])
    assert len(one.scripts) == 1
    assert "overlab-store delete docker/nodes/" in one.scripts[0]
