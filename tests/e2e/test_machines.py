"""What only machines show: boot, a reset, another machine in the place of one, what is left on the hypervisor."""

from __future__ import annotations

from collections.abc import Iterator

import libvirt
import pytest
import yaml

from tests.e2e import certificates, platform, reliability, status_scenarios
from tests.e2e.faults import EVERY, MACHINES, Fault
from tests.e2e.lab import RealLab, lab_of, settings_of

STACK = "e2e-machines"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The lab of stack ``ci``, up."""
    settings = settings_of("ci", ("cidr: 10.98.0.0/24", "cidr: 10.96.3.0/24"))
    with lab_of(STACK, settings, tmp_path_factory.mktemp(STACK)) as lab:
        lab.overlab("up").ok()
        yield lab


def test_every_check_passes_and_every_view_agrees(lab: RealLab) -> None:
    assert [check for check in lab.outputs()["checks"] if check["status"] != "passed"] == []
    status_scenarios.every_view_agrees(lab)


def test_a_second_up_changes_nothing(lab: RealLab) -> None:
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}


def test_a_machine_that_is_reset_rejoins_with_its_workloads(lab: RealLab) -> None:
    before = lab.on("docker03", BOOT_ID)
    connection = libvirt.open(platform.lab_uri(lab))
    connection.lookupByName(f"overlab-{STACK}-docker03").reset()
    connection.close()
    lab.until_reachable("docker03")
    assert lab.on("docker03", BOOT_ID) != before
    lab.until("docker03", "[ $(docker ps -q | wc -l) = 2 ]", 300)  # consul and t3
    lab.overlab("test").ok()
    lab.overlab("status").ok()


@pytest.mark.skipif(not EVERY, reason="OVERLAB_FAULTS=all runs every fault, one after the other")
@pytest.mark.parametrize("fault", MACHINES, ids=lambda fault: fault.name)
def test_one_up_brings_it_back(lab: RealLab, fault: Fault) -> None:
    fault.inflict(lab)
    reliability.up(lab, "machine", fault.name)


def test_a_machine_with_more_memory_is_recreated_and_rejoins(lab: RealLab) -> None:
    """With a store server and workloads on it: its entries in the store are taken over, and the other nodes go on."""
    networks = lab.on("docker01", "docker network ls -q --no-trunc -f driver=overlay | sort")
    ran = certificates.started(lab)
    config = yaml.safe_load(lab.file.read_text())
    config["config"]["overlab:lab"]["nodes"]["docker02"] = {"machine": {"memory_mib": 1200}}
    lab.file.write_text(yaml.safe_dump(config))
    lab.overlab("up").ok()
    assert int(lab.on("docker02", "awk '/MemTotal/ { print $2 }' /proc/meminfo")) > 1050 * 1024
    assert lab.on("docker01", "docker network ls -q --no-trunc -f driver=overlay | sort") == networks
    runs = certificates.started(lab)
    assert len(runs) == len(ran)
    assert len(runs.items() & ran.items()) == len(ran) - 4  # docker02's: consul, t2, web1, beside1
    assert lab.on("docker01", "curl -s 127.0.0.1:8500/v1/status/peers").count(":8300") == 3
    lab.overlab("status").ok()
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert not changes


def test_destroy_leaves_nothing_on_the_hypervisor(lab: RealLab) -> None:
    lab.overlab("down").ok()
    assert platform.objects(lab) == {"domains": [], "networks": [], "pools": []}
    assert platform.files(lab) == []
    assert lab.resources() == []


def test_down_platform_leaves_no_trace(lab: RealLab) -> None:
    assert platform.traces(lab)
    lab.overlab("down", "--platform").ok()
    assert platform.traces(lab) == []
