"""Settings are valid, or refused with every problem at once: path, value, rule and remedy."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from components.config.settings import SettingsError, parse, read_stack_file

PROJECT = Path(__file__).parents[2]


def lab() -> dict[str, Any]:
    return copy.deepcopy(
        {
            "underlay": {"cidr": "10.99.0.0/24"},
            "nodes": {"docker01": {}, "docker02": None, "docker03": {"address": "10.99.0.77"}},
            "networks": {"ov_net1": {"created_on": "docker02", "subnet": "10.0.0.0/24"}},
            "workloads": {
                "t1": {"node": "docker01", "networks": ["ov_net1"]},
                "t2": {"node": "docker02", "networks": ["ov_net1"]},
            },
        }
    )


def put(raw: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *parents, last = path.split(".")
    place = raw
    for part in parents:
        place[part] = place.get(part) or {}
        place = place[part]
    place[last] = value
    return raw


def problems(raw: object) -> dict[str, tuple[str, str, str]]:
    with pytest.raises(SettingsError) as caught:
        parse(raw, "dev")
    return {p.path: (p.value, p.rule, p.remedy) for p in caught.value.problems}


@pytest.mark.parametrize("stack", ["dev", "ci"])
def test_the_shipped_stacks_are_valid(stack: str) -> None:
    settings = parse(read_stack_file(PROJECT, stack), stack)
    assert settings.name == stack


def test_what_follows_from_the_keys() -> None:
    settings = parse(lab(), "dev")
    assert {key: str(node.address) for key, node in settings.nodes.items()} == {
        "docker01": "10.99.0.11",
        "docker02": "10.99.0.12",
        "docker03": "10.99.0.77",
    }
    assert settings.store_nodes == ("docker01",)
    assert str(settings.gateway) == "10.99.0.1"
    assert settings.nodes["docker01"].mac == "52:54:00:63:00:0b"


BAD = [
    ("netwrk", {}, "lab.netwrk", "unknown key", "did you mean network"),
    ("nodes.docker01", {"adress": "10.99.0.9"}, "lab.nodes.docker01.adress", "unknown key", "did you mean address"),
    ("machine", {"memory_mib": "1024"}, "lab.machine.memory_mib", "integer", "integer without quotes"),
    ("machine", {"memory_mib": 128}, "lab.machine.memory_mib", "at least 512", "512 or more"),
    ("workloads.t1.memory_mib", 900, "lab.machine.memory_mib", "must fit", "or more, or move a workload"),
    ("underlay.cidr", "10.99.0.3/24", "lab.underlay.cidr", "without host bits (here: 10.99.0.0/24)", "own address"),
    ("underlay.cidr", "fe80::/64", "lab.underlay.cidr", "IPv4 network", "IPv4 network, such as"),
    ("underlay.cidr", 5, "lab.underlay.cidr", "IPv4 network", "prefix length"),
    ("underlay.cidr", "10.99.0.0/29", "lab.underlay.cidr", "/28 or larger", "shorter prefix"),
    (
        "nodes.docker01",
        {"address": "10.98.0.5"},
        "lab.nodes.docker01.address",
        "inside the underlay",
        "free address",
    ),
    ("nodes.docker01", {"address": "10.99.0.1"}, "lab.nodes.docker01.address", "gateway", "free address"),
    ("nodes.docker01", {"address": "10.99.0.12"}, "lab.nodes.docker02.address", "has it already", "another address"),
    ("nodes.web", {}, "lab.nodes.web", "number (1 or more)", "rename it (such as web1)"),
    ("nodes.docker999", {}, "lab.nodes.docker999", "node numbers 1 to 244", "larger underlay"),
    ("nodes.Docker_4", {}, "lab.nodes.Docker_4", "host name", "choose another"),
    ("nodes", {}, "lab.nodes", "1 to 250 nodes", "add a node"),
    (
        "networks.ov_net1.subnet",
        "10.99.0.128/25",
        "lab.networks.ov_net1.subnet",
        "must not overlap",
        "no other network",
    ),
    ("networks.ov_net1.subnet", "172.30.4.0/24", "lab.networks.ov_net1.subnet", "address_pools", "no other network"),
    (
        "networks.ov_net1.created_on",
        "docker9",
        "lab.networks.ov_net1.created_on",
        "node of this lab",
        "docker01, docker02",
    ),
    ("networks.ov_net1.mtu", 9000, "lab.networks.ov_net1.mtu", "at most the underlay's MTU", "leave it out"),
    ("store", {"kind": "etcdd"}, "lab.store.kind", "one of 'consul'", "choose one"),
    ("store", {"node": "docker9"}, "lab.store.node", "node of this lab", "docker01, docker02"),
    ("store", {"acl": True}, "lab.store.acl", "3 or 5 servers", "set store.servers to 3"),
    ("store", {"acl": "yes"}, "lab.store.acl", "boolean", "true or false"),
    ("engine", {"ttl_s": 15}, "lab.engine.ttl_s", "at least 20", "20 or more"),
    ("engine", {"heartbeat_s": 30, "ttl_s": 30}, "lab.engine.ttl_s", "greater than", "three heartbeats"),
    ("engine", {"version": "23.0"}, "lab.engine.version", "20", "form"),
    ("workloads.t1.node", "docker7", "lab.workloads.t1.node", "node of this lab", "docker01"),
    ("workloads.t1.networks", ["ov_net9"], "lab.workloads.t1.networks.ov_net9", "network of this lab", "ov_net1"),
    ("workloads.t1.networks", [], "lab.workloads.t1.networks", "at least one network", "name a network"),
    ("workloads.t1.image", "-evil image", "lab.workloads.t1.image", "image reference", "to that form"),
    ("workloads.-x", {"node": "docker01", "networks": ["ov_net1"]}, "lab.workloads.-x", "letters, digits", "another"),
    (
        "checks.c1",
        {"kind": "ping-ip", "source": "t1", "target": "t9", "network": "ov_net1"},
        "lab.checks.c1.target",
        "workload of this lab",
        "t1, t2",
    ),
    ("name", "Not A Name", "lab.name", "lower-case", "short name"),
    ("name", 5, "lab.name", "text", "in quotes"),
]


@pytest.mark.parametrize(("path", "value", "where", "rule", "remedy"), BAD, ids=[f"{b[0]}={b[1]}" for b in BAD])
def test_refused(path: str, value: Any, where: str, rule: str, remedy: str) -> None:
    found = problems(put(lab(), path, value))
    assert where in found
    assert rule in found[where][1]
    assert remedy in found[where][2]


NOT_WITH_CONTAINERS = [
    ("platform", {"uri": "qemu:///system"}, "lab.platform.uri", "no hypervisor"),
    ("platform", {"hypervisors": {"here": {"uri": "qemu:///system"}}}, "lab.platform.hypervisors", "no hypervisor"),
    ("platform", {"image": "/debian.qcow2"}, "lab.platform.image", "no hypervisor"),
    ("underlay", {"cidr": "10.99.0.0/24", "bridge": "br0"}, "lab.underlay.bridge", "no hypervisor"),
    ("nodes.docker01", {"hypervisor": "here"}, "lab.nodes.docker01.hypervisor", "no hypervisor"),
    ("engine", {"install": "packages"}, "lab.engine.install", "part of the nodes' image"),
    ("engine", {"install": "apt"}, "lab.engine.install", "part of the nodes' image"),
]


@pytest.mark.parametrize(("path", "value", "where", "rule"), NOT_WITH_CONTAINERS)
def test_what_machines_have_is_refused_for_containers(path: str, value: Any, where: str, rule: str) -> None:
    raw = put(lab(), "machine.kind", "container")
    assert parse(raw, "dev").machine_kind == "container"
    found = problems(put(raw, path, value))
    assert rule in found[where][1]
    assert found[where][2] == "leave it out, or set machine.kind to vm"
    assert "machine.kind" not in str(problems(put(put(lab(), path, value), "name", 7)))


def test_containers_that_state_hypervisors_get_one_problem_each() -> None:
    raw = put(put(lab(), "machine.kind", "container"), "underlay.bridge", "br0")
    names = {name: {"uri": f"qemu+ssh://{name}/system"} for name in ("here", "there")}
    put(put(raw, "platform.hypervisors", names), "nodes.docker01", {"hypervisor": "here"})
    with pytest.raises(SettingsError) as caught:
        parse(raw, "dev")
    paths = [problem.path for problem in caught.value.problems]
    assert sorted(paths) == ["lab.nodes.docker01.hypervisor", "lab.platform.hypervisors", "lab.underlay.bridge"]


def test_all_nodes_are_of_one_kind() -> None:
    found = problems(put(lab(), "nodes.docker01", {"machine": {"kind": "container"}}))
    _, rule, remedy = found["lab.nodes.docker01.machine.kind"]
    assert "unknown key" in rule
    assert "memory_mib" in remedy


SOCKET = "unix:///var/run/docker.sock"


def test_nodes_run_on_an_engine_of_this_machine() -> None:
    raw = put(put(lab(), "machine.kind", "container"), "platform.docker_host", SOCKET)
    assert not parse(raw, "dev").platform.is_bundled
    assert not parse(put(raw, "platform.kind", "system"), "dev").platform.is_bundled
    assert parse(put(lab(), "machine.kind", "container"), "dev").platform.is_bundled


@pytest.mark.parametrize(
    ("kind", "platform", "where", "rule"),
    [
        ("vm", {"docker_host": SOCKET}, "docker_host", "only with machine.kind container"),
        ("container", {"docker_host": SOCKET, "kind": "bundled"}, "docker_host", "only on a system platform"),
        ("container", {"docker_host": "tcp://10.0.0.1:2375"}, "docker_host", "a Docker engine of this machine"),
        ("container", {"kind": "system"}, "kind", "only together with platform.docker_host"),
    ],
)
def test_an_engine_that_cannot_run_the_nodes_is_refused(
    kind: str, platform: dict[str, str], where: str, rule: str
) -> None:
    found = problems(put(put(lab(), "machine.kind", kind), "platform", platform))
    assert rule in found[f"lab.platform.{where}"][1]


def test_nodes_as_containers_have_no_hypervisor() -> None:
    settings = parse(put(lab(), "machine.kind", "container"), "dev")
    assert settings.hypervisors == ()
    assert parse(lab(), "dev").hypervisors == ("",)


def test_every_problem_is_reported_at_once() -> None:
    raw = lab()
    for path, value in [("netwrk", {}), ("store", {"kind": "x"}), ("machine", {"vcpu": "1", "memory_mib": 1})]:
        put(raw, path, value)
    put(raw, "workloads.t1.node", "docker9")
    assert {
        "lab.netwrk",
        "lab.store.kind",
        "lab.machine.vcpu",
        "lab.machine.memory_mib",
        "lab.workloads.t1.node",
    } <= set(problems(raw))


@pytest.mark.parametrize("raw", [None, [], "x", 5, True])
def test_a_lab_that_is_no_mapping(raw: object) -> None:
    assert "lab" in problems(raw)


def test_the_text_has_path_value_rule_and_remedy() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(put(lab(), "store", {"kind": "etcdd"}), "dev")
    assert str(caught.value).splitlines() == [
        "Pulumi.dev.yaml: 1 problem; nothing was created.",
        '  lab.store.kind = "etcdd"',
        "    rule:   one of 'consul' or 'etcd'",
        "    remedy: choose one of these",
    ]


def test_a_key_written_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.x.yaml").write_text("config:\n  overlab:lab:\n    nodes:\n      a1: {}\n      a1: {}\n")
    with pytest.raises(SettingsError, match="each key once"):
        read_stack_file(tmp_path, "x")


def test_a_missing_stack_names_those_that_exist(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    with pytest.raises(SettingsError, match="stacks here: dev"):
        read_stack_file(tmp_path, "prod")
