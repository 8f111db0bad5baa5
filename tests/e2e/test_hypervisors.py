"""A lab on two hypervisors that existed before: a system platform, machines on a bridge that spans both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import multi_hypervisor
from tests.e2e.lab import RealLab, stack_file
from tests.e2e.multi_hypervisor import BRIDGE, Site

STACK = "bridged"
ROUTER = "10.98.0.1"
SETTINGS = """\
config:
  overlab:lab:
    platform:
      kind: system
      registry_mirror: http://{router}:5000
      hypervisors:
        hv1: {{uri: "{uris[0]}", pool_dir: {pools[0]}}}
        hv2: {{uri: "{uris[1]}", pool_dir: {pools[1]}}}
    underlay: {{bridge: {bridge}, cidr: 10.98.0.0/24}}
    machine: {{vcpu: 1, memory_mib: 1024}}
    nodes:
      docker01: {{hypervisor: hv1, machine: {{memory_mib: {memory}}}}}
      docker02: {{hypervisor: {second}}}
    engine: {{version: "20.10", install: preinstalled}}
    store: {{kind: consul}}
    networks:
      ov_net1: {{created_on: docker02, subnet: 10.0.0.0/24}}
    workloads:
      t1: {{node: docker01, networks: [ov_net1]}}
      t2: {{node: docker02, networks: [ov_net1]}}
"""
DOMAIN = f"overlab-{STACK}"


def settings(site: Site, second: str = "hv2", memory: int = 1024) -> str:
    """The stack's file with ``docker02`` on the hypervisor ``second`` and so many MiB for ``docker01``."""
    uris = [site.uri(name) for name in multi_hypervisor.NAMES]
    pools = [site.pools(name) for name in multi_hypervisor.NAMES]
    return SETTINGS.format(router=ROUTER, uris=uris, pools=pools, bridge=BRIDGE, second=second, memory=memory)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with multi_hypervisor.running(tmp_path_factory.mktemp("site"), f"{ROUTER}/24") as found:
        yield found


@pytest.fixture(scope="module")
def lab(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The lab, up; destroyed at the end."""
    with stack_file(STACK, settings(site)):
        lab = RealLab(STACK, tmp_path_factory.mktemp(STACK), site.namespace)
        try:
            lab.overlab("up").ok()
            yield lab
        finally:
            lab.overlab("down", "--platform")


def test_every_machine_is_where_the_settings_put_it(lab: RealLab, site: Site) -> None:
    assert f"{DOMAIN}-docker01" in site.objects("site1")
    assert f"{DOMAIN}-docker02" in site.objects("site2")
    assert f"{DOMAIN}-docker02" not in site.objects("site1")


def test_every_check_passes_across_the_bridge(lab: RealLab) -> None:
    checks = lab.outputs()["checks"]
    assert {"ping-ip", "mtu", "tcp"} <= {check["kind"] for check in checks}
    assert all(check["status"] == "passed" for check in checks)


def test_a_second_up_changes_nothing(lab: RealLab) -> None:
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert not changes


def test_a_platform_whose_machines_would_be_orphaned_is_not_removed(lab: RealLab, site: Site) -> None:
    refused = lab.overlab("down", "--platform", "--force")
    assert refused.code == 1
    assert site.uri("site2") in refused.stderr
    assert lab.resources()


def test_a_recreated_store_machine_recreates_what_was_in_the_store(lab: RealLab, site: Site) -> None:
    overlay = lab.outputs()["networks"]["ov_net1"]["id"]
    lab.file.write_text(settings(site, memory=1100), "utf-8")
    lab.overlab("up").ok()
    outputs = lab.outputs()
    assert outputs["networks"]["ov_net1"]["id"] != overlay
    assert all(check["status"] == "passed" for check in outputs["checks"])


def test_a_node_that_moves_is_recreated_on_the_other_hypervisor(lab: RealLab, site: Site) -> None:
    lab.file.write_text(settings(site, "hv1", memory=1100), "utf-8")
    lab.overlab("up").ok()
    assert {f"{DOMAIN}-docker01", f"{DOMAIN}-docker02"} <= site.objects("site1")
    assert site.objects("site2") == set()
    assert site.files("site2") == []
    assert all(check["status"] == "passed" for check in lab.outputs()["checks"])


def test_destroy_leaves_nothing_on_either(lab: RealLab, site: Site) -> None:
    lab.overlab("down").ok()
    assert [site.objects(name) for name in multi_hypervisor.NAMES] == [set(), set()]
    assert [site.files(name) for name in multi_hypervisor.NAMES] == [[], []]
