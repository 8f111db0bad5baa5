"""A lab on two hypervisors that were there before it: a system platform, machines on a bridge that spans both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import multi_hypervisor
from tests.e2e.lab import RealLab, stack_file
from tests.e2e.multi_hypervisor import BRIDGE, HypervisorContext

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
    network: {{bridge: {bridge}, cidr: 10.98.0.0/24}}
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


def settings(there: HypervisorContext, second: str = "hv2", memory: int = 1024) -> str:
    """The stack's file with ``docker02`` on the hypervisor ``second`` and so many MiB for ``docker01``."""
    uris = [there.uri(name) for name in multi_hypervisor.NAMES]
    pools = [there.pools(name) for name in multi_hypervisor.NAMES]
    return SETTINGS.format(router=ROUTER, uris=uris, pools=pools, bridge=BRIDGE, second=second, memory=memory)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HypervisorContext]:
    with multi_hypervisor.running(tmp_path_factory.mktemp("place"), f"{ROUTER}/24") as found:
        yield found


@pytest.fixture(scope="module")
def lab(there: HypervisorContext, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The lab, up; destroyed at the end."""
    with stack_file(STACK, settings(there)):
        lab = RealLab(STACK, tmp_path_factory.mktemp(STACK), there.namespace)
        try:
            lab.overlab("up").ok()
            yield lab
        finally:
            lab.overlab("down", "--platform")


def test_every_machine_is_where_the_settings_put_it(lab: RealLab, there: HypervisorContext) -> None:
    assert f"{DOMAIN}-docker01" in there.objects("place1")
    assert f"{DOMAIN}-docker02" in there.objects("place2")
    assert f"{DOMAIN}-docker02" not in there.objects("place1")


def test_every_check_passes_across_the_bridge(lab: RealLab) -> None:
    checks = lab.outputs()["checks"]
    assert {"ping-ip", "mtu", "tcp"} <= {check["kind"] for check in checks}
    assert all(check["status"] == "passed" for check in checks)


def test_again_nothing_changes(lab: RealLab) -> None:
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert not changes


def test_a_platform_with_machines_on_it_is_not_just_removed(lab: RealLab, there: HypervisorContext) -> None:
    refused = lab.overlab("down", "--platform", "--force")
    assert refused.code == 1
    assert there.uri("place2") in refused.stderr
    assert lab.resources()


def test_the_stores_machine_is_made_anew_with_all_that_was_in_the_store(lab: RealLab, there: HypervisorContext) -> None:
    overlay = lab.outputs()["networks"]["ov_net1"]["id"]
    lab.file.write_text(settings(there, memory=1100), "utf-8")
    lab.overlab("up").ok()
    outputs = lab.outputs()
    assert outputs["networks"]["ov_net1"]["id"] != overlay
    assert all(check["status"] == "passed" for check in outputs["checks"])


def test_a_node_that_moves_is_made_anew_on_the_other_one(lab: RealLab, there: HypervisorContext) -> None:
    lab.file.write_text(settings(there, "hv1", memory=1100), "utf-8")
    lab.overlab("up").ok()
    assert {f"{DOMAIN}-docker01", f"{DOMAIN}-docker02"} <= there.objects("place1")
    assert there.objects("place2") == set()
    assert there.files("place2") == []
    assert all(check["status"] == "passed" for check in lab.outputs()["checks"])


def test_destroy_leaves_nothing_on_either(lab: RealLab, there: HypervisorContext) -> None:
    lab.overlab("down").ok()
    assert [there.objects(name) for name in multi_hypervisor.NAMES] == [set(), set()]
    assert [there.files(name) for name in multi_hypervisor.NAMES] == [[], []]
