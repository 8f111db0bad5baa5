"""What a person and a program see of a snapshot."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from components.config.settings import Settings, parse, read_stack_file
from overlab.core.errors import OverlabError
from overlab.inspect import cluster, cnm, display, lab_collector, status_screen
from overlab.inspect.cluster import LabCluster
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.status import LabStatus
from overlab.platform.manifest import checkout
from tests.unit.inspect import faults
from tests.unit.inspect.snapshots import Raw, changed, recorded


def _drawn(thing: object, width: int = 200) -> str:
    drawn = io.StringIO()
    Console(highlight=False, width=width, file=drawn).print(thing)
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines())


def several(raw: Raw) -> None:
    faults.gossip_partition(raw)
    faults.container_stopped(raw)
    faults.node_unreachable(raw)


def no_answer(raw: Raw) -> None:
    raw["nodes"] = {key: {"report": None, "error": "no route to host", "seconds": 15.0} for key in raw["nodes"]}
    raw["machines"] = dict.fromkeys(raw["machines"], "shut off")


def test_a_healthy_lab_on_one_screen(snapshot: SnapshotAssertion) -> None:
    assert _drawn(status_screen.render(LabStatus.of(recorded()))) == snapshot


def test_a_lab_with_a_cluster_of_servers_on_one_screen(snapshot: SnapshotAssertion) -> None:
    assert _drawn(status_screen.render(LabStatus.of(recorded("cluster")))) == snapshot


def test_a_lab_in_trouble_on_one_screen(snapshot: SnapshotAssertion) -> None:
    assert _drawn(status_screen.render(LabStatus.of(changed(several)))) == snapshot


def test_a_lab_without_its_store_on_one_screen(snapshot: SnapshotAssertion) -> None:
    assert _drawn(status_screen.render(LabStatus.of(changed(faults.store_down)))) == snapshot


def test_the_model_of_every_node(snapshot: SnapshotAssertion) -> None:
    assert _drawn(cnm.render(cnm.models(recorded()))) == snapshot


@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        (recorded(), 0),
        (changed(faults.unresolved), 0),
        (changed(faults.veth_detached), 1),
        (changed(faults.node_unreachable), 1),
        (changed(no_answer), 2),
    ],
    ids=["healthy", "only a note", "a disagreement", "a node does not answer", "no node answers"],
)
def test_the_exit_code_is_the_state_of_the_lab(snapshot: Snapshot, code: int) -> None:
    assert LabStatus.of(snapshot).exit_code == code


def test_json_has_the_same() -> None:
    status = LabStatus.of(changed(several))
    document = json.loads(json.dumps(status.as_json()))
    assert LabStatus.model_validate(document) == status
    endpoints = [endpoint for network in document["networks"] for endpoint in network["endpoints"]]
    (t2,) = [endpoint for endpoint in endpoints if endpoint["name"] == "t2"]
    assert t2["kernel"] == {"docker01": "wrong", "docker02": "wrong", "docker03": "unknown"}
    assert document["healthy"] is False


def test_two_containers_of_one_sandbox_are_one_sandbox() -> None:
    model = cnm.models(recorded())["docker02"]
    assert isinstance(model, cnm.NodeModel)
    shared = [sandbox for sandbox in model.sandboxes if "web5" in sandbox.containers]
    assert [sandbox.containers for sandbox in shared] == [("web5", "web6")]
    assert [endpoint.network for endpoint in shared[0].endpoints] == ["ov_net3", "docker_gwbridge"]


def test_a_markup_like_name_is_shown_as_it_is() -> None:
    def odd(raw: Raw) -> None:
        raw["nodes"]["docker03"] = {"report": None, "error": "[bold]no[/]", "seconds": 1.0}

    assert "unreachable: [bold]no[/]" in _drawn(status_screen.render(LabStatus.of(changed(odd))))


@pytest.fixture
def settings() -> Settings:
    return parse(read_stack_file(checkout(), "dev"), "dev")


def test_a_lab_that_is_not_up_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/no/such/state")
    with pytest.raises(OverlabError, match=r"the lab dev is not up\n.*overlab up --stack dev"):
        display.status(LabCluster(settings), as_json=False)


def test_watch_repeats_until_interrupted_and_exits_by_the_last_snapshot(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshots = iter([recorded(), changed(faults.veth_detached)])

    def take_snapshot(*_: object) -> Snapshot:
        try:
            return next(snapshots)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(cluster, "recorded", lambda _: None)
    monkeypatch.setattr(lab_collector, "take_snapshot", take_snapshot)
    assert display.watch(LabCluster(settings), 0.01, as_json=False) == 1
    screens = capsys.readouterr().out
    assert screens.count("store: endpoint") == 2
    assert screens.index("every view agrees") < screens.index("1 thing is wrong")
