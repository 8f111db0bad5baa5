"""Inputs of components: refused with every problem at once, and registered so that a preview shows their change."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pulumi
import pulumi_command as command
import pytest

from components._base import Args, ArgsError, Component, Public
from components.config.settings import Settings, parse, read_stack_file
from components.config.spec import MachineSpec, PortSpec
from components.docker_engine import DockerEngineArgs
from components.lab import Lab
from components.network import NetworkArgs
from components.store import StoreArgs
from components.workload import Workload, WorkloadArgs
from tests.components.recorder import Declared, Recorder, make_platform, run_lab, run_program

PROJECT = Path(__file__).parents[2]


class Sized(Args, MachineSpec):
    """A section of a stack file, public fields, and private ones."""

    name: Public[str] = "n"
    cidrs: Public[tuple[IPv4Network, ...]] = ()
    address: Public[str | pulumi.Output[str]] = ""
    secret: str = "s"
    provider: command.Provider | None = None


def refused(args: type[Args], **values: Any) -> dict[str, tuple[str, str, str]]:
    """Path -> value, rule and remedy."""
    with pytest.raises(ArgsError) as error:
        args(**values)
    assert f"{args.__name__}: {len(error.value.problems)} problem" in str(error.value)
    return {problem.path: (problem.value, problem.rule, problem.remedy) for problem in error.value.problems}


def test_every_problem_is_reported_at_once_with_path_value_rule_and_remedy() -> None:
    found = refused(Sized, vcpu=0, memory_mib="1024", nmae="x", provider=7, address=8)
    assert {path.split(".")[1] for path in found} == {"vcpu", "memory_mib", "nmae", "provider", "address"}
    assert found["Sized.vcpu"][0] == "0"
    assert found["Sized.nmae"][1] == "unknown input"
    assert "memory_mib" in found["Sized.nmae"][2]
    assert all(all(texts) for texts in found.values())


def test_a_missing_input_is_named() -> None:
    assert refused(NetworkArgs, internal=True) == {"NetworkArgs.engine": ("", "required", "pass engine=")}


def test_inputs_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sized().name = "m"  # type: ignore[misc]  # that is the test


def test_what_a_stack_file_states_and_public_fields_are_registered_and_nothing_else() -> None:
    stated = {"vcpu": 3, "memory_mib": 1024, "disk_gib": 8}
    args = Sized(vcpu=3, cidrs=(IPv4Network("10.0.0.0/24"),))
    assert args.inputs() == stated | {"name": "n", "cidrs": ["10.0.0.0/24"], "address": ""}


@pytest.fixture(scope="module")
def settings() -> Settings:
    return parse(read_stack_file(PROJECT, "dev"), "dev")


@pytest.fixture(scope="module")
def lab(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    found: list[Lab] = []

    def program() -> None:
        found.append(Lab(settings, make_platform(tmp_path_factory.mktemp("platform"), settings)))

    run_program(program)
    return found[0]


def test_rules_of_networks(lab: Lab) -> None:
    engine = lab.engines["docker01"]
    address, part = IPv4Address("10.0.0.1"), IPv4Network("10.0.0.0/25")
    without_subnet = refused(NetworkArgs, engine=engine, gateway=address, ip_range=part, aux_addresses={"a": address})
    assert without_subnet.keys() == {f"NetworkArgs.{name}" for name in ("gateway", "ip_range", "aux_addresses")}


def test_rules_of_workloads(lab: Lab) -> None:
    engine, other = lab.engines["docker01"], lab.workloads["t1"]
    ports = (PortSpec(target=80, published=8080), PortSpec(target=80, published=8081))
    assert refused(WorkloadArgs, engine=engine, ports=ports)["WorkloadArgs.ports.1"][0] == "8081"
    protocols = (PortSpec(target=53), PortSpec(target=53, protocol="udp"))
    assert WorkloadArgs(engine=engine, ports=protocols).ports == protocols
    own = {"hostname": "h", "dns": (IPv4Address("10.0.0.1"),), "publish_all": True, "extra_hosts": {"a": "10.0.0.2"}}
    found = refused(WorkloadArgs, engine=engine, shares_network_of=other, ports=protocols, **own)
    assert found.keys() == {f"WorkloadArgs.{name}" for name in ("ports", *own)}


def test_rules_of_engines_and_stores(lab: Lab) -> None:
    engine = lab.engines["docker01"]
    store = "consul://10.99.0.11:8500"
    assert refused(DockerEngineArgs, machine=engine.machine, cluster_store=store, api="tls").keys() == {
        "DockerEngineArgs.tls"
    }
    assert refused(DockerEngineArgs, machine=engine.machine, cluster_store="etcd://a,b").keys() == {
        "DockerEngineArgs.cluster_store"
    }
    engines = tuple(lab.engines.values())
    assert refused(StoreArgs, engines=engines, servers=engines).keys() == {"StoreArgs.gossip_key", "StoreArgs.tls"}
    assert refused(StoreArgs, engines=engines, servers=()).keys() == {"StoreArgs.servers"}


def run(directory: Path, **changes: Any) -> Recorder:
    raw: dict[str, Any] = {
        "nodes": {"docker01": {}, "docker02": {}},
        "networks": {"ov": {"created_on": "docker01", "subnet": "10.0.0.0/24"}},
        "workloads": {"t1": {"node": "docker01", "networks": ["ov"]}},
    }
    settings = parse(raw | changes, "dev")
    return run_lab(settings, make_platform(directory, settings))


def component(lab: Recorder, type_: str, name: str) -> Declared:
    [found] = [item for item in lab.of(f"overlab:index:{type_}") if item.name == name]
    return found


def on(node: str = "docker01", **stated: Any) -> dict[str, Any]:
    return {"workloads": {"t1": {"node": node, "networks": ["ov"]} | stated}}


@pytest.mark.parametrize(
    ("changes", "changed", "keys"),
    [
        ({"machine": {"memory_mib": 2048}}, "Machine docker01", "memory_mib"),
        ({"engine": {"live_restore": False}}, "DockerEngine docker02-engine", "live_restore"),
        ({"underlay": {"mtu": 1400}}, "Underlay underlay", "mtu"),
        ({"store": {"memory_mib": 256}}, "Store store", "memory_mib"),
        ({"networks": {"ov": {"created_on": "docker02", "subnet": "10.0.0.0/24"}}}, "Network network-ov", "engine"),
        (on("docker02"), "Workload workload-t1", "engine"),
        (on(networks={"ov": {"aliases": ["a"]}}), "Workload workload-t1", "networks"),
        (on(environment={"A": "b"}), "Workload workload-t1", "environment"),
    ],
)
def test_a_changed_stack_file_changes_the_components_inputs(
    tmp_path: Path, changes: dict[str, Any], changed: str, keys: str
) -> None:
    before, after = (component(run(tmp_path, **change), *changed.split()).inputs for change in ({}, changes))
    assert {key for key in before | after if before.get(key) != after.get(key)} == set(keys.split())


def test_a_container_and_a_network_have_what_the_stack_file_states(tmp_path: Path) -> None:
    network = {
        "created_on": "docker01",
        "subnet": "10.0.0.0/24",
        "ip_range": "10.0.0.128/25",
        "aux_addresses": {"printer": "10.0.0.9"},
    }
    workload = {
        "node": "docker01",
        "networks": ["ov"],
        "environment": {"A": "b=c"},
        "labels": {"tier": "front"},
        "hostname": "web",
        "dns": ["10.0.0.53"],
        "dns_search": ["example.org"],
        "extra_hosts": {"db": "10.0.0.7"},
        "ports": [{"target": 81}, {"target": 53, "protocol": "udp"}, {"target": 53, "published": 53}, {"target": 80}],
    }
    lab = run(tmp_path, networks={"ov": network}, workloads={"t1": workload})
    [made] = lab.of("docker:index/network:Network")
    [ipam] = made.inputs["ipamConfigs"]
    assert (ipam["ipRange"], ipam["auxAddress"]) == ("10.0.0.128/25", {"printer": "10.0.0.9"})
    [container] = [item for item in lab.of("docker:index/container:Container") if item.name == "t1"]
    assert container.inputs["envs"] == ["A=b=c"]
    assert container.inputs["hostname"] == "web"
    assert {"label": "tier", "value": "front"} in container.inputs["labels"]
    assert (container.inputs["dns"], container.inputs["dnsSearches"]) == (["10.0.0.53"], ["example.org"])
    assert container.inputs["hosts"] == [{"host": "db", "ip": "10.0.0.7"}]
    # Sorted as the official provider reads them, so that a port without a node port keeps its own.
    ports = [(port["internal"], port["protocol"], port.get("external")) for port in container.inputs["ports"]]
    assert ports == [(53, "tcp", 53), (53, "udp", None), (80, "tcp", None), (81, "tcp", None)]


@pytest.mark.parametrize("secret", [True, False])
def test_an_environment_is_secret_where_the_configuration_has_secrets(tmp_path: Path, secret: bool) -> None:
    workload = {"node": "docker01", "networks": ["ov"], "environment": {"TOKEN": "PRIVATE"}}
    raw = {
        "nodes": {"docker01": {}},
        "networks": {"ov": {"created_on": "docker01", "subnet": "10.0.0.0/24"}},
        "workloads": {"t1": workload},
    }
    settings = parse(raw, "dev")
    object.__setattr__(settings, "secret_environment", secret)
    lab = run_lab(settings, make_platform(tmp_path, settings))
    [container] = [item for item in lab.of("docker:index/container:Container") if item.name == "t1"]
    assert container.inputs["envs"] == ["TOKEN=PRIVATE"]
    assert ("envs" in container.secrets) is secret
    assert ("environment" in component(lab, "Workload", "workload-t1").secrets) is secret


def test_a_component_is_registered_by_its_name(lab: Lab) -> None:
    assert isinstance(lab.workloads["t1"], Workload)
    assert isinstance(lab.engines["docker01"], Component)
    assert lab.workloads["t1"].args.inputs()["engine"] == "docker01-engine"
