"""What people did in public bug reports, where the resources decide: the lab under mocks."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from components.config import conventions
from components.config.settings import parse
from tests.components.recorder import Declared, Recorder, make_platform, run_lab

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
BASE: dict[str, Any] = {
    "underlay": {"cidr": "10.96.0.0/24"},
    "nodes": {"docker01": {}, "docker02": {}, "docker03": {}},
    "networks": {"ov1": {"created_on": "docker01", "subnet": "10.20.0.0/24"}, "ov2": {"created_on": "docker02"}},
    "workloads": {
        "a1": {"node": "docker01", "networks": ["ov1", "ov2"]},
        "b1": {"node": "docker02", "networks": ["ov1"]},
    },
}


def lab(tmp_path: Path, **changes: Any) -> Recorder:
    settings = parse(copy.deepcopy(BASE) | changes, "case")
    return run_lab(settings, make_platform(tmp_path, settings))


def overlays(recorded: Recorder) -> dict[str, Declared]:
    return {one.name: one for one in recorded.of(NETWORK) if one.inputs["driver"] == "overlay"}


def engine_script(recorded: Recorder, node: str) -> str:
    (found,) = [one for one in recorded.of("command:remote:Command") if one.name == f"{node}-dockerd"]
    return str(found.inputs["stdin"])


def test_the_underlay_had_an_mtu_below_1500(tmp_path: Path) -> None:
    """K01: whatever is between workloads and the underlay follows it."""
    networks = copy.deepcopy(BASE["networks"])
    networks["ov2"]["mtu"] = 1300
    found = lab(tmp_path, underlay={"cidr": "10.96.0.0/24", "mtu": 1400}, networks=networks)
    key = "com.docker.network.driver.mtu"
    assert {name: one.inputs["options"] for name, one in overlays(found).items()} == {
        "ov1": {key: "1400"},
        "ov2": {key: "1300"},
    }
    for node in BASE["nodes"]:
        script = engine_script(found, node)
        assert '"mtu": 1400' in script
        assert "\nwanted_mtu=1400\n" in script


def test_the_underlay_had_the_usual_mtu(tmp_path: Path) -> None:
    found = lab(tmp_path)
    assert not any(one.inputs.get("options") for one in overlays(found).values())
    assert '"mtu"' not in engine_script(found, "docker01")
    assert "\nwanted_mtu=''\n" in engine_script(found, "docker01")


@pytest.mark.parametrize(
    ("image", "idles"),
    [
        ("docker.io/library/busybox:1.35", True),
        ("library/busybox:1.35", True),
        ("busybox@sha256:ab", True),
        ("busybox:1.35@sha256:ab", True),
        ("nginx:1.18", False),
    ],
)
def test_one_image_was_written_in_several_ways(tmp_path: Path, image: str, idles: bool) -> None:
    """K11: a busybox idles in each spelling."""
    found = lab(tmp_path, workloads={"a1": {"node": "docker01", "networks": ["ov1"], "image": image}})
    (container,) = [one for one in found.of(CONTAINER) if one.name == "a1"]
    assert container.inputs.get("command") == (list(conventions.IDLE) if idles else None)


def test_one_number_was_published_by_tcp_and_by_udp(tmp_path: Path) -> None:
    """K16: two ports."""
    found = lab(tmp_path, workloads={"a1": {"node": "docker01", "networks": ["ov1"], "ports": ["53:53/udp", "53:53"]}})
    (container,) = [one for one in found.of(CONTAINER) if one.name == "a1"]
    assert [(port["external"], port["protocol"]) for port in container.inputs["ports"]] == [(53, "tcp"), (53, "udp")]


@pytest.mark.parametrize("servers", [1, 3])
def test_another_node_was_named_that_creates_an_overlay(tmp_path: Path, servers: int) -> None:
    """K19: only the engine that is asked changes: no input of an overlay, a container or a check does."""
    moved = copy.deepcopy(BASE["networks"])
    moved["ov1"]["created_on"] = "docker03"
    before, after = (
        {one.urn: one for one in lab(tmp_path, store={"servers": servers}, networks=networks).declared.values()}
        for networks in (BASE["networks"], moved)
    )
    assert before.keys() == after.keys()
    resources = [urn for urn, one in before.items() if not one.type.startswith(("overlab:", "pulumi:"))]
    assert [urn for urn in resources if before[urn].inputs != after[urn].inputs] == []
    changed = [before[urn].name for urn in resources if before[urn].provider != after[urn].provider]
    assert changed == ["ov1"]


def test_the_stores_node_got_more_disk(tmp_path: Path) -> None:
    """K23: its disk is another one, and with it the machine, the store and every overlay; the other machines stay."""
    before, after = (
        lab(tmp_path, nodes=BASE["nodes"] | {"docker01": {"machine": {"disk_gib": size}}}).declared for size in (8, 12)
    )
    changed = [
        urn
        for urn, one in before.items()
        if one.type.startswith("libvirt:")
        and (one.inputs, one.replacement_trigger) != (after[urn].inputs, after[urn].replacement_trigger)
    ]
    (disk,) = changed
    assert before[disk].name == "docker01-disk"
    (domain,) = [one for one in before.values() if one.name == "docker01-domain"]
    assert disk in domain.dependencies
    gone = {one.name for one in before.values() if one.deleted_with == domain.urn}
    assert {"ov1", "ov2", "docker01-consul", "docker01-store-data", "a1"} <= gone
    assert "b1" not in gone


def test_the_lab_was_renumbered(tmp_path: Path) -> None:
    """K24: nothing but overlays keeps an address of the old range."""
    found = lab(tmp_path, underlay={"cidr": "10.95.0.0/24"})
    texts = {one.urn: str(one.inputs) for one in found.declared.values()}
    assert [urn for urn, text in texts.items() if "10.96." in text] == []
    assert any("10.95.0.11" in text for text in texts.values())
