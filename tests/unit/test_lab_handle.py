"""What is known of a lab: outputs through its own CLI, its last test, the last ``up`` that changed something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.config.settings import Settings, SettingsError, parse
from overlab.checks import results
from overlab.cli import lifecycle
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.platform.manifest import PlatformManifest
from overlab.report import data
from overlab.report.data import ReportData
from overlab.stack import check_commands, lab_handle, outputs, phases, running_store
from overlab.stack import state as stack_state
from overlab.stack import subnets as running_subnets
from overlab.stack.foreground import Ended
from overlab.stack.stack import Stack
from tests.unit import check_run_factory

LAB = check_run_factory.lab()


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack that was up; its CLI prints what ``outputs`` in the state directory holds."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths = LabPaths(LAB.name)
    manifest = PlatformManifest(
        checkout=tmp_path,
        inputs="",
        files={},
        cli=tmp_path,
        cli_version="3.1.4",
        sources={"image": "made here"},
        bundled_plugins=True,
        images=None,
    )
    manifest.save(paths)
    made = Stack("dev", paths, manifest)
    for file in (paths.backend / ".pulumi" / "stacks" / "overlab" / "dev.json", paths.bin / "pulumi", made.event_log):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('#!/bin/sh\necho "$*" >>"$PULUMI_HOME.calls"\ncat "${0%/bin/pulumi}/outputs"\n')
    (paths.bin / "pulumi").chmod(0o755)
    (paths.state / "outputs").write_text(
        json.dumps(check_run_factory.outputs(LAB).__dict__ | {"lab": "seed", "novel": 1})
    )
    return made


def test_outputs_come_from_the_labs_own_cli(stack: Stack) -> None:
    assert outputs.read(stack) == check_run_factory.outputs(LAB)
    calls = Path(f"{stack.paths.pulumi_home}.calls").read_text()
    assert calls == "stack output --json --stack dev\n"


def test_outputs_that_cannot_be_read_are_reported(stack: Stack) -> None:
    (stack.paths.state / "outputs").write_text("error")
    with pytest.raises(OverlabError, match="printed no JSON"):
        outputs.read(stack)
    (stack.paths.state / "outputs").unlink()
    with pytest.raises(OverlabError, match=r"stack output --json --stack dev` ended with exit code 1:\n +cat: "):
        outputs.read(stack)
    (stack.paths.bin / "pulumi").unlink()
    with pytest.raises(OverlabError, match="bin/pulumi` is not installed"):
        outputs.read(stack)


def test_a_stack_whose_up_never_ended_has_no_outputs() -> None:
    assert not outputs.parse("{}")
    assert outputs.parse('{"checks": null, "ports": {}}') == outputs.Outputs()


def test_report_data_is_everything_that_is_known(stack: Stack) -> None:
    bad = check_run_factory.run(LAB, check_run_factory.FAILURES)
    results.save(bad, results.file(stack.paths.state, "dev"))
    found = data.collect("dev", LAB)
    assert found.known.run == bad
    assert (found.outputs, found.pulumi, found.sources) == (
        check_run_factory.outputs(LAB),
        "3.1.4",
        {"image": "made here"},
    )


def test_what_a_test_learnt_stands_in_for_outputs_that_a_failed_up_did_not_leave(stack: Stack) -> None:
    (stack.paths.state / "outputs").write_text("{}")
    complete = check_run_factory.outputs(LAB)
    learnt = {"addresses": complete.addresses(), "ports": {"web2": {"80/tcp": 49160}}}
    learnt |= {
        "networks": {name: {"id": one["id"], "subnet": one["subnet"]} for name, one in complete.networks.items()}
    }
    file = results.file(stack.paths.state, "dev")
    results.save(check_run_factory.run(LAB).model_copy(update=learnt), file)
    found = data.collect("dev", LAB).outputs
    assert found.addresses() == complete.addresses()
    assert found.ports == {"web2": {"80/tcp": 49160}}
    assert found.networks["ov_net2"]["subnet"] == complete.networks["ov_net2"]["subnet"]
    # A test of a part knows only that part.
    part = check_run_factory.run(LAB, only=("t1",)).model_copy(update={"addresses": {"t1": {"ov_net1": "10.0.0.99"}}})
    results.save(part, file)
    found = data.collect("dev", LAB).outputs
    assert (found.addresses()["t1"], found.addresses()["t2"]) == ({"ov_net1": "10.0.0.99"}, {"ov_net1": "10.0.0.3"})


def test_a_lab_without_a_stack_has_only_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert data.collect("dev", LAB) == ReportData(LAB)
    with pytest.raises(OverlabError, match="the lab seed is not up"):
        lab_handle.open_lab("dev", LAB, Progress(quiet=True))


def event(at: int, kind: str) -> str:
    urn = "urn:pulumi:dev::overlab::o:index:Lab$o:index:Machine$l:x:D::a"
    return json.dumps({"timestamp": at, kind: {"metadata": {"urn": urn, "op": "create", "new": {"custom": True}}}})


def test_an_up_that_changed_nothing_does_not_forget_the_one_that_did(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = iter([f"{event(1, 'resourcePreEvent')}\n{event(9, 'resOutputsEvent')}\n", "", event(1, "preludeEvent")])

    def run(self: Stack, _: object, *, events: Path, say: object = None) -> Ended:
        events.write_text(next(logs))
        return Ended(0, interrupted=False)

    monkeypatch.setattr(Stack, "run", run)
    said = []
    for words in (["up"], ["up"], ["destroy"]):
        lifecycle._run(stack, words, Progress(quiet=True), timings=True)
        said.append("nothing changed, so no check ran" in capsys.readouterr().err)
    assert said == [False, True, False]
    assert [span.name for span in data.collect("dev", LAB).spans] == ["Machine/a"]
    assert phases.read(stack.event_log) == []


COMMAND = "command:remote:Command"


def state(stack: Stack, **triggers: str) -> None:
    """The state of two engines, with a check command for each node that is named."""
    engine = "urn:pulumi:dev::overlab::overlab:index:Lab$overlab:index:DockerEngine"
    commands: list[dict[str, Any]] = [
        {"urn": checks_urn(node), "type": COMMAND, "inputs": {"triggers": [f"instance of {node}", one]}}
        for node, one in triggers.items()
    ]
    pending = {"urn": checks_urn("n1"), "type": COMMAND, "inputs": {"triggers": ["earlier"]}, "delete": True}
    engines = [{"urn": f"{engine}::{node}-engine", "type": "overlab:index:DockerEngine"} for node in ("n1", "n2")]
    resources = [*engines, *commands, pending]
    stack.state_file.write_text(json.dumps({"checkpoint": {"latest": {"resources": resources}}}))


def checks_urn(node: str) -> str:
    component = "overlab:index:Lab$overlab:index:Connectivity"
    return f"urn:pulumi:dev::overlab::{component}$command:remote:Command::{node}-checks"


def test_a_complete_run_of_checks_is_not_repeated(stack: Stack) -> None:
    state(stack, n1="a", n2="a")
    assert check_commands.of_incomplete_run(stack_state.read(stack)) == []


def test_checks_are_repeated_with_those_of_a_node_that_failed(stack: Stack) -> None:
    state(stack, n2="a")
    assert check_commands.of_incomplete_run(stack_state.read(stack)) == [checks_urn("n2")]
    state(stack, n1="before", n2="a")
    assert check_commands.of_incomplete_run(stack_state.read(stack)) == [checks_urn("n1"), checks_urn("n2")]


def test_checks_are_repeated_where_one_reported_no_result(stack: Stack) -> None:
    state(stack, n1="a", n2="a")
    found = json.loads(stack.state_file.read_text())
    resources = found["checkpoint"]["latest"]["resources"]
    component = "overlab:index:Lab$overlab:index:Connectivity"
    declared = {"urn": f"urn:pulumi:dev::overlab::{component}::connectivity", "type": "overlab:index:Connectivity"}
    resources.append(declared | {"inputs": {"checks": ["kv:n1", "kv:n2"]}})
    resources[2]["outputs"] = {"stdout": '{"id": "kv:n1", "got": "pass"}\n{"id": "kv:n2", "got": "pass"}\n'}
    stack.state_file.write_text(json.dumps(found))
    assert check_commands.of_incomplete_run(stack_state.read(stack)) == []
    resources[2]["outputs"] = {"stdout": '{"id": "kv:n1", "got": "pass"}\n'}
    stack.state_file.write_text(json.dumps(found))
    assert check_commands.of_incomplete_run(stack_state.read(stack)) == [checks_urn("n1"), checks_urn("n2")]


def test_a_state_without_resources_has_no_checks_to_repeat(stack: Stack) -> None:
    stack.state_file.write_text('{"checkpoint": {"latest": null}}')
    assert check_commands.of_incomplete_run(stack_state.read(stack)) == []


@pytest.mark.parametrize("text", ["", "{}"])
def test_a_state_that_cannot_be_read_is_named(stack: Stack, text: str) -> None:
    stack.state_file.write_text(text)
    with pytest.raises(OverlabError, match="not a state of Pulumi's backend"):
        stack_state.read(stack)


def networks_in_state(stack: Stack, **subnets: str | None) -> None:
    component = "overlab:index:Lab$overlab:index:Networks$overlab:index:Network"
    resources = [
        {
            "urn": f"urn:pulumi:dev::overlab::{component}$docker:index/network:Network::{name}",
            "type": stack_state.DOCKER_NETWORK,
            "outputs": {"ipamConfigs": [{"subnet": subnet}] if subnet else []},
        }
        for name, subnet in subnets.items()
    ]
    stack.state_file.write_text(json.dumps({"checkpoint": {"latest": {"resources": resources}}}))


def lab_with(**subnets: str | None) -> Settings:
    networks = {
        name: {"created_on": "docker01", **({"subnet": subnet} if subnet else {})} for name, subnet in subnets.items()
    }
    return parse({"nodes": {"docker01": {}}, "networks": networks}, "dev")


def test_a_subnet_was_stated_that_an_automatic_network_has_already(stack: Stack) -> None:
    """K15: stopped before anything changes, with the owner's name."""
    networks_in_state(stack, ov_auto="10.0.0.0/24", ov_more="10.0.1.0/24", gone=None)
    wanted = lab_with(ov_auto=None, ov_more=None, ov2="10.0.0.0/24")
    with pytest.raises(SettingsError) as caught:
        running_subnets.refuse_taken(stack_state.read(stack), wanted)
    (problem,) = caught.value.problems
    assert (problem.path, problem.value) == ("lab.networks.ov2.subnet", '"10.0.0.0/24"')
    assert problem.rule == "free in the running lab; ov_auto has 10.0.0.0/24, which the engines picked for it"


@pytest.mark.parametrize(
    "wanted",
    [
        {"ov_auto": None, "ov2": "10.0.1.0/24"},
        # It is removed, or gets the range itself.
        {"ov2": "10.0.0.0/24"},
        {"ov_auto": "10.0.0.0/24"},
    ],
)
def test_a_subnet_that_no_automatic_network_keeps_is_free(stack: Stack, wanted: dict[str, str | None]) -> None:
    networks_in_state(stack, ov_auto="10.0.0.0/24")
    running_subnets.refuse_taken(stack_state.read(stack), lab_with(**wanted))


def servers_in_state(stack: Stack, kind: str, *nodes: str) -> None:
    component = "overlab:index:Lab$overlab:index:Store$overlab:index:StoreAgent"
    resources = [
        {
            "urn": f"urn:pulumi:dev::overlab::{component}$docker:index/container:Container::{node}-{kind}",
            "type": stack_state.CONTAINER,
            "id": f"{node}-id",
            "inputs": {"name": kind},
        }
        for node in nodes
    ]
    stack.state_file.write_text(json.dumps({"checkpoint": {"latest": {"resources": resources}}}))


def lab_on(**store: object) -> Settings:
    return parse({"nodes": {f"docker0{number}": {} for number in range(1, 5)}, "store": store}, "dev")


@pytest.mark.parametrize(
    ("running", "nodes", "wanted", "path"),
    [
        ("consul", ["docker01"], {"kind": "etcd"}, "lab.store.kind"),
        ("etcd", ["docker01"], {"kind": "consul", "servers": 3}, "lab.store.kind"),
        ("etcd", ["docker01"], {"kind": "etcd", "servers": 3}, "lab.store.servers"),
        ("etcd", ["docker01"], {"kind": "etcd", "node": "docker02"}, "lab.store.servers"),
    ],
)
def test_another_store_than_the_running_labs_is_refused(
    stack: Stack, running: str, nodes: list[str], wanted: dict[str, object], path: str
) -> None:
    servers_in_state(stack, running, *nodes)
    with pytest.raises(SettingsError) as caught:
        running_store.refuse_changed(stack_state.read(stack), lab_on(**wanted))
    (problem,) = caught.value.problems
    assert problem.path == path
    assert problem.remedy == "take the lab down first: overlab down"


@pytest.mark.parametrize(
    ("running", "nodes", "wanted"),
    [
        ("consul", ["docker01"], {"servers": 3}),
        ("etcd", ["docker01", "docker02", "docker03"], {"kind": "etcd", "servers": 3}),
        ("etcd", [], {"kind": "consul"}),
    ],
)
def test_a_store_that_stays_is_not_refused(
    stack: Stack, running: str, nodes: list[str], wanted: dict[str, object]
) -> None:
    servers_in_state(stack, running, *nodes)
    running_store.refuse_changed(stack_state.read(stack), lab_on(**wanted))
