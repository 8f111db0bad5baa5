"""Nodes on several hypervisors: what is refused, in which words, and what each of them is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from components.config.platform import Hypervisor, MachineImage, Platform
from components.config.settings import Problem, Settings, SettingsError, parse, require_hypervisors
from overlab import doctor
from overlab.core.errors import OverlabError
from overlab.core.paths import LabPaths
from overlab.core.progress import Progress
from overlab.inspect import machines
from overlab.platform import hypervisors, preflight, prepare, vm_image
from overlab.platform.manifest import inputs_digest
from tests.components.recorder import make_platform

HV1, HV2 = "qemu+ssh://root@hv1/system", "qemu+ssh://root@hv2/system"


def lab(**changes: Any) -> dict[str, Any]:
    """Two nodes on two hypervisors, with whole sections replaced."""
    raw: dict[str, Any] = {
        "underlay": {"bridge": "br0"},
        "platform": {"hypervisors": {"hv1": {"uri": HV1}, "hv2": {"uri": HV2, "pool_dir": "/srv/pools/"}}},
        "nodes": {"docker01": {"hypervisor": "hv1"}, "docker02": {"hypervisor": "hv2"}},
    }
    return raw | changes


def problems(raw: dict[str, Any]) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as refused:
        parse(raw, "x")
    return refused.value.problems


def only(raw: dict[str, Any]) -> Problem:
    (found,) = problems(raw)
    assert found.remedy
    return found


def test_nodes_on_two_hypervisors_with_a_bridge_between_them() -> None:
    settings = parse(lab(), "x")
    assert {key: node.hypervisor for key, node in settings.nodes.items()} == {"docker01": "hv1", "docker02": "hv2"}
    assert settings.hypervisors == ("hv1", "hv2")
    assert hypervisors.kind_of(settings) == "system"


def test_without_names_there_is_one_without_a_name() -> None:
    assert parse({"nodes": {"docker01": None}}, "x").hypervisors == ("",)
    assert parse({"nodes": {"docker01": None}, "platform": {"uri": HV1}}, "x").hypervisors == ("",)


def test_a_single_named_one_needs_neither_placement_nor_bridge() -> None:
    raw = lab(platform={"hypervisors": {"hv1": {"uri": HV1}}}, nodes={"docker01": None, "docker02": {}}, underlay={})
    assert parse(raw, "x").hypervisors == ("hv1",)


def test_one_that_no_node_is_on_needs_no_bridge() -> None:
    raw = lab(nodes={"docker01": {"hypervisor": "hv2"}}, underlay={})
    assert parse(raw, "x").hypervisors == ("hv2",)


def test_unknown_hypervisor() -> None:
    found = only(lab(nodes={"docker01": {"hypervisor": "hv3"}}))
    assert found.path == "lab.nodes.docker01.hypervisor"
    assert (found.value, found.remedy) == ('"hv3"', "one of: hv1, hv2")
    found = only({"nodes": {"docker01": {"hypervisor": "hv1"}}})
    assert "name it in platform.hypervisors" in found.remedy


def test_a_node_without_one_of_several() -> None:
    # Where it will be is not known, so neither is whether a bridge is needed.
    found = only(lab(nodes={"docker01": {}, "docker02": {"hypervisor": "hv2"}}, underlay={}))
    assert (found.path, found.remedy) == ("lab.nodes.docker01.hypervisor", "one of: hv1, hv2")


def test_several_without_a_network_that_spans_them() -> None:
    found = only(lab(underlay={}))
    assert found.path == "lab.underlay.bridge"
    assert "several hypervisors (hv1, hv2)" in found.rule


def test_named_ones_on_a_bundled_platform() -> None:
    raw = lab()
    raw["platform"]["kind"] = "bundled"
    assert only(raw).path == "lab.platform.hypervisors"


def test_named_ones_beside_an_unnamed_one() -> None:
    raw = lab()
    raw["platform"]["uri"] = "qemu:///system"
    assert only(raw).path == "lab.platform.uri"


def test_two_names_for_one() -> None:
    found = only(lab(platform={"hypervisors": {"hv1": {"uri": HV1}, "hv2": {"uri": HV1}}}))
    assert found.path == "lab.platform.hypervisors.hv2.uri"
    assert "hv1 is this one" in found.rule


@pytest.mark.parametrize("platform", [{}, {"kind": "bundled"}])
def test_a_bridge_on_a_bundled_platform(platform: dict[str, Any]) -> None:
    assert (
        only({"nodes": {"docker01": {}}, "underlay": {"bridge": "br0"}, "platform": platform}).path
        == "lab.underlay.bridge"
    )


@pytest.mark.parametrize("mode", ["nat", "isolated"])
def test_a_bridge_beside_a_mode(mode: str) -> None:
    found = only(lab(underlay={"bridge": "br0", "mode": mode}))
    assert (found.path, found.value) == ("lab.underlay.mode", f'"{mode}"')


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"underlay": {"bridge": "a" * 16}}, "lab.underlay.bridge"),
        ({"underlay": {"bridge": "br0' mac='x"}}, "lab.underlay.bridge"),
        ({"platform": {"hypervisors": {"HV": {"uri": HV1}}}, "nodes": {"docker01": {}}}, "lab.platform.hypervisors.HV"),
        ({"platform": {"hypervisors": {"hv1": {}, "hv2": {"uri": HV2}}}}, "lab.platform.hypervisors.hv1.uri"),
        (
            {"platform": {"hypervisors": {"hv1": {"uri": HV1, "pool_dir": "x"}, "hv2": {"uri": HV2}}}},
            "lab.platform.hypervisors.hv1.pool_dir",
        ),
    ],
)
def test_what_cannot_be_read_is_reported_once(change: dict[str, Any], path: str) -> None:
    """A node on a hypervisor that could not be read is on one that is known."""
    assert only(lab(**change)).path == path


def test_everything_is_reported_at_once() -> None:
    raw = lab(
        underlay={"mode": "nat"},
        platform={"uri": HV1, "hypervisors": {"hv1": {"uri": HV1}, "hv2": {"uri": HV1}}},
        nodes={"docker01": {}, "docker02": {"hypervisor": "hv9"}, "docker03": {"hypervisor": "hv1"}}
        | {"docker04": {"hypervisor": "hv2"}},
    )
    assert {one.path for one in problems(raw)} == {
        "lab.nodes.docker01.hypervisor",
        "lab.nodes.docker02.hypervisor",
        "lab.underlay.bridge",
        "lab.platform.uri",
        "lab.platform.hypervisors.hv2.uri",
    }


# -- the platform ------------------------------------------------------------------------------------


@pytest.fixture
def settings() -> Settings:
    return parse(lab(), "x")


@pytest.fixture
def progress() -> Progress:
    return Progress(quiet=True)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let libvirts answer, by URI."""

    def let(**by_uri: set[str]) -> None:
        def types(uri: str) -> set[str]:
            for name, found in by_uri.items():
                if name in uri:
                    return found
            raise OverlabError(f"the hypervisor {uri} does not answer: silence", "wake it")

        monkeypatch.setattr(hypervisors, "_domain_types", types)

    return let


def test_each_is_asked_and_has_a_pool_of_its_own(
    settings: Settings, answering: Callable[..., None], progress: Progress
) -> None:
    answering(hv1={"kvm", "qemu"}, hv2={"qemu"})
    found = hypervisors.ensure(settings, LabPaths("x"), progress)
    assert {name: (one.uri, one.pool_path, one.acceleration.domain_type) for name, one in found.items()} == {
        "hv1": (HV1, "/var/lib/libvirt/images/overlab-x", "kvm"),
        "hv2": (HV2, "/srv/pools/overlab-x", "qemu"),
    }


@pytest.mark.parametrize(("second", "emulated"), [("qemu", False), ("kvm", False), (None, True)])
def test_an_image_is_for_emulation_only_where_no_hypervisor_has_kvm(
    settings: Settings,
    answering: Callable[..., None],
    progress: Progress,
    monkeypatch: pytest.MonkeyPatch,
    second: str | None,
    emulated: bool,
) -> None:
    answering(hv1={"qemu"} if second is None else {"kvm", "qemu"}, hv2={second or "qemu"})
    asked = []

    def ensure(_: Progress, *, emulated: bool) -> MachineImage:
        asked.append(emulated)
        return MachineImage(source="/image", content_hash="0" * 16)

    monkeypatch.setattr(vm_image, "ensure", ensure)
    found: Future[dict[str, hypervisors.HypervisorInfo]] = Future()
    found.set_result(hypervisors.ensure(settings, LabPaths("x"), progress))
    prepare._image(settings, found, progress)
    assert asked == [emulated]


def test_all_that_do_not_answer_are_named(
    settings: Settings, answering: Callable[..., None], progress: Progress
) -> None:
    answering()
    with pytest.raises(OverlabError, match=r"root@hv1.* does not answer.*; .*root@hv2.* does not answer"):
        hypervisors.ensure(settings, LabPaths("x"), progress)


def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import libvirt

    monkeypatch.setattr(hypervisors, "_LIMIT_S", 0.1)

    def late(_: str) -> MagicMock:
        time.sleep(1)
        return MagicMock()

    monkeypatch.setattr(libvirt, "open", late)
    with pytest.raises(OverlabError, match=r"hv1/system does not answer: no answer within 0\.1 s"):
        hypervisors.connect(HV1)


def test_the_doctor_examines_each(
    settings: Settings, answering: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(hv1={"kvm"})
    monkeypatch.setattr(hypervisors, "has_bridge", lambda _uri, _name: False)
    found = {one.part: (one.status, one.found) for one in doctor._hypervisors(settings)}
    assert found["hypervisor hv1"] == ("ok", f"{HV1} answers; kvm: as libvirt at {HV1} reports")
    assert found["hypervisor hv1: bridge"] == ("missing", "no device br0")
    assert found["hypervisor hv2"][0] == "missing"
    assert not doctor.healthy(doctor._hypervisors(settings))


def test_placement_is_part_of_what_a_platform_follows_from(settings: Settings) -> None:
    moved = parse(lab(nodes={"docker01": {"hypervisor": "hv2"}, "docker02": {"hypervisor": "hv2"}}), "x")
    assert inputs_digest(moved, {}) != inputs_digest(settings, {})


def test_memory_of_this_machine_is_asked_for_machines_on_it_alone(settings: Settings) -> None:
    assert preflight.memory(settings).found == "all machines are elsewhere"
    here = lab(platform={"hypervisors": {"hv1": {"uri": "qemu:///system"}, "hv2": {"uri": HV2}}})
    assert "the machines take 1024 MiB" in preflight.memory(parse(here, "x")).found


def test_a_record_of_other_hypervisors_is_refused(settings: Settings, tmp_path: Path) -> None:
    other = make_platform(tmp_path, settings).model_copy(
        update={"hypervisors": {"hv1": Hypervisor(uri=HV1, pool_path="/p", domain_type="kvm")}}
    )
    with pytest.raises(SettingsError, match=r"lacks hv2(?s:.*)overlab up"):
        require_hypervisors(other, settings)
    assert require_hypervisors(make_platform(tmp_path, settings), settings).hypervisors_by_name.keys() == {"hv1", "hv2"}


def test_each_machine_is_looked_up_on_its_hypervisor(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def domain_states(prefix: str, _limit_s: float, uri: str) -> dict[str, str] | str:
        return {f"{prefix}docker01": machines.RUNNING} if "hv1" in uri else "no route to hv2"

    monkeypatch.setattr(machines, "_domain_states", domain_states)
    platform: Platform = make_platform(tmp_path, settings)
    assert machines.states(settings, platform) == {"docker01": "running", "docker02": "unknown: no route to hv2"}


@pytest.mark.parametrize(("devices", "found"), [(["eth0", "br0"], True), (["eth0", "br0-x"], False), ([], None)])
def test_a_bridge_is_looked_up_among_the_devices(
    devices: list[str], found: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import libvirt

    connection = MagicMock()
    connection.listDevices.side_effect = {"net": devices}.get
    connection.nodeDeviceLookupByName.side_effect = lambda name: MagicMock(
        XMLDesc=lambda: f"<device><capability type='net'><interface>{name}</interface></capability></device>"
    )
    monkeypatch.setattr(libvirt, "open", {HV1: connection}.get)
    assert hypervisors.has_bridge(HV1, "br0") is found
    connection.close.assert_called_once_with()
