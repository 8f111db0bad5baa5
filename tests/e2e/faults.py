"""Faults of a lab on node containers, as a table: each is followed by one ``overlab up``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker

from tests.e2e.lab import RealLab

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
    Fault("a node removed", machines("remove", "docker02"), "the engine's data"),
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
