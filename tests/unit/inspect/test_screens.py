"""What a person and a program get to see of a look."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from components.config.settings import Settings, parse, read_stack_file
from overlab.core.errors import OverlabError
from overlab.inspect import cnm, collect, command, status
from overlab.inspect.snapshot import Snapshot
from overlab.inspect.summary import Summary, summary
from overlab.platform.manifest import checkout
from tests.unit.inspect import test_compare as befalls
from tests.unit.inspect.snapshots import Raw, changed, recorded


def _drawn(thing: object, width: int = 200) -> str:
    drawn = io.StringIO()
    Console(highlight=False, width=width, file=drawn).print(thing)
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines())


def several(raw: Raw) -> None:
    befalls.split(raw)
    befalls.stopped(raw)
    befalls.node_silent(raw)


def all_silent(raw: Raw) -> None:
    raw["nodes"] = {key: {"report": None, "error": "no route to host", "seconds": 15.0} for key in raw["nodes"]}
    raw["machines"] = dict.fromkeys(raw["machines"], "shut off")


def test_a_healthy_lab_on_one_screen(snapshot: SnapshotAssertion) -> None:
    assert _drawn(status.render(summary(recorded()))) == snapshot


def test_a_lab_with_a_cluster_of_servers_on_one_screen(snapshot: SnapshotAssertion) -> None:
    assert _drawn(status.render(summary(recorded("cluster")))) == snapshot


def test_a_lab_in_trouble_on_one_screen(snapshot: SnapshotAssertion) -> None:
    assert _drawn(status.render(summary(changed(several)))) == snapshot


def test_a_lab_without_its_store_on_one_screen(snapshot: SnapshotAssertion) -> None:
    assert _drawn(status.render(summary(changed(befalls.store_silent)))) == snapshot


def test_the_model_of_every_node(snapshot: SnapshotAssertion) -> None:
    assert _drawn(cnm.render(cnm.models(recorded()))) == snapshot


@pytest.mark.parametrize(
    ("look", "code"),
    [
        (recorded(), 0),
        (changed(befalls.unlearn), 0),
        (changed(befalls.cut_cable), 1),
        (changed(befalls.node_silent), 1),
        (changed(all_silent), 2),
    ],
    ids=["healthy", "only a note", "a disagreement", "a node is silent", "all are silent"],
)
def test_the_exit_code_says_how_it_is(look: Snapshot, code: int) -> None:
    assert summary(look).exit_code == code


def test_programs_get_the_same() -> None:
    found = summary(changed(several))
    told = json.loads(json.dumps(found.as_json()))
    assert Summary.model_validate(told) == found
    (t2,) = [end for overlay in told["overlays"] for end in overlay["endpoints"] if end["name"] == "t2"]
    assert t2["kernel"] == {"docker01": "wrong", "docker02": "wrong", "docker03": "unseen"}
    assert told["healthy"] is False


def test_two_containers_of_one_sandbox_are_one_sandbox() -> None:
    found = cnm.models(recorded())["docker02"]
    assert isinstance(found, cnm.Model)
    shared = [box for box in found.sandboxes if "web5" in box.containers]
    assert [box.containers for box in shared] == [("web5", "web6")]
    assert [end.network for end in shared[0].ends] == ["ov_net3", "docker_gwbridge"]


def test_a_markup_like_name_is_shown_as_it_is() -> None:
    def odd(raw: Raw) -> None:
        raw["nodes"]["docker03"] = {"report": None, "error": "[bold]no[/]", "seconds": 1.0}

    assert "silent: [bold]no[/]" in _drawn(status.render(summary(changed(odd))))


@pytest.fixture
def settings() -> Settings:
    return parse(read_stack_file(checkout(), "dev"), "dev")


def test_a_lab_that_is_not_up_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/no/such/state")
    with pytest.raises(OverlabError, match=r"the lab dev is not up\n.*overlab up --stack dev"):
        command.status(settings, as_json=False)


def test_watching_looks_again_until_interrupted_and_ends_as_the_last_look_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter([recorded(), changed(befalls.cut_cable)])

    def look_at(*_: object) -> Snapshot:
        try:
            return next(looks)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(command, "recorded", lambda _: None)
    monkeypatch.setattr(collect, "look_at", look_at)
    assert command.watch(settings, 0.01, as_json=False) == 1
    screens = capsys.readouterr().out
    assert screens.count("store: endpoint") == 2
    assert screens.index("every view agrees") < screens.index("1 thing is wrong")
