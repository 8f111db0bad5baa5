"""A swarm that overlab did not create: two node containers whose engines left their cluster store for a swarm.

With OVERLAB_FAULTS=all only: it needs a lab of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import doctor_scenarios
from tests.e2e.lab import ON_CONTAINERS, RealLab, lab_of, settings_of
from tests.unit.troubleshoot.packet_faults import FAULTS, Fault

STACK = "e2e-swarm"
NODES = {"docker01": "10.96.59.11", "docker02": "10.96.59.12"}
WEB1_AND_DB1 = [("web1", "docker01", NODES["docker01"]), ("db1", "docker02", NODES["docker02"])]
HEALTHY_LOOKS = 50
SETTINGS = settings_of("plain", ON_CONTAINERS, ("cidr: 10.97.0.0/24", "cidr: 10.96.59.0/24"))
SETTINGS = SETTINGS.replace("install: packages", "install: preinstalled\n      firewall: false")
SETTINGS = SETTINGS.replace("docker01: {}", "docker01: {}\n      docker02: {}")
_INTO_SWARM = """\
set -e
systemctl stop overlab-dockerd-watchdog.path
docker rm -f $(docker ps -aq) >/dev/null
python3 - <<'END'
import json, pathlib
file = pathlib.Path("/etc/docker/daemon.json")
left = ("cluster-store", "cluster-advertise", "cluster-store-opts", "live-restore")
file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key not in left}))
END
systemctl restart docker.service
docker info >/dev/null
"""

pytestmark = pytest.mark.skipif(not doctor_scenarios.EVERY, reason="needs a lab of its own: OVERLAB_FAULTS=all")


@dataclass(frozen=True)
class Swarm:
    lab: RealLab
    doctor: RealLab
    """Runs the command line on the attached cluster, without the lab's stack file."""


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    state = tmp_path_factory.mktemp(STACK)
    with lab_of(STACK, SETTINGS, state) as lab:
        lab.overlab("up").ok()
        for node in NODES:
            lab.on(node, _INTO_SWARM)
        lab.on("docker01", f"docker swarm init --advertise-addr {NODES['docker01']}")
        token = lab.on("docker01", "docker swarm join-token -q worker").strip()
        lab.on("docker02", f"docker swarm join --token {token} {NODES['docker01']}:2377")
        lab.on("docker01", "docker network create -d overlay --attachable backend")
        for node, name in (("docker01", "web1"), ("docker02", "db1"), ("docker02", "db2"), ("docker01", "web2")):
            lab.on(node, f"docker run -d --name {name} --network backend busybox:1.35 sleep 1000000")
        doctor = RealLab("swarm", tmp_path_factory.mktemp("doctor"), network=f"overlab-{STACK}")
        identity = Path(lab.record()["identity"]["client_key"])
        urls = [f"ssh://root@{address}" for address in NODES.values()]
        keys = ["--identity", str(identity), "--known-hosts", str(identity.with_name("known_hosts"))]
        doctor.overlab("attach", "swarm", *urls, *keys).ok()
        yield Swarm(lab, doctor)


def test_nothing_is_found_on_healthy_looks(swarm: Swarm) -> None:
    for _ in range(HEALTHY_LOOKS):
        status = json.loads(swarm.doctor.overlab("status", "--json").ok().stdout)
        assert status["findings"] == []
    assert {network["name"] for network in status["networks"]} == {"backend", "ingress"}


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.undo], ids=lambda one: one.name)
def test_a_fault_is_named_and_healed(swarm: Swarm, fault: Fault) -> None:
    source, target = doctor_scenarios.workloads(swarm.lab, "backend", WEB1_AND_DB1)
    for own in (source, target):
        doctor_scenarios.named_and_healed(swarm.lab, swarm.doctor, fault, own, source, target, "--yes")


def test_an_attached_cluster_is_changed_only_with_yes(swarm: Swarm) -> None:
    source, target = doctor_scenarios.workloads(swarm.lab, "backend", WEB1_AND_DB1)
    fault = next(one for one in FAULTS if one.name == "FDB entry removed")
    with doctor_scenarios.fault_on(swarm.lab, fault, source, target):
        done = swarm.doctor.overlab("repair")
        assert done.code == 1
        assert f"bridge fdb replace {target.places['mac']}" in done.stdout
        assert "nothing was changed" in done.stderr
        again = swarm.doctor.overlab("status", "--json")
        assert {one["id"] for one in json.loads(again.stdout)["findings"]} == {"peer-entry-incomplete"}


def test_a_gossip_partition_and_a_node_that_is_down_are_found(swarm: Swarm) -> None:
    """docker02 stops: its peers keep its entries, and the manager misses it."""
    swarm.lab.on("docker02", "systemctl stop docker.service docker.socket")
    try:
        swarm.lab.until("docker01", "docker node ls | grep -q Down")
        found = {one["id"] for one in json.loads(swarm.doctor.overlab("status", "--json").stdout)["findings"]}
        assert {"engine-down", "swarm-node-down"} <= found
    finally:
        swarm.lab.on("docker02", "systemctl start docker.socket docker.service; docker info >/dev/null")
    swarm.lab.on("docker02", "docker start db1 db2")
    swarm.lab.until("docker01", "! docker node ls | grep -q Down")
