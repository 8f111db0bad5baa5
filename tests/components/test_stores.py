"""Each kind of store: what its settings refuse, and what is declared for it on the nodes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from rules import ports as policy_ports

from components.config.settings import Settings, SettingsError, parse
from components.config.stores import BACKENDS, RESERVED_PORTS
from tests.components.recorder import Recorder, make_platform, run_lab

AGENT = "overlab:index:StoreAgent"
COMMAND = "command:remote:Command"
CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"
BASE: dict[str, Any] = {
    "underlay": {"cidr": "10.96.0.0/24"},
    "nodes": {f"docker0{number}": {} for number in range(1, 5)},
    "networks": {"ov1": {"created_on": "docker01", "subnet": "10.20.0.0/24"}},
    "workloads": {"a1": {"node": "docker01", "networks": ["ov1"]}},
}


def settings(**store: Any) -> Settings:
    return parse(copy.deepcopy(BASE) | {"store": store}, "case")


def lab(tmp_path: Path, **store: Any) -> Recorder:
    found = settings(**store)
    return run_lab(found, make_platform(tmp_path, found))


def refused(**changes: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(SettingsError) as caught:
        parse(copy.deepcopy(BASE) | changes, "case")
    return {one.path: (one.rule, one.remedy) for one in caught.value.problems}


def engine_script(recorded: Recorder, node: str) -> str:
    (found,) = [one for one in recorded.of(COMMAND) if one.name == f"{node}-dockerd"]
    return str(found.inputs["stdin"])


def test_the_engines_of_a_cluster_know_every_server_of_etcd_and_their_own_agent_of_consul() -> None:
    assert settings(kind="etcd").cluster_store == "etcd://10.96.0.11:2379"
    servers = "10.96.0.11:2379,10.96.0.12:2379,10.96.0.13:2379"
    assert settings(kind="etcd", servers=3).cluster_store == f"etcd://{servers}"
    assert settings(servers=3).cluster_store == "consul://127.0.0.1:8500"


def test_a_server_of_etcd_runs_with_its_data_in_a_volume(tmp_path: Path) -> None:
    recorded = lab(tmp_path, kind="etcd")
    (container,) = [one for one in recorded.of(CONTAINER) if one.name == "docker01-etcd"]
    assert (container.inputs["name"], container.inputs["image"]) == ("etcd", "overlab/etcd:3.3")
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in container.inputs["command"][1:])
    assert container.inputs["command"][0] == "etcd"
    assert flags["listen-client-urls"] == "http://127.0.0.1:2379,http://10.96.0.11:2379"
    assert flags["listen-peer-urls"] == "http://127.0.0.1:2380"
    assert flags["enable-v2"] == "true"
    assert [mount["containerPath"] for mount in container.inputs["volumes"]] == [flags["data-dir"]]
    assert [one.inputs["name"] for one in recorded.of(VOLUME)] == ["etcd-data"]


def test_a_cluster_of_etcd_is_on_three_nodes_and_no_agent_on_the_fourth(tmp_path: Path) -> None:
    recorded = lab(tmp_path, kind="etcd", servers=3)
    names = [f"docker0{number}-etcd" for number in (1, 2, 3)]
    servers = [one for one in recorded.of(CONTAINER) if one.inputs["name"] == "etcd"]
    assert sorted(one.name for one in servers) == names
    cluster = ",".join(f"docker0{number}=http://10.96.0.1{number}:2380" for number in (1, 2, 3))
    assert all(f"--initial-cluster={cluster}" in one.inputs["command"] for one in servers)
    assert not [one for one in recorded.of(COMMAND) if "store-access" in one.name or "store-secrets" in one.name]


@pytest.mark.parametrize("servers", [1, 3])
def test_only_servers_of_etcd_open_its_ports_and_no_workload_reaches_them(tmp_path: Path, servers: int) -> None:
    recorded = lab(tmp_path, kind="etcd", servers=servers)
    for number in range(1, 5):
        script = engine_script(recorded, f"docker0{number}")
        opened = {port for port in (2379, 2380, 8500, 8300) if f"-p tcp --dport {port} -j ACCEPT" in script}
        peers = {2380} if servers > 1 else set()
        assert opened == ({2379} | peers if number <= servers else set())
        for port in (2379, 2380):
            assert f"-d 10.96.0.0/24 -p tcp --dport {port} -j REJECT" in script
        assert "--dport 8500" not in script


def test_policies_see_which_store_an_agent_is_of(tmp_path: Path) -> None:
    (agent,) = lab(tmp_path, kind="etcd").of(AGENT)
    assert {"kind": "etcd", "server": True, "encrypted": False, "acl": False}.items() <= agent.inputs.items()
    assert agent.inputs["client_addresses"] == ["127.0.0.1", "10.96.0.11"]


def test_the_node_gets_the_client_of_its_store(tmp_path: Path) -> None:
    assert "/v2/members/leader" in engine_script(lab(tmp_path, kind="etcd"), "docker02")
    assert "/v1/status/leader" in engine_script(lab(tmp_path), "docker02")


def test_access_lists_are_consuls_alone() -> None:
    rule, remedy = refused(store={"kind": "etcd", "servers": 3, "acl": True})["lab.store.acl"]
    assert rule.startswith("not with etcd")
    assert "consul" in remedy
    assert not settings(kind="etcd", servers=3).store.has_acl


def test_a_system_platform_has_no_image_of_etcd_of_its_own() -> None:
    platform = {"platform": {"uri": "qemu:///system"}}
    assert "quay.io/coreos/etcd" in refused(store={"kind": "etcd"}, **platform)["lab.store.image"][1]
    parse(copy.deepcopy(BASE) | platform | {"store": {"kind": "etcd", "image": "quay.io/coreos/etcd:v3.3.27"}}, "case")
    parse(copy.deepcopy(BASE) | platform, "case")


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_workload_has_not_the_name_of_the_stores_container(kind: str) -> None:
    workloads = {kind: {"node": "docker01", "networks": ["ov1"]}}
    assert "the store's container" in refused(store={"kind": kind}, workloads=workloads)[f"lab.workloads.{kind}"][0]


@pytest.mark.parametrize("port", [2379, 8500])
def test_no_workload_publishes_a_port_of_any_store(port: int) -> None:
    workloads = {"a1": {"node": "docker01", "networks": ["ov1"], "ports": [f"{port}:80"]}}
    assert "lab.workloads.a1.ports.0" in refused(workloads=workloads)


@pytest.mark.parametrize("kind", BACKENDS)
def test_ports_of_each_store_are_reserved_in_settings_and_policies(kind: str) -> None:
    backend = BACKENDS[kind]
    assert {*backend.control_ports, *backend.reserved_ports} <= RESERVED_PORTS
    assert set(policy_ports.RESERVED_PORTS) == RESERVED_PORTS


def test_an_unknown_store_is_refused_with_the_known_ones() -> None:
    rule, _ = refused(store={"kind": "zk"})["lab.store.kind"]
    assert json.dumps(sorted(BACKENDS))[1:-1].replace('"', "'").replace(", ", " or ") in rule.replace(",", " or")


def test_the_control_ports_of_each_store() -> None:
    assert settings().control_ports == (22, 2376, 4789, 7946, 8300, 8301, 8302, 8500)
    assert settings(kind="etcd").control_ports == (22, 2376, 4789, 7946, 2380, 2379)
