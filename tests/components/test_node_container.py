"""Nodes as containers: what a lab declares of them, what makes another node of one, and one without a lab."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_docker as docker
import pytest

from components._base import ArgsError
from components.config.platform import HostKey, Platform
from components.config.settings import Settings, parse
from components.docker_engine import DockerEngine, DockerEngineArgs
from components.lab import Lab
from components.node_container import (
    ContainerUnderlay,
    ContainerUnderlayArgs,
    NodeContainer,
    NodeContainerArgs,
    OuterEngine,
)
from components.remote import SshAccess
from tests.components.recorder import Declared, Recorder, make_node_engine, make_platform, run_lab, run_program

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
NODES = ("docker01", "docker02", "docker03")


def dev(**changes: Any) -> Settings:
    """Three nodes with nothing on them but the store."""
    nodes: dict[str, Any] = {node: {} for node in NODES}
    return parse({"nodes": nodes, "machine": {"kind": "container"}, "engine": {"api": "tls"}} | changes, "dev")


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path, dev())


def with_engine(platform: Platform, **facts: Any) -> Platform:
    return platform.model_copy(update={"node_engine": make_node_engine(**facts)})


def named(lab: Recorder, type_: str, name: str) -> Declared:
    [found] = [item for item in lab.of(type_) if item.name == name]
    return found


def container(platform: Platform, **changes: Any) -> Declared:
    """docker01's."""
    return named(run_lab(dev(**changes), platform), CONTAINER, "docker01-container")


def test_there_is_no_hypervisor_and_nothing_of_one(platform: Platform) -> None:
    lab = run_lab(dev(), platform)
    assert [item.urn for item in lab.declared.values() if "libvirt" in item.type] == []
    components = {item.type.rpartition(":")[2] for item in lab.declared.values() if item.type.startswith("overlab:")}
    assert {"NodeContainer", "ContainerUnderlay"} <= components
    assert not components & {"Machine", "Underlay", "Storage"}


def test_nodes_and_their_volumes_and_network_are_the_outer_engines_and_nothing_else_is(platform: Platform) -> None:
    lab = run_lab(dev(), platform)
    [outer] = [item for item in lab.of("pulumi:providers:docker") if item.name == "outer-engine"]
    assert outer.inputs["host"] == "unix:///run/overlab/docker.sock"
    on_it = {(item.type, item.name) for item in lab.declared.values() if item.provider == outer.urn}
    each = {(CONTAINER, f"{node}-container") for node in NODES} | {(VOLUME, f"{node}-data") for node in NODES}
    assert on_it == each | {(NETWORK, "underlay")}


def test_a_node_is_replaced_without_meeting_its_predecessor(platform: Platform) -> None:
    lab = run_lab(dev(), platform)
    for node in NODES:
        assert named(lab, CONTAINER, f"{node}-container").delete_before_replace
        assert named(lab, VOLUME, f"{node}-data").delete_before_replace
    assert named(lab, NETWORK, "underlay").delete_before_replace


def test_a_node_has_its_name_address_memory_and_volume(platform: Platform) -> None:
    lab = run_lab(dev(nodes={"docker01": {"machine": {"memory_mib": 2048}}, "docker02": {}, "docker03": {}}), platform)
    found = named(lab, CONTAINER, "docker01-container")
    [volume] = [item.inputs["name"] for item in lab.of(VOLUME) if item.name == "docker01-data"]
    assert found.inputs["name"] == "overlab-dev-docker01"
    assert (found.inputs["hostname"], found.inputs["domainname"]) == ("docker01", "lab")
    assert found.inputs["image"] == "overlab/node:0123456789abcdef"
    assert (found.inputs["memory"], found.inputs["memorySwap"]) == (2048, 2048)
    [attachment] = found.inputs["networksAdvanced"]
    assert attachment == {"name": "overlab-dev", "ipv4Address": "10.99.0.11", "aliases": ["docker01"]}
    assert found.inputs["volumes"][0] == {"volumeName": volume, "containerPath": "/var/lib/docker"}
    assert named(lab, NETWORK, "underlay").urn in found.dependencies
    assert found.inputs["tmpfs"] == {"/run": "", "/tmp": ""}


def test_a_node_stops_as_systemd_does_and_starts_again_with_its_engine(platform: Platform) -> None:
    found = container(platform)
    assert found.inputs["stopSignal"] == "SIGRTMIN+3"
    assert found.inputs["restart"] == "unless-stopped"
    assert found.inputs["destroyGraceSeconds"] > 0


def test_without_privileged_a_node_gets_each_capability_by_its_full_name_in_order(platform: Platform) -> None:
    """As the engine shows them: in another order or form the provider would replace the node at every update."""
    found = container(with_engine(platform, capabilities=("SYS_ADMIN", "MKNOD", "NET_ADMIN")))
    assert found.inputs["capabilities"] == {"adds": ["CAP_MKNOD", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"]}
    assert found.inputs["securityOpts"] == ["seccomp=unconfined", "apparmor=unconfined"]
    assert "privileged" not in found.inputs


def test_where_privileged_works_it_is_all_that_is_stated(platform: Platform) -> None:
    found = container(with_engine(platform, privileged=True, capabilities=("SYS_ADMIN",)))
    assert found.inputs["privileged"] is True
    assert not {"capabilities", "securityOpts"} & found.inputs.keys()


@pytest.mark.parametrize(("namespace", "mounted"), [("host", ["/sys/fs/cgroup"]), ("private", [])])
def test_cgroups(platform: Platform, namespace: str, mounted: list[str]) -> None:
    """With the host's namespace a node sees the whole tree, and its engine must stay in the lab's part of it."""
    lab = run_lab(dev(), with_engine(platform, cgroup_namespace=namespace))
    for node in NODES:
        found = named(lab, CONTAINER, f"{node}-container").inputs
        assert (found["cgroupnsMode"], found["cgroupParent"]) == (namespace, "/overlab-dev")
        hosts = [mount for mount in found["volumes"] if "hostPath" in mount]
        assert hosts == [{"hostPath": path, "containerPath": path} for path in mounted]
        parent = daemon_json(lab, node).get("cgroup-parent")
        assert parent == (f"/overlab-dev/{node}" if namespace == "host" else None)


def daemon_json(lab: Recorder, node: str) -> dict[str, Any]:
    script = named(lab, "command:remote:Command", f"{node}-dockerd").inputs["stdin"]
    [text] = re.findall(r"(?ms)^[^\n]*(\{\n  \"c.*?^\})", script)
    found: dict[str, Any] = json.loads(text)
    return found


def test_engines_advertise_the_interface_that_the_outer_engine_names(platform: Platform) -> None:
    lab = run_lab(dev(), platform)
    for node in NODES:
        assert daemon_json(lab, node)["cluster-advertise"] == "eth0:2376"
        engine = named(lab, "overlab:index:DockerEngine", f"{node}-engine")
        assert engine.inputs["cluster_advertise"] == "eth0:2376"
        script = named(lab, "command:remote:Command", f"{node}-dockerd").inputs["stdin"]
        assert "lab0" not in script


def test_first_boot_files_are_secret_and_have_modes(platform: Platform) -> None:
    found = container(platform)
    assert "uploads" in found.secrets
    uploads = {item["file"]: (item["content"], item["permissions"]) for item in found.inputs["uploads"]}
    assert uploads == {
        "/etc/ssh/ssh_host_ed25519_key": ("PRIVATE HOST KEY OF docker01", "0600"),
        "/etc/ssh/ssh_host_ed25519_key.pub": ("ssh-ed25519 KEY-OF-docker01 comment", "0644"),
        "/root/.ssh/authorized_keys": ("ssh-ed25519 CLIENT overlab", "0600"),
    }


@pytest.mark.parametrize(
    ("changed", "changes"),
    [
        ("nothing", {}),
        ("memory", {"machine": {"kind": "container", "memory_mib": 2048}}),
        ("address", {"nodes": {"docker01": {"address": "10.99.0.77"}, "docker02": {}, "docker03": {}}}),
        ("underlay's MTU", {"underlay": {"cidr": "10.99.0.0/24", "mtu": 1400}}),
        ("underlay's egress", {"underlay": {"cidr": "10.99.0.0/24", "mode": "nat"}}),
        ("domain", {"underlay": {"cidr": "10.99.0.0/24", "domain": "site"}}),
        ("host key", {}),
        ("client key", {}),
        ("image", {}),
    ],
)
def test_another_first_boot_identity_is_another_volume(
    platform: Platform, changed: str, changes: dict[str, Any]
) -> None:
    """And so another container: what one node stored is never found by another."""
    before = volume_name(run_lab(dev(), platform))
    if changed == "host key":
        platform.identity.host_keys["docker01"].private.write_text("PRIVATE OTHER KEY")
    elif changed == "client key":
        platform.identity.client_public_key.write_text("ssh-ed25519 OTHER overlab")
    elif changed == "image":
        platform = with_engine(platform, image="overlab/node:feedfacefeedface")
    after = volume_name(run_lab(dev(**changes), platform))
    assert (after == before) is (changed in ("nothing", "memory"))
    assert after.startswith("overlab-dev-docker01-")


def volume_name(lab: Recorder) -> str:
    return str(named(lab, VOLUME, "docker01-data").inputs["name"])


@pytest.mark.parametrize(("mode", "internal"), [("auto", True), ("isolated", True), ("nat", None)])
def test_the_underlay_is_a_bridge_network(platform: Platform, mode: str, internal: bool | None) -> None:
    lab = run_lab(dev(underlay={"cidr": "10.99.0.0/24", "mtu": 1400, "mode": mode}), platform)
    found = named(lab, NETWORK, "underlay").inputs
    assert (found["name"], found["driver"], found.get("internal")) == ("overlab-dev", "bridge", internal)
    assert found["ipamConfigs"] == [{"subnet": "10.99.0.0/24", "gateway": "10.99.0.1"}]
    assert found["options"] == {"com.docker.network.driver.mtu": "1400"}


def test_without_an_engine_in_the_platform_record_nothing_is_declared(platform: Platform) -> None:
    without = platform.model_copy(update={"node_engine": None})
    with pytest.raises(pulumi.RunError, match="no engine: run 'overlab up'"):
        run_program(lambda: Lab(dev(), without))


# -- without a lab ---------------------------------------------------------------------------------


def one_node(directory: Path) -> NodeContainer:
    """A node with an engine, from their inputs alone."""
    for name in ("client", "client.pub", "host", "host.pub", "known_hosts"):
        (directory / name).write_text(f"PRIVATE {name}" if "." not in name else f"ssh-ed25519 {name} comment")
    provider = docker.Provider("mine", host="unix:///var/run/docker.sock")
    cidr = IPv4Network("192.168.123.0/24")
    underlay = ContainerUnderlayArgs(provider=provider, network_name="one-node", cidr=cidr)
    outer = OuterEngine(
        provider=provider,
        underlay=ContainerUnderlay("underlay", underlay),
        image="node:1",
        cgroup_name="one-node",
    )
    node = NodeContainer(
        "docker01",
        NodeContainerArgs(
            memory_mib=2048,
            outer=outer,
            container_name="one-node",
            address=IPv4Address("192.168.123.10"),
            command_provider=command.Provider("commands"),
            access=SshAccess(
                client_key=directory / "client",
                client_public_key=directory / "client.pub",
                known_hosts=directory / "known_hosts",
                control_dir=directory,
            ),
            host_key=HostKey(private=directory / "host", public=directory / "host.pub"),
        ),
    )
    DockerEngine("docker01-engine", DockerEngineArgs(machine=node, cluster_store="consul://192.168.123.10:8500"))
    return node


def test_a_node_needs_nothing_but_its_inputs(tmp_path: Path) -> None:
    found = run_program(lambda: one_node(tmp_path).address)
    components = {item.type.rpartition(":")[2] for item in found.declared.values() if "overlab:" in item.type}
    assert components == {"ContainerUnderlay", "NodeContainer", "DockerEngine"}
    [node] = found.of(CONTAINER)
    assert (node.inputs["name"], node.inputs["privileged"], node.inputs["memory"]) == ("one-node", True, 2048)
    [engine] = [item for item in found.declared.values() if item.name == "docker01-dockerd"]
    assert engine.deleted_with == node.urn
    assert daemon_json(found, "docker01")["cluster-advertise"] == "eth0:2376"
    for item in found.declared.values():
        assert "PRIVATE" not in str({key: value for key, value in item.inputs.items() if key not in item.secrets})


def test_the_components_inputs_are_what_is_stated_and_no_key(tmp_path: Path) -> None:
    [node] = run_program(lambda: one_node(tmp_path).address).of("overlab:index:NodeContainer")
    assert node.inputs == {
        "vcpu": 1,
        "memory_mib": 2048,
        "disk_gib": 8,
        "address": "192.168.123.10",
        "container_name": "one-node",
        "outer": {
            "underlay": "underlay",
            "image": "node:1",
            "privileged": True,
            "capabilities": [],
            "cgroup_namespace": "private",
            "cgroup_driver": "cgroupfs",
            "cgroup_name": "one-node",
        },
    }


def test_every_problem_of_an_outer_engine_is_reported_at_once() -> None:
    stated: dict[str, Any] = {"image": "a\nb", "cgroup_namespace": "mine", "privileged": "no"}
    with pytest.raises(ArgsError) as error:
        OuterEngine(**stated)
    assert {problem.path.partition(".")[2] for problem in error.value.problems} == {
        "provider",
        "underlay",
        "image",
        "cgroup_namespace",
        "privileged",
        "cgroup_name",
    }


@pytest.mark.parametrize(
    ("driver", "parent", "path"),
    [
        ("cgroupfs", "/overlab-a-b", "/overlab-a-b"),
        ("systemd", "overlab-a-b.slice", "/overlab.slice/overlab-a.slice/overlab-a-b.slice"),
    ],
)
def test_the_nodes_cgroup_is_written_as_the_outer_engines_driver_takes_it(driver: str, parent: str, path: str) -> None:
    facts: dict[str, Any] = {
        "cgroup_driver": driver,
        "cgroup_namespace": "host",
        "image": "node:1",
        "cgroup_name": "overlab-a-b",
    }
    found: dict[str, OuterEngine] = {}

    def program() -> None:
        provider = docker.Provider("mine", host="unix:///var/run/docker.sock")
        underlay = ContainerUnderlayArgs(provider=provider, network_name="n", cidr=IPv4Network("192.168.123.0/24"))
        found["outer"] = OuterEngine(provider=provider, underlay=ContainerUnderlay("underlay", underlay), **facts)

    run_program(program)
    assert (found["outer"].cgroup_parent, found["outer"].cgroup_path) == (parent, path)
