"""Labs of node containers with each kind of cluster store: what one server that stops does not break. Beside overlays a
macvlan network, which needs no store, where this machine's kernel has the driver."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from functools import cache

import pytest

from components.config.stores import BACKENDS
from tests.e2e.lab import RealLab, lab_of

EVERY = os.environ.get("OVERLAB_STORES") == "all"
"""Else a cluster of etcd alone: Consul's is the one of the other tests."""
SETTINGS = """\
config:
  overlab:lab:
    underlay: {{cidr: 10.96.60.0/24}}
    machine: {{kind: container, memory_mib: 768}}
    nodes: {{docker01: {{}}, docker02: {{}}, docker03: {{}}}}
    store: {{kind: {kind}, servers: {servers}}}
    networks:
      ov1: {{created_on: docker02, subnet: 10.20.0.0/24}}
      closed: {{created_on: docker03, subnet: 10.21.0.0/24, internal: true}}
{segment}    workloads:
      a1: {{node: docker01, networks: [ov1, closed]}}
      b1: {{node: docker02, networks: {{ov1: {{ipv4_address: 10.20.0.40, aliases: [b]}}}}}}
      c1: {{node: docker03, networks: [ov1, closed]}}
{on_segment}"""
SEGMENT = "      segment: {driver: macvlan, subnet: 10.40.0.0/24}\n"
ON_SEGMENT = """\
      m1: {node: docker01, networks: {segment: {ipv4_address: 10.40.0.5}}}
      m2: {node: docker02, networks: [segment]}
"""
ROWS = [(kind, servers) for kind in BACKENDS for servers in (1, 3) if EVERY or (kind, servers) == ("etcd", 3)]


@cache
def has_macvlan() -> bool:
    """Whether this machine's kernel has the driver."""
    script = "ip link add name v0 type veth peer name v1 && ip link add link v0 name m0 type macvlan"
    return subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    kind, servers = request.param
    segment, on_segment = (SEGMENT, ON_SEGMENT) if has_macvlan() else ("", "")
    text = SETTINGS.format(kind=kind, servers=servers, segment=segment, on_segment=on_segment)
    with lab_of("stores", text, tmp_path_factory.mktemp("stores")) as lab:
        begun = time.monotonic()
        lab.overlab("up").ok()
        print(f"{kind} with {servers}: up in {time.monotonic() - begun:.1f} s", flush=True)
        yield lab


def store_of(lab: RealLab) -> tuple[str, int]:
    text = lab.file.read_text("utf-8")
    kind, servers = text.split("store: {kind: ")[1].split("}")[0].split(", servers: ")
    return kind, int(servers)


def test_status_names_the_store_its_leader_and_every_server(lab: RealLab) -> None:
    kind, servers = store_of(lab)
    shown = lab.overlab("status").ok().stdout
    assert f"{BACKENDS[kind].title} " in shown
    line = shown[shown.index("store ") :].replace("\n", "")
    assert "leader 10.96.60.1" in line
    peers = line.split("peers ")[1].split(";")[0]
    assert len(peers.split(",")) == servers
    assert "docker/nodes: 10.96.60.11:2376, 10.96.60.12:2376, 10.96.60.13:2376" in line
    assert lab.overlab("inspect", "cnm", "docker01").ok().stdout.count("ov1") > 0


def test_an_up_without_changes_changes_nothing(lab: RealLab) -> None:
    assert "replaced" not in lab.overlab("up").ok().stdout


def test_the_store_stops_and_what_runs_goes_on(lab: RealLab) -> None:
    """One of three servers: a new container starts, and is found by name from another node. The only one: no loss."""
    kind, servers = store_of(lab)
    stopped = "docker03" if servers > 1 else "docker01"
    lab.on(stopped, f"docker stop -t 5 {kind}")
    try:
        lab.overlab("test", "--only", "ping-*", "--only", "dns:*").ok()
        if servers > 1:
            lab.on("docker02", "docker run -d --name later --network ov1 busybox:1.35 sleep 600")
            lab.until("docker01", "docker exec a1 ping -c 1 -W 2 later", 30)
            lab.on("docker02", "docker rm -f later")
        assert lab.overlab("status").code != 0
    finally:
        lab.on(stopped, f"docker start {kind}")
    lab.until("docker01", "/usr/local/sbin/overlab-store gate", 60)
    lab.overlab("up").ok()
    lab.overlab("status").ok()


def test_a_network_of_an_engines_own_that_was_removed_is_created_again(lab: RealLab) -> None:
    if not has_macvlan():
        pytest.skip("this machine's kernel has no macvlan")
    lab.on("docker02", "docker rm -f m2; docker network rm segment")
    lab.overlab("up").ok()
    lab.overlab("test", "--only", "*:segment:*", "--only", "own-node:*").ok()
