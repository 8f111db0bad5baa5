"""Faults of a lab, as tables for node containers and for machines: each is followed by one ``overlab up``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker
import libvirt

from tests.e2e import platform
from tests.e2e.lab import RealLab

EVERY = os.environ.get("OVERLAB_FAULTS") == "all"
"""Else only the rows that are marked as quick."""
SETTINGS = """\
config:
  overlab:lab:
    underlay: {cidr: 10.96.48.0/24}
    machine: {kind: container, memory_mib: 512}
    nodes: {docker01: {}, docker02: {}, docker03: {}}
    networks:
      ov1: {created_on: docker02, subnet: 10.20.0.0/24}
      ov2: {created_on: docker02, subnet: 10.21.0.0/24}
    workloads:
      a1: {node: docker01, networks: [ov1], ports: ["8080:80"]}
      b1: {node: docker02, networks: {ov1: {ipv4_address: 10.20.0.40}}}
      c1: {node: docker03, networks: [ov1, ov2]}
      d1: {node: docker03, network_mode: "container:c1"}
      e1: {node: docker02, networks: [ov2]}
"""
"""The store's single server is on docker01."""


@dataclass(frozen=True)
class Fault:
    """What is done to a lab that is as declared."""

    name: str
    inflict: Callable[[RealLab], object]
    lost: str = ""
    """What cannot be kept; empty: nothing but what runs."""
    quick: bool = True
    """Part of every run of the tests."""


def engine_of_nodes(lab: RealLab) -> docker.DockerClient:
    return docker.DockerClient(base_url=f"unix:///run/overlab/{lab.stack}/docker/docker.sock")


def outer(lab: RealLab, verb: str, *nodes: str) -> None:
    """Call a method of the nodes' containers on the engine that runs them."""
    options: dict[str, dict[str, Any]] = {"remove": {"force": True}, "stop": {"timeout": 0}, "restart": {"timeout": 0}}
    with contextlib.closing(engine_of_nodes(lab)) as client:
        for node in nodes:
            getattr(client.containers.get(f"overlab-{lab.stack}-{node}"), verb)(**options.get(verb, {}))


def machines(verb: str, *nodes: str) -> Callable[[RealLab], object]:
    return lambda lab: outer(lab, verb, *nodes)


def on(node: str, script: str) -> Callable[[RealLab], object]:
    return lambda lab: lab.on(node, script)


NODES = ("docker01", "docker02", "docker03")
ENGINE_DATA = "the engine's data"
FILES = "files of the workloads"
STORE = "the store's data and networks, files of the workloads"
DATA = "docker rm -f consul; docker volume rm consul-data"
NETWORK = "docker rm -f e1; docker network disconnect -f ov2 c1; docker network rm ov2"
PRUNE = "docker stop -t 0 b1 e1; docker system prune -af --volumes"
EDIT = "echo '{\"debug\": true}' >/etc/docker/daemon.json; systemctl restart docker"
BREAK = "echo '{' >/etc/docker/daemon.json; systemctl restart docker || true"
FLUSH_PEERS = "for n in /run/docker/netns/*-*; do nsenter --net=$n ip neigh flush nud permanent; done"


def disable_and_reset(lab: RealLab) -> None:
    lab.on("docker02", "systemctl disable docker.service docker.socket")
    outer(lab, "restart", "docker02")


FAULTS = (
    Fault("a workload stopped", on("docker02", "docker stop -t 0 b1")),
    Fault("a workload paused", on("docker02", "docker pause b1"), quick=False),
    Fault("a workload renamed", on("docker01", "docker rename a1 other"), quick=False),
    Fault("the owner of a shared network stack stopped", on("docker03", "docker stop -t 0 c1")),
    Fault("a workload removed", on("docker03", "docker rm -f c1"), FILES),
    Fault("a node stopped", machines("stop", "docker03")),
    Fault("a node reset", machines("restart", "docker03"), quick=False),
    Fault("the store's node reset", machines("restart", "docker01"), quick=False),
    Fault("all nodes reset at once", machines("restart", *NODES)),
    Fault("a node paused", machines("pause", "docker02"), quick=False),
    Fault("a node removed", machines("remove", "docker02"), ENGINE_DATA),
    Fault("the store's node removed", machines("remove", "docker01"), STORE, quick=False),
    Fault("dockerd killed", on("docker02", "systemctl kill -s KILL docker.service"), quick=False),
    Fault("dockerd stopped", on("docker02", "systemctl stop docker.socket docker.service")),
    Fault("dockerd's units disabled, node reset", disable_and_reset, quick=False),
    Fault("the store's container killed", on("docker01", "docker kill consul"), quick=False),
    Fault("the store's container removed", on("docker01", "docker rm -f consul"), quick=False),
    Fault("the store's volume lost", on("docker01", DATA), STORE, quick=False),
    Fault("a network removed", on("docker02", NETWORK), FILES, quick=False),
    Fault("docker system prune", on("docker02", PRUNE), FILES, quick=False),
    Fault("daemon.json edited", on("docker02", EDIT), quick=False),
    Fault("daemon.json broken", on("docker02", BREAK), quick=False),
    Fault("firewall flushed", on("docker02", "iptables -F; iptables -t nat -F"), quick=False),
    Fault("watchdog stopped", on("docker02", "systemctl disable --now overlab-dockerd-watchdog.path"), quick=False),
    Fault("neighbor entries removed", on("docker03", FLUSH_PEERS), quick=False),
)


def domains(lab: RealLab, do: Callable[[Any], object], *nodes: str) -> None:
    """Do something to the domains of nodes on the lab's hypervisor."""
    connection = libvirt.open(platform.lab_uri(lab))
    try:
        for node in nodes:
            do(connection.lookupByName(f"overlab-{lab.stack}-{node}"))
    finally:
        connection.close()


def undefine(domain: Any) -> None:
    domain.destroy()
    domain.undefine()


def undefine_with_disk(domain: Any) -> None:
    undefine(domain)
    pool = domain.connect().storagePoolLookupByName(domain.name().rsplit("-", 1)[0])
    node = domain.name().rsplit("-", 1)[1]
    for volume in pool.listAllVolumes():
        if volume.name().startswith(f"{node}-"):
            volume.delete()


MACHINES = (
    Fault("a machine reset", lambda lab: domains(lab, lambda one: one.reset(), "docker02")),
    Fault("all machines reset at once", lambda lab: domains(lab, lambda one: one.reset(), *lab.outputs()["nodes"])),
    Fault("a machine undefined", lambda lab: domains(lab, undefine, "docker02"), FILES),
    Fault("a machine undefined with its disk", lambda lab: domains(lab, undefine_with_disk, "docker02"), ENGINE_DATA),
)
