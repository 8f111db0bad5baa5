"""Before and after an operation: what is refreshed, waited for, removed on nodes, and tried once more."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from components import node_host
from components.config.platform import Platform
from components.config.settings import Settings
from overlab import openssh
from overlab.core.errors import OverlabError
from overlab.core.progress import Progress
from overlab.platform.private_dockerd import PrivateDockerd
from overlab.stack import convergence as module
from overlab.stack import engines, event_log, leftovers, libvirt_objects, state
from overlab.stack.convergence import Convergence
from overlab.stack.engines import Engines
from overlab.stack.foreground import Ended
from overlab.stack.lab_object import LabObject, Standing
from overlab.stack.leftovers import Survey
from overlab.stack.stack import Stack
from overlab.stack.state import CONTAINER, DOCKER_NETWORK, DOMAIN, Resource, State

URI = "qemu:///system"
ENGINE = "ssh://root@10.96.15.11"
PLATFORM = cast(Platform, SimpleNamespace(node_engine=None, hypervisors_by_name={}))
# A file in containers/ has the label and a name; one in networks/ a name; the file's name is the id.
_DOCKER = """\
#!/bin/sh
cd {directory}
echo "$*" >>calls
[ ! -e silent ] || {{ echo "Cannot connect to the Docker daemon" >&2; exit 1; }}
for word; do last=$word; done
case "$1 $2" in
"ps --all") case $last in label=*) grep -l "^$last_label" containers/* | sed 's|.*/||' ;; *) ls containers ;; esac ;;
"container inspect") echo "/$(cut -d' ' -f2 "containers/$last")" ;;
"rm --force") rm "containers/$last" ;;
"network ls") ls networks ;;
"network inspect") cat "networks/$last" ;;
"network rm") grep -lx "$last" networks/* | xargs rm; echo "$last" ;;
esac
"""


def resource(type_: str, name: str, id_: str = "", host: str = URI) -> Resource:
    return Resource(f"urn:pulumi:t::overlab::{type_}::{name}", type_, id_ or name, name, host)


MACHINE = resource(DOMAIN, "docker01-domain", "uuid-1")
WORKLOAD = resource(CONTAINER, "t1", "id-t1", ENGINE)
NETWORK = resource(DOCKER_NETWORK, "ov_net1", "id-n1", ENGINE)


class FakeStack:
    """Records what Pulumi is asked for; a refresh drops from the state what is in ``vanished``."""

    name = "t"

    def __init__(self, *resources: Resource, creating: tuple[Resource, ...] = (), code: int = 0) -> None:
        self.state = State(resources, creating, (URI,), (ENGINE,))
        self.vanished: set[str] = set()
        self.calls: list[list[str]] = []
        self.code = code

    def run(self, args: Sequence[str], **_: object) -> Ended:
        self.calls.append(list(args))
        left = tuple(one for one in self.state.resources if one.urn not in self.vanished)
        self.state = State(left, (), (URI,), (ENGINE,))
        return Ended(self.code, interrupted=False)

    @property
    def targets(self) -> list[list[str]]:
        """Names of what each refresh was of."""
        split = [
            [a.rsplit("::")[-1] for flag, a in itertools.pairwise(one) if flag == "--target"] for one in self.calls
        ]
        assert all(one[0] == "refresh" for one in self.calls)
        return split


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[LabObject]:
    """What is on the hypervisor: append to it."""
    objects: list[LabObject] = []
    monkeypatch.setattr(
        leftovers, "survey", lambda _lab, _platform, known, _nodes=(): Survey(known, (URI,), None, tuple(objects))
    )
    monkeypatch.setattr(state, "read", lambda stack: stack.state)
    return objects


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the only node's engine: a program ``docker`` that keeps its objects in files."""
    for name in ("containers", "networks", "bin"):
        (tmp_path / name).mkdir()
    program = tmp_path / "bin" / "docker"
    program.write_text(_DOCKER.format(directory=tmp_path).replace("$last_label", "$(echo $last | sed s/label=//)"))
    program.chmod(0o755)

    def local(_lab: str, _platform: Platform, address: str, cmd: Sequence[str], **_: object) -> list[str]:
        assert address == "10.96.15.11"
        return ["env", f"PATH={tmp_path}/bin:/usr/bin:/bin", *cmd]

    monkeypatch.setattr(openssh, "to_address", local)
    return tmp_path


def machine(standing: Standing) -> LabObject:
    return LabObject("domain", "overlab-a-docker01", "uuid-1", URI, standing)


def converge(stack: FakeStack) -> tuple[Convergence, io.StringIO]:
    out = io.StringIO()
    progress = Progress(Console(file=out, width=60))
    return Convergence(cast(Stack, stack), "a", PLATFORM, progress, lambda _: None), out


SETTINGS = cast(Settings, SimpleNamespace(nodes={"docker01": None}, networks={"ov_net1": None}))


def failed(one: Resource, op: str) -> dict[str, Any]:
    return {"resOpFailedEvent": {"metadata": {"urn": one.urn, "type": one.type, "op": op}}}


# -- before ----------------------------------------------------------------------------------------


def test_where_all_agree_an_up_is_preceded_by_nothing(found: list[LabObject]) -> None:
    found.append(machine("known"))
    stack = FakeStack(MACHINE, WORKLOAD)
    one, out = converge(stack)
    one.before_up(SETTINGS)
    assert (stack.calls, out.getvalue()) == ([], "")


def test_a_machine_that_is_gone_is_refreshed_alone(found: list[LabObject]) -> None:
    assert found == []
    stack = FakeStack(MACHINE, WORKLOAD)
    one, out = converge(stack)
    one.before_up(SETTINGS)
    assert stack.targets == [["docker01-domain"]]
    assert out.getvalue() == "gone or stopped, refreshing: docker01-domain\n"


@pytest.mark.parametrize("error", [None, OverlabError("no memory")])
def test_a_machine_that_is_off_is_started_and_refreshed_where_it_does_not_start(
    found: list[LabObject], monkeypatch: pytest.MonkeyPatch, error: OverlabError | None
) -> None:
    def start(one: LabObject) -> None:
        assert one.key == "uuid-1"
        if error is not None:
            raise error

    monkeypatch.setattr(libvirt_objects, "start", start)
    found.append(machine("stopped"))
    stack = FakeStack(MACHINE, WORKLOAD)
    one, out = converge(stack)
    one.before_up(SETTINGS)
    assert stack.targets == ([] if error is None else [["docker01-domain"]])
    said = out.getvalue().splitlines()[0]
    assert said.startswith("started domain" if error is None else "not started: domain overlab-a-docker01")


def test_a_failed_refresh_stops_the_up(found: list[LabObject]) -> None:
    assert found == []
    with pytest.raises(OverlabError, match="`pulumi refresh` of docker01-domain ended with exit code 255"):
        converge(FakeStack(MACHINE, code=255))[0].before_up(SETTINGS)


def test_what_an_update_was_killed_in_creating_on_a_node_is_removed(found: list[LabObject], node: Path) -> None:
    found.append(machine("known"))
    (node / "containers" / "id-t1").write_text("overlab.machine t1")
    (node / "containers" / "id-t2").write_text("overlab.machine t2")
    (node / "containers" / "id-x").write_text("none x")
    (node / "networks" / "id-n1").write_text("ov_net1")
    (node / "networks" / "id-n2").write_text("ov_net2")
    pending = (resource(CONTAINER, "t2", host=ENGINE), resource(DOCKER_NETWORK, "ov_net2", host=ENGINE))
    stack = FakeStack(MACHINE, WORKLOAD, NETWORK, resource("pulumi:pulumi:Stack", "overlab-t"), creating=pending)
    one, out = converge(stack)
    one.before_up(SETTINGS)
    assert out.getvalue().splitlines() == [
        "removed container t2 on 10.96.15.11: the state does not have it",
        "removed network ov_net2 on 10.96.15.11: the state does not have it",
    ]
    assert sorted(path.name for path in node.glob("*/id-*")) == ["id-n1", "id-t1", "id-x"]
    assert stack.targets == [["overlab-t"]]
    assert "--clear-pending-creates" in stack.calls[0]


def test_the_label_is_the_programs() -> None:
    assert engines.INSTANCE_LABEL == node_host.INSTANCE_LABEL


# -- refresh ---------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_LIMIT_S", 0.5)
    limited = Engines.require
    monkeypatch.setattr(Engines, "require", lambda self, known, progress: limited(self, known, progress, 2.0))


@pytest.mark.usefixtures("impatient")
def test_a_refresh_waits_for_an_engine_that_is_restarting(found: list[LabObject], node: Path) -> None:
    found.append(machine("known"))
    (node / "silent").touch()
    program = node / "bin" / "docker"
    program.write_text(program.read_text() + '[ "$(wc -l <calls)" -lt 2 ] || rm -f silent\n')
    program.write_text(program.read_text().replace("[ ! -e silent ]", '[ "$(wc -l <calls)" -ge 2 ]'))
    converge(FakeStack(MACHINE, WORKLOAD))[0].before_refresh()
    assert len((node / "calls").read_text().splitlines()) == 2


@pytest.mark.usefixtures("impatient")
def test_a_refresh_is_refused_where_an_engine_stays_silent(found: list[LabObject], node: Path) -> None:
    found.append(machine("known"))
    (node / "silent").touch()
    with pytest.raises(OverlabError, match=r"10\.96\.15\.11: Cannot connect to the Docker daemon\n  remedy: "):
        converge(FakeStack(MACHINE, WORKLOAD))[0].before_refresh()


def test_a_refresh_is_refused_where_a_machine_is_off_which_the_state_then_has(found: list[LabObject]) -> None:
    found.append(machine("stopped"))
    stack = FakeStack(MACHINE, WORKLOAD)
    with pytest.raises(OverlabError, match=r"docker01-domain does not run.*\n  remedy: overlab up"):
        converge(stack)[0].before_refresh()
    assert stack.targets == [["docker01-domain"]]


# -- after a failure -------------------------------------------------------------------------------


def test_a_delete_of_what_is_gone_is_tried_once_more(found: list[LabObject]) -> None:
    found.append(machine("known"))
    stack = FakeStack(MACHINE, WORKLOAD)
    stack.vanished = {MACHINE.urn}
    one, out = converge(stack)
    assert one.after_failure([failed(MACHINE, "delete")])
    assert stack.targets == [["docker01-domain"]]
    assert out.getvalue().splitlines()[-1] == "gone: docker01-domain; trying once more"


def test_a_failure_of_something_that_exists_is_not_tried_again(found: list[LabObject]) -> None:
    found.append(machine("known"))
    stack = FakeStack(MACHINE)
    assert not converge(stack)[0].after_failure([failed(MACHINE, "update"), failed(NETWORK, "create")])
    assert stack.targets == [["docker01-domain"]]


@pytest.mark.usefixtures("impatient", "found")
def test_what_is_on_a_silent_engine_is_not_refreshed(node: Path) -> None:
    (node / "silent").touch()
    stack = FakeStack(NETWORK)
    stack.vanished = {NETWORK.urn}
    assert not converge(stack)[0].after_failure([failed(NETWORK, "update")])
    assert stack.calls == []


@pytest.mark.usefixtures("found")
def test_a_name_that_is_taken_on_a_node_is_freed(node: Path) -> None:
    (node / "containers" / "id-t9").write_text("overlab.machine t9")
    (node / "networks" / "id-old").write_text("ov_net1")
    (node / "networks" / "id-mine").write_text("by_hand")
    stack = FakeStack(MACHINE)
    one, out = converge(stack)
    assert one.after_failure([failed(NETWORK, "create")], ["ov_net1"])
    assert "removed network ov_net1 on 10.96.15.11: the state does not have it" in out.getvalue()
    assert [path.name for path in node.glob("*/id-*")] == ["id-mine"]
    assert not one.after_failure([failed(NETWORK, "create")], ["ov_net1"])


def test_a_node_container_with_a_paused_workload_is_tried_once_more(
    found: list[LabObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = "unix:///run/overlab/a/docker/docker.sock"
    node = Resource("urn:pulumi:t::overlab::c::docker01-container", CONTAINER, "id-1", "overlab-a-docker01", outer)
    frozen, thawed = ["docker01"], []

    def thaw(_: PrivateDockerd, node: str) -> bool:
        thawed.append(node)
        return node in frozen

    monkeypatch.setattr(PrivateDockerd, "thaw", thaw)
    stack = FakeStack(node)
    convergence, out = converge(stack)
    assert not convergence.after_failure([failed(node, "delete")])
    assert thawed == []
    engine = SimpleNamespace(docker_host=outer)
    convergence = replace(convergence, platform=cast(Platform, SimpleNamespace(node_engine=engine)))
    assert convergence.after_failure([failed(node, "delete")])
    assert out.getvalue().splitlines()[-1] == "paused workloads are thawed; trying once more"
    frozen.clear()
    assert not convergence.after_failure([failed(node, "delete")])
    thawed.clear()
    found.append(LabObject("container", "overlab-a-docker02", "id-2", outer, "known"))
    convergence.before_down()
    assert thawed == ["docker02"]


# -- the state, the events -------------------------------------------------------------------------


def test_a_state_is_read_from_an_export() -> None:
    provider = {"urn": "urn:p", "type": "pulumi:providers:libvirt", "inputs": {"uri": URI}}
    seed = {
        "urn": "urn:s::seed",
        "type": state.SEED,
        "id": "/pool/a.iso;some-uuid",
        "provider": "urn:p::the-id",
        "inputs": {"name": "a.iso"},
    }
    component = {"urn": "urn:c::c", "type": "overlab:index:Lab"}
    pending = [{"resource": seed, "type": "creating"}, {"resource": component, "type": "deleting"}]
    latest = {"resources": [provider, seed, component], "pending_operations": pending}
    text = json.dumps({"checkpoint": {"latest": latest}})
    known = state.parse(text)
    assert known.keys(URI, state.SEED) == {"/pool/a.iso"}
    assert known.keys("other", state.SEED) == frozenset()
    assert [one.logical_name for one in known.creating] == ["seed"]
    assert known.hypervisors == (URI,)
    assert state.parse('{"checkpoint": {"latest": null}}') == State()
    with pytest.raises(OverlabError, match="not a state"):
        state.parse("nonsense")


def test_running_are_the_steps_that_have_begun_and_not_ended() -> None:
    def event(kind: str, name: str) -> dict[str, Any]:
        return {kind: {"metadata": {"urn": f"urn:pulumi:t::overlab::o:index:Machine$l:x:D::{name}"}}}

    events = [event("resourcePreEvent", "a"), event("resourcePreEvent", "b"), event("resourcePreEvent", "c")]
    events += [event("resOutputsEvent", "a"), event("resOpFailedEvent", "c"), {"summaryEvent": {}}]
    assert event_log.running(events) == ["Machine/b"]


def test_after_a_down_what_was_removed_is_looked_for_again(
    found: list[LabObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that a hypervisor did not remove is named."""
    removed: list[str] = []
    monkeypatch.setattr(libvirt_objects, "remove", lambda _uri, objects: removed.extend(map(str, objects)))
    found.append(machine("unknown"))
    left, any_removed = converge(FakeStack())[0].after_down()
    assert (removed, any_removed) == (["domain overlab-a-docker01 on qemu:///system"], True)
    with pytest.raises(OverlabError, match="left of lab a: domain overlab-a-docker01 on qemu:///system"):
        leftovers.refuse_left(left, "a")
    found.clear()
    left, any_removed = converge(FakeStack())[0].after_down()
    assert not any_removed
    leftovers.refuse_left(left, "a")


def test_what_is_removed_on_a_node_may_be_gone_already_and_its_engine_is_repaired(
    found: list[LabObject], node: Path
) -> None:
    for name in ("id-t1", "id-t2"):
        (node / "containers" / name).write_text("label t")
    (node / "networks" / "id-n1").write_text("id-n1")
    others = [resource(CONTAINER, name, f"id-{name}", ENGINE) for name in ("t2", "gone")]
    stack = FakeStack(WORKLOAD, *others, NETWORK)
    converge(stack)[0].remove(stack.state.resources)
    calls = (node / "calls").read_text().splitlines()
    removals = [f"rm --force --volumes {id_}" for id_ in ("id-t1", "id-t2")]
    assert [one for one in calls if "rm " in one] == [*removals, "network rm id-n1"]
    # The engine answers again before anything else is asked of it.
    assert calls.index("network ls --quiet --no-trunc") < calls.index("network rm id-n1")
    assert stack.targets == [["t1", "t2", "gone", "ov_net1"]]
    (node / "silent").touch()
    with pytest.raises(OverlabError, match="Cannot connect to the Docker daemon"):
        converge(stack)[0].remove(stack.state.resources)
