"""A lab on several hypervisors under mocks: each has a provider, a pool and a network, and its own nodes' machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.config.settings import parse
from tests.components.recorder import Recorder, make_platform, run_lab

DOMAIN = "libvirt:index/domain:Domain"
NETWORK = "libvirt:index/network:Network"
POOL = "libvirt:index/pool:Pool"
PROVIDER = "pulumi:providers:libvirt"
VOLUME = "libvirt:index/volume:Volume"
URIS = {name: f"qemu+ssh://root@{name}/system" for name in ("hv1", "hv2", "hv3")}


def declare(directory: Path, **changes: Any) -> Recorder:
    raw: dict[str, Any] = {
        "name": "lab",
        "underlay": {"bridge": "br0"},
        "platform": {"hypervisors": {name: {"uri": uri} for name, uri in URIS.items()}},
        "nodes": {
            "docker01": {"hypervisor": "hv1"},
            "docker02": {"hypervisor": "hv2"},
            "docker03": {"hypervisor": "hv1"},
        },
        "networks": {"ov": {"created_on": "docker02", "subnet": "10.0.0.0/24"}},
        "workloads": {"t1": {"node": "docker01", "networks": ["ov"]}, "t2": {"node": "docker02", "networks": ["ov"]}},
    }
    settings = parse(raw | changes, "x")
    return run_lab(settings, make_platform(directory, settings))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    return declare(tmp_path_factory.mktemp("platform"))


def by_provider(lab: Recorder, type_: str) -> dict[str, set[str]]:
    """Provider -> names of the resources of a type that are its own."""
    found: dict[str, set[str]] = {}
    for item in lab.of(type_):
        found.setdefault(item.provider.rsplit("::", 1)[1], set()).add(item.name)
    return found


def test_a_provider_for_each_hypervisor_with_nodes(lab: Recorder) -> None:
    uris = {item.name: item.inputs["uri"] for item in lab.of(PROVIDER)}
    assert uris == {"hypervisor-hv1": URIS["hv1"], "hypervisor-hv2": URIS["hv2"]}


def test_each_has_one_pool_and_one_base(lab: Recorder) -> None:
    assert by_provider(lab, POOL) == {"hypervisor-hv1": {"storage-hv1"}, "hypervisor-hv2": {"storage-hv2"}}
    bases = {item.name: item.provider.rsplit("::", 1)[1] for item in lab.of(VOLUME) if "source" in item.inputs}
    assert bases == {"storage-hv1-base": "hypervisor-hv1", "storage-hv2-base": "hypervisor-hv2"}


def test_an_existing_bridge_is_used_and_no_network_created(lab: Recorder) -> None:
    assert not lab.of(NETWORK)
    for domain in lab.of(DOMAIN):
        (interface,) = domain.inputs["networkInterfaces"]
        assert interface["bridge"] == "br0"
        assert "networkId" not in interface


def test_all_of_a_machine_is_on_its_own_hypervisor(lab: Recorder) -> None:
    assert by_provider(lab, DOMAIN) == {
        "hypervisor-hv1": {"docker01-domain", "docker03-domain"},
        "hypervisor-hv2": {"docker02-domain"},
    }
    for node, hypervisor in (("docker01", "hv1"), ("docker02", "hv2"), ("docker03", "hv1")):
        own = [item for item in lab.declared.values() if item.name.startswith(f"{node}-")]
        disk, seed, domain = (next(i for i in own if i.name == f"{node}-{part}") for part in ("disk", "seed", "domain"))
        assert {item.provider.rsplit("::", 1)[1] for item in (disk, seed, domain)} == {f"hypervisor-{hypervisor}"}
        assert disk.inputs["baseVolumeId"] == f"storage-{hypervisor}-base_id"
        assert domain.inputs["type"] == "kvm"
        # A provider of another URI replaces nothing by itself.
        mac = domain.inputs["networkInterfaces"][0]["mac"].lower()
        assert disk.replacement_trigger == [hypervisor, "kvm", "br0", mac, 1, 1024]
        assert seed.replacement_trigger == [hypervisor]


def test_names_follow_from_a_hypervisors_name_and_not_from_how_many_there_are(lab: Recorder, tmp_path: Path) -> None:
    """Another one moves no machine."""
    one = {"docker01": {"hypervisor": "hv1"}, "docker03": {"hypervisor": "hv1"}}
    platform = {"hypervisors": {"hv1": {"uri": URIS["hv1"]}}}
    workloads = {"t1": {"node": "docker01", "networks": ["ov"]}}
    networks = {"ov": {"created_on": "docker01", "subnet": "10.0.0.0/24"}}
    alone = declare(tmp_path, nodes=one, platform=platform, workloads=workloads, networks=networks)
    libvirts = {urn for urn, item in alone.declared.items() if item.type.startswith(("libvirt:", PROVIDER))}
    assert libvirts
    assert libvirts <= lab.declared.keys()
    for urn in libvirts:
        assert alone.declared[urn].provider == lab.declared[urn].provider


def test_a_lab_whose_hypervisor_has_no_name_keeps_the_plain_names(tmp_path: Path) -> None:
    plain = declare(tmp_path, platform={}, underlay={}, nodes={"docker01": {}, "docker02": None})
    names = {item.name for type_ in (PROVIDER, POOL, NETWORK) for item in plain.of(type_)}
    assert names == {"hypervisor", "storage", "underlay"}
    (network,) = plain.of(NETWORK)
    assert (network.inputs["mode"], network.inputs["addresses"]) == ("none", ["10.99.0.0/24"])
    assert "bridge" not in network.inputs
    assert [item.replacement_trigger[:3] for item in plain.of(VOLUME) if item.replacement_trigger] == [
        ["", "qemu", "underlay_id"],
        ["", "qemu", "underlay_id"],
    ]
