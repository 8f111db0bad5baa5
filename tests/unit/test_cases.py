"""What people did in public bug reports, in this project's terms: what the stack file alone tells is reported first.

Each test is named after what somebody did. Base: two nodes, one overlay, a workload on each.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from components import checks
from components.checks.kinds import KINDS, Subject
from components.checks.matrix import has_probe_tools
from components.config import conventions, images, platform_rules
from components.config.settings import SettingsError, parse
from components.remote import bounded
from overlab.platform import container_images, disk

BASE: dict[str, Any] = {
    "underlay": {"cidr": "10.96.0.0/24"},
    "nodes": {"docker01": {}, "docker02": {}},
    "networks": {"ov1": {"created_on": "docker01", "subnet": "10.20.0.0/24"}},
    "workloads": {
        "a1": {"node": "docker01", "networks": ["ov1"]},
        "b1": {"node": "docker02", "networks": ["ov1"]},
    },
}
ARGUMENT_LIMIT = 128 * 1024
"""Linux: bytes of one argument, or of one environment variable."""


def case(**changes: Any) -> dict[str, Any]:
    """The base lab with changes; ``a__b`` is a path."""
    raw = copy.deepcopy(BASE)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = raw
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return raw


def refused(raw: object) -> dict[str, tuple[str, str]]:
    """Rule and remedy of every problem, by path."""
    with pytest.raises(SettingsError) as caught:
        parse(raw, "case")
    return {one.path: (one.rule, one.remedy) for one in caught.value.problems}


def accepted(raw: object) -> None:
    """There is no problem."""
    parse(raw, "case")


def on(node: str, *networks: str, **options: Any) -> dict[str, Any]:
    return {"node": node, "networks": list(networks), **options}


def network(subnet: str | None = None, created_on: str = "docker01", **options: Any) -> dict[str, Any]:
    return {"created_on": created_on, **({"subnet": subnet} if subnet else {}), **options}


# -- K02


@pytest.mark.parametrize("how", [{"ports": [{"target": 80, "published": 8080}]}, {"publish_all": True}])
def test_a_port_was_published_on_an_internal_overlay(how: dict[str, Any]) -> None:
    internal = case(networks__ov1__internal=True, workloads__a1=on("docker01", "ov1", image="nginx:1.18", **how))
    rule, remedy = refused(internal)[f"lab.workloads.a1.{next(iter(how))}"]
    assert "not on internal networks alone (ov1)" in rule
    assert "not internal too" in remedy
    beside = copy.deepcopy(internal)
    beside["networks"]["ov2"] = network("10.20.1.0/24")
    beside["workloads"]["a1"]["networks"].append("ov2")
    accepted(beside)


def test_a_port_was_published_on_a_network_that_does_not_exist() -> None:
    found = refused(case(workloads__a1=on("docker01", "ov9", ports=["80:80"])))
    assert list(found) == ["lab.workloads.a1.networks.ov9"]


# -- K03


def test_a_stated_address_was_one_that_another_workload_takes_first() -> None:
    raw = case(workloads__b1={"node": "docker02", "networks": {"ov1": {"ipv4_address": "10.20.0.2"}}})
    rule, remedy = refused(raw)["lab.workloads.b1.networks.ov1.ipv4_address"]
    assert "workloads that state none (a1): up to 10.20.0.2" in rule
    assert remedy == "choose a higher one, or state networks.ov1.ip_range: 10.20.0.128/25 for them"
    raw["networks"]["ov1"]["ip_range"] = "10.20.0.128/25"
    accepted(raw)


@pytest.mark.parametrize(
    ("address", "options", "dynamic", "free"),
    [
        ("10.20.0.3", {}, 1, True),
        ("10.20.0.3", {}, 2, False),
        ("10.20.0.4", {}, 2, True),
        # Neither the gateway nor what is kept free is given to anyone.
        ("10.20.0.1", {"gateway": "10.20.0.254"}, 1, False),
        ("10.20.0.2", {"gateway": "10.20.0.254"}, 1, True),
        ("10.20.0.3", {"aux_addresses": {"x": "10.20.0.2"}}, 1, False),
        ("10.20.0.3", {"ip_range": "10.20.0.0/28"}, 3, False),
        ("10.20.0.66", {"ip_range": "10.20.0.64/28"}, 1, True),
        ("10.20.0.65", {"ip_range": "10.20.0.64/28"}, 1, False),
    ],
)
def test_a_stated_address_was_near_those_that_engines_pick(
    address: str, options: dict[str, Any], dynamic: int, free: bool
) -> None:
    workloads: dict[str, Any] = {f"w{number}": on("docker01", "ov1") for number in range(dynamic)}
    workloads["stated"] = {"node": "docker02", "networks": {"ov1": {"ipv4_address": address}}}
    raw = case(networks__ov1=network("10.20.0.0/24", **options), workloads=workloads)
    if free:
        accepted(raw)
    else:
        assert list(refused(raw)) == ["lab.workloads.stated.networks.ov1.ipv4_address"]


def test_the_offered_range_has_room_and_no_stated_address() -> None:
    stated = {f"s{n}": {"node": "docker01", "networks": {"ov1": {"ipv4_address": f"10.20.0.{n}"}}} for n in (2, 200)}
    raw = case(workloads={**stated, **{f"w{number}": on("docker02", "ov1", memory_mib=6) for number in range(100)}})
    _, remedy = refused(raw)["lab.workloads.s2.networks.ov1.ipv4_address"]
    assert remedy == "choose a higher one"
    del raw["workloads"]["s200"]
    _, remedy = refused(raw)["lab.workloads.s2.networks.ov1.ipv4_address"]
    raw["networks"]["ov1"]["ip_range"] = remedy.split()[-3]
    accepted(raw)


# -- K04


def test_the_lab_network_was_inside_the_engines_own_overlay_pool() -> None:
    raw = {
        "underlay": {"cidr": "10.0.0.0/24"},
        "nodes": {"docker01": {}, "docker02": {}, "docker03": {}},
        "store": {"kind": "consul", "node": "docker03"},
        "networks": {"ol1": network("172.16.1.0/24", gateway="172.16.1.254"), "ol2": network()},
    }
    rule, remedy = refused(raw)["lab.networks.ol2.subnet"]
    assert "lab.underlay.cidr is 10.0.0.0/24" in rule
    assert "state a subnet outside 10.0.0.0/24" in remedy
    raw["networks"]["ol2"]["subnet"] = "172.16.2.0/24"  # type: ignore[index]
    accepted(raw)


def test_the_local_pool_was_inside_the_engines_own_overlay_pool() -> None:
    raw = case(engine={"address_pools": [{"base": "10.0.128.0/17", "size": 24}]})
    accepted(raw)
    raw["networks"]["ov2"] = network()
    assert "lab.engine.address_pools.0.base" in refused(raw)["lab.networks.ov2.subnet"][0]


def test_other_networks_took_the_entire_overlay_pool() -> None:
    whole = {"big": network("10.0.0.0/9"), "other": network("10.128.0.0/9")}
    underlay = {"cidr": "192.168.7.0/24"}
    assert "lab.networks.ov2.subnet" in refused(
        case(underlay=underlay, networks=whole | {"ov2": network()}, workloads={})
    )
    half = {"big": network("10.0.0.0/9"), "small": network("10.128.0.0/29"), "ov2": network()}
    accepted(case(underlay=underlay, networks=half, workloads={}))


# -- K05


def test_networks_and_workloads_had_names_and_ports_of_the_lab_itself() -> None:
    raw = case(
        store={"servers": 1},
        networks={name: network(f"10.20.{n}.0/24") for n, name in enumerate(["default", "host", "docker_gwbridge"])},
        workloads={
            "consul": on("docker01", "host"),
            "a1": on(
                "docker01",
                "host",
                ports=[
                    {"target": 80, "published": 8600},
                    {"target": 53, "published": 8600, "protocol": "udp"},
                    {"target": 80, "published": 8302, "protocol": "udp"},
                ],
            ),
        },
    )
    found = refused(raw)
    assert {"lab.networks.default", "lab.networks.host", "lab.networks.docker_gwbridge"} <= set(found)
    assert "the store's container, which runs on docker01" in found["lab.workloads.consul"][0]
    assert {f"lab.workloads.a1.ports.{n}.published" for n in range(3)} <= set(found)
    assert len(found) == 7


def test_a_workload_was_named_consul_where_no_agent_runs() -> None:
    raw = case(store={"node": "docker02"}, workloads={"consul": on("docker01", "ov1")})
    accepted(raw)
    raw |= {"store": {"servers": 3}, "nodes": {"docker01": {}, "docker02": {}, "docker03": {}}}
    assert "which runs on docker01" in refused(raw)["lab.workloads.consul"][0]


@pytest.mark.parametrize("name", ["localhost", "LocalHost", "ip6-allnodes"])
def test_a_workload_was_named_as_every_container_names_itself(name: str) -> None:
    assert list(refused(case(workloads={name: on("docker01", "ov1")}))) == [f"lab.workloads.{name}"]
    aliased = {"node": "docker01", "networks": {"ov1": {"aliases": [name.lower()]}}}
    assert list(refused(case(workloads__c1=aliased))) == ["lab.workloads.c1.networks.ov1.aliases.0"]


def test_two_names_on_a_network_differed_in_case_only() -> None:
    rule, _ = refused(case(workloads__A1=on("docker02", "ov1")))["lab.workloads.a1"]
    assert "workloads.A1 is on ov1 too" in rule
    apart = case(networks__ov2=network("10.20.1.0/24"), workloads__A1=on("docker02", "ov2"))
    accepted(apart)
    aliased = {"node": "docker01", "networks": {"ov1": {"aliases": ["b2"]}}}
    found = refused(case(workloads__B2=on("docker01", "ov1"), workloads__c1=aliased))
    assert list(found) == ["lab.workloads.c1.networks.ov1.aliases.0"]


def test_a_stated_port_was_one_that_the_engine_picks_for_another() -> None:
    workloads = {"a1": on("docker01", "ov1", ports=["80"]), "b1": on("docker01", "ov1", ports=["49153:80"])}
    assert "picks ports from there on for a1" in refused(case(workloads=workloads))["lab.workloads.b1.ports.0"][0]
    workloads["b1"]["node"] = "docker02"
    accepted(case(workloads=workloads))


# -- K11


@pytest.mark.parametrize(
    "reference",
    [
        "busybox:1.35",
        "library/busybox:1.35",
        "docker.io/busybox:1.35",
        "docker.io/library/busybox:1.35",
        "index.docker.io/library/busybox:1.35",
    ],
)
def test_one_image_was_written_in_several_ways(reference: str) -> None:
    assert images.parse(reference) == images.parse("busybox:1.35")
    digests = {"library/busybox:1.35": f"sha256:{'1' * 64}", "library/nginx:1.18": f"sha256:{'2' * 64}"}
    assert images.pinned(reference, digests) == f"{reference.removesuffix(':1.35')}@sha256:{'1' * 64}"
    accepted(case(workloads__a1__image=reference))
    assert has_probe_tools(reference)


@pytest.mark.parametrize(
    "reference", ["busybox", "busybox:1.36", "reg.example:5000/busybox:1.35", f"busybox@sha256:{'9' * 64}"]
)
def test_another_image_is_not_pinned(reference: str) -> None:
    assert images.pinned(reference, {"library/busybox:1.35": f"sha256:{'1' * 64}"}) == reference


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("busybox", images.Image("docker.io", "busybox", "latest", "")),
        ("busybox@sha256:ab", images.Image("docker.io", "busybox", "", "sha256:ab")),
        ("busybox:1.35@sha256:ab", images.Image("docker.io", "busybox", "1.35", "sha256:ab")),
        ("localhost/busybox", images.Image("localhost", "busybox", "latest", "")),
        ("hub.example:5000/tools/busybox:2", images.Image("hub.example:5000", "tools/busybox", "2", "")),
        ("tools/busybox", images.Image("docker.io", "tools/busybox", "latest", "")),
        ("quay.io/library/busybox", images.Image("quay.io", "library/busybox", "latest", "")),
    ],
)
def test_references_are_read_as_docker_reads_them(reference: str, expected: images.Image) -> None:
    assert images.parse(reference) == expected
    assert has_probe_tools(reference)


@pytest.mark.parametrize("reference", ["nginx:1.18", "busyboxes:1", "busybox/nginx", "busybox.example/nginx"])
def test_an_image_without_the_tools_is_a_target_only(reference: str) -> None:
    assert not has_probe_tools(reference)


# -- K12


def test_images_and_engine_were_not_those_that_this_platform_has() -> None:
    raw = case(
        engine={"version": "20.10.24"},
        store={"image": "hashicorp/consul:1.15"},
        workloads={
            "a1": on("docker01", "ov1", image="alpine:3.18"),
            "b1": on("docker01", "ov1", image="nginx"),
            "c1": on("docker01", "ov1", image="busybox"),
            "d1": on("docker01", "ov1", image="quay.io/busybox:1.35"),
        },
    )
    found = refused(raw)
    assert set(found) == {
        "lab.engine.version",
        "lab.store.image",
        *(f"lab.workloads.{name}.image" for name in ("a1", "b1", "c1", "d1")),
    }
    assert "20.10.5" in found["lab.engine.version"][0]
    rule, remedy = found["lab.workloads.a1.image"]
    assert "busybox:1.35, consul:1.8, hashicorp/consul:1.8, overlab/etcd:3.3, nginx:1.18" in rule
    assert "platform.registry_mirror" in remedy


@pytest.mark.parametrize("image", ["busybox@sha256:ab", "docker.io/library/nginx:1.18", "hashicorp/consul:1.8"])
def test_an_image_of_this_platform_was_named_otherwise(image: str) -> None:
    accepted(case(workloads__a1__image=image))


@pytest.mark.parametrize(
    "platform",
    [
        {"registry_mirror": "http://10.96.0.1:5001"},
        {"uri": "qemu:///system"},
        {"kind": "system"},
        {"hypervisors": {"hv1": {"uri": "qemu:///system"}}},
        {"image": "/srv/mine.qcow2"},
    ],
)
def test_an_image_was_one_that_another_platform_may_have(platform: dict[str, Any]) -> None:
    accepted(case(platform=platform, workloads__a1__image="alpine:3.18"))


@pytest.mark.parametrize(
    ("engine", "platform", "path"),
    [
        ({"install": "apt"}, {}, "lab.engine.install"),
        ({"install": "apt"}, {"kind": "system"}, ""),
        ({"install": "apt", "version": "20.10.24"}, {"kind": "system"}, ""),
        ({"install": "packages", "version": "20.10.24"}, {"kind": "system", "image": "/x"}, "lab.engine.version"),
        ({"version": "20.10.24"}, {"kind": "system", "image": "/x"}, ""),
        ({"version": "20.10.24"}, {"kind": "system"}, "lab.engine.version"),
        ({"version": "20.10.50"}, {}, "lab.engine.version"),
        ({"version": "20.10.5"}, {}, ""),
        ({"version": "20.10"}, {}, ""),
    ],
)
def test_an_engine_was_one_that_the_platform_may_have(engine: Any, platform: Any, path: str) -> None:
    raw = case(engine=engine, platform=platform)
    if path:
        assert list(refused(raw)) == [path]
    else:
        accepted(raw)


def test_the_named_images_are_those_of_the_registry() -> None:
    built = {images.parse(name) for name in container_images.names()}
    assert {images.parse(name) for name in conventions.BUNDLED_IMAGES} == built


# -- K13


def test_more_workloads_were_on_an_overlay_than_it_has_addresses() -> None:
    six = {f"w{number}": on("docker01", "ov1") for number in range(6)}
    rule, _ = refused(case(networks__ov1=network("10.20.0.0/29"), workloads=six))["lab.networks.ov1.subnet"]
    assert rule == "10.20.0.0/29 has 5 addresses, and 6 workloads take one"
    del six["w5"]
    accepted(case(networks__ov1=network("10.20.0.0/29"), workloads=six))


def test_more_workloads_took_addresses_of_a_range_than_it_has() -> None:
    workloads: dict[str, Any] = {f"w{number}": on("docker01", "ov1") for number in range(7)}
    raw = case(networks__ov1=network("10.20.0.0/24", ip_range="10.20.0.128/29"), workloads=workloads)
    accepted(raw)  # 8 less the gateway
    raw["networks"]["ov1"]["aux_addresses"] = {"router": "10.20.0.130"}
    assert "has 6 addresses" in refused(raw)["lab.networks.ov1.ip_range"][0]
    raw["networks"]["ov1"] = network("10.20.0.0/24", ip_range="10.20.0.128/29", gateway="10.20.0.1")
    workloads["w0"] = {"node": "docker01", "networks": {"ov1": {"ipv4_address": "10.20.0.135"}}}
    accepted(raw)
    workloads |= {f"v{number}": on("docker01", "ov1") for number in range(2)}
    assert "has 7 addresses that no workload states, and 8" in refused(raw)["lab.networks.ov1.ip_range"][0]


def test_more_workloads_were_on_an_overlay_of_the_pool_than_it_has_addresses() -> None:
    workloads = {f"w{number}": on(f"docker0{number % 2 + 1}", "ov2", memory_mib=6) for number in range(254)}
    raw = case(networks__ov2=network(), workloads=workloads, machine={"memory_mib": 4096})
    assert "10.0.0.0/24 has 253 addresses, and 254" in refused(raw)["lab.networks.ov2.subnet"][0]
    del workloads["w0"]
    accepted(raw)


# -- K14


def test_one_local_pool_had_a_single_subnet() -> None:
    raw = case(engine={"address_pools": [{"base": "172.30.0.0/24", "size": 24}]})
    assert "docker0 and docker_gwbridge take one each" in refused(raw)["lab.engine.address_pools"][0]
    raw["engine"]["address_pools"].append({"base": "172.31.0.0/24", "size": 24})
    accepted(raw)


def test_the_local_subnets_were_too_small_for_the_workloads_of_a_node() -> None:
    raw = case(
        engine={"address_pools": [{"base": "172.30.0.0/16", "size": 30}]},
        workloads={name: on("docker01", "ov1") for name in ("a1", "a2")},
    )
    rule, _ = refused(raw)["lab.engine.address_pools.0.size"]
    assert rule == "room for docker01's 2 workloads: docker_gwbridge has 1 address in a /30"
    raw["networks"]["ov1"]["internal"] = True
    accepted(raw)


def test_the_second_local_subnet_is_that_of_docker_gwbridge() -> None:
    pools = [{"base": "172.30.0.0/24", "size": 24}, {"base": "172.31.0.0/24", "size": 30}]
    workloads = {name: on("docker01", "ov1") for name in ("a1", "a2")}
    found = refused(case(engine={"address_pools": pools}, workloads=workloads))
    assert list(found) == ["lab.engine.address_pools.1.size"]


# -- K16


def test_one_number_was_published_by_tcp_and_by_udp() -> None:
    ports = [{"target": 53, "published": 53}, {"target": 53, "published": 53, "protocol": "udp"}]
    settings = parse(case(workloads__a1__ports=ports), "case")
    assert [port.protocol for port in settings.workloads["a1"].ports] == ["tcp", "udp"]


@pytest.mark.parametrize("key", ["ip", "host_ip"])
def test_a_port_was_wanted_on_one_address(key: str) -> None:
    ports = [{"target": 53, "published": 53, key: "10.96.0.11"}]
    _, remedy = refused(case(workloads__a1__ports=ports))[f"lab.workloads.a1.ports.0.{key}"]
    assert "DOCKER-USER" in remedy


# -- K17, K18


def test_a_network_had_several_subnets_or_ipv6() -> None:
    found = refused(case(networks__ov1={"created_on": "docker01", "subnets": ["10.20.0.0/24", "10.21.0.0/24"]}))
    assert "one subnet" in found["lab.networks.ov1.subnets"][1]
    rule, _ = refused(case(networks__ov1=network("fd00:20::/64")))["lab.networks.ov1.subnet"]
    assert "IPv6" in rule


def test_compose_idioms_were_pasted() -> None:
    raw = case(
        networks__ov1=network("10.20.0.0/24", driver="overlay", driver_opts={"encrypted": "true"}),
        workloads__a1={
            "node": "docker01",
            "networks": {"ov1": {"ipv4_address": "10.20.0.9"}},
            "container_name": "x",
            "hostname": "y",
            "environment": {"A": "b"},
            "network_mode": "container:b1",
            "restart": "always",
            "ports": ["8080:80"],
            "command": "ping a1",
            "links": ["b1"],
            "dns": ["1.1.1.1"],
            "extra_hosts": ["db:192.0.2.1"],
            "mac_address": "02:42:0a:14:00:09",
        },
    )
    found = refused(raw)
    assert "never works with a cluster store" in found["lab.networks.ov1.driver_opts"][1]
    of_workload = {path.removeprefix("lab.workloads.a1.") for path in found if path.startswith("lab.workloads.a1.")}
    unknown = {"container_name", "restart", "links", "mac_address"}
    beside_network_mode = {"networks", "hostname", "ports", "dns", "extra_hosts"}
    assert of_workload == {*unknown, *beside_network_mode}


def test_a_key_with_a_new_name_is_reported_once() -> None:
    old = {"node": "docker01", "overlays": ["ov1"], "restart": "always"}
    assert set(refused(case(workloads__a1=old))) == {"lab.workloads.a1.overlays", "lab.workloads.a1.restart"}


# -- K23


def test_a_disk_was_smaller_than_the_image() -> None:
    assert disk.SIZE_MIB <= conventions.MINIMUM_DISK_GIB * 1024
    nodes = {"docker01": {"machine": {"disk_gib": conventions.MINIMUM_DISK_GIB - 1}}, "docker02": {}}
    assert "at least 4" in refused(case(nodes=nodes))["lab.nodes.docker01.machine.disk_gib"][0]


# -- K25


def test_sixty_workloads_were_on_one_overlay_of_three_nodes(tmp_path: Path) -> None:
    """No argument grows with them: the script reaches the node on stdin, and its plan the program."""
    nodes: dict[str, Any] = {f"docker0{number}": {} for number in (1, 2, 3)}
    workloads = {f"w{n:02}": on(f"docker0{n % 3 + 1}", "ov1", memory_mib=6) for n in range(60)}
    settings = parse(case(nodes=nodes, workloads=workloads, machine={"memory_mib": 2048}), "case")
    every = checks.matrix(settings)
    facts = checks.Facts(
        addresses={name: {"ov1": str(IPv4Address("10.20.0.2") + n)} for n, name in enumerate(workloads)},
        networks={"ov1": {"id": "0" * 64, "subnet": "10.20.0.0/24"}},
    )
    script = checks.node_script("docker01", every, checks.CheckedLab.of(settings), facts)
    assert len(script) > 4 * ARGUMENT_LIMIT
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexec wc -c\n")
    python.chmod(0o755)
    done = subprocess.run(
        ["sh", "-s"],
        input=bounded("checks", 60, script),
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) > 4 * ARGUMENT_LIMIT


def many(count: int) -> dict[str, Any]:
    # Characters that Pulumi's CLI escapes.
    command = ["sh", "-c", "true && echo '<x>'"]
    workloads = {f"w{n:04}": on("docker01", "ov1", command=command, memory_mib=6) for n in range(count)}
    pools = {"address_pools": [{"base": "172.16.0.0/12", "size": 16}]}
    networks = {"ov1": network("10.20.0.0/16")}
    return case(machine={"memory_mib": 65536}, engine=pools, networks=networks, workloads=workloads)


def test_more_workloads_were_stated_than_pulumi_passes_on() -> None:
    """The limit is that of one environment variable: below it a process starts, above it none does."""
    sizes = {count: _environment_size(many(count)) for count in (500, 2000)}
    assert sizes[500] < platform_rules.LONGEST_CONFIGURATION < sizes[2000]
    accepted(many(500))
    rule, remedy = refused(many(2000))["lab"]
    assert "one environment variable" in rule
    assert "stacks" in remedy
    fits = {"PULUMI_CONFIG": "x" * platform_rules.LONGEST_CONFIGURATION}
    subprocess.run(["/bin/true"], env=fits, check=True)
    with pytest.raises(OSError, match="too long"):
        subprocess.run(["/bin/true"], env={"PULUMI_CONFIG": "x" * ARGUMENT_LIMIT}, check=True)


def _environment_size(raw: object) -> int:
    inner = json.dumps(raw, separators=(",", ":"))
    for char in "&<>":
        inner = inner.replace(char, f"\\u{ord(char):04x}")
    return len(json.dumps({"overlab:lab": inner}))


# -- found on the way


def test_two_workloads_were_on_the_same_two_networks() -> None:
    """The resolver answers with an address on either; of an alias with that on its network."""
    networks = {"ov1": network("10.20.0.0/24"), "ov2": network("10.21.0.0/24")}
    both = on("docker01", "ov1", "ov2")
    aliased = {"node": "docker02", "networks": {"ov1": {}, "ov2": {"aliases": ["two"]}}}
    settings = parse(case(networks=networks, workloads={"a1": both, "b1": aliased}), "case")
    facts = checks.Facts(
        addresses={"a1": {"ov1": "10.20.0.2", "ov2": "10.21.0.2"}, "b1": {"ov1": "10.20.0.3", "ov2": "10.21.0.3"}}
    )
    lab = checks.CheckedLab.of(settings)
    accepted = {}
    for check in checks.matrix(settings):
        if check.kind == "dns":
            ((pattern, _),) = KINDS["dns"].probe(Subject(check, lab, facts)).wants
            answers = ("10.20.0.2", "10.20.0.3", "10.21.0.2", "10.21.0.3", "10.20.0.33")
            accepted[check.id] = {one for one in answers if re.search(pattern, f"Address: {one}", re.MULTILINE)}
    assert accepted == {
        "dns:ov1:b1:a1": {"10.20.0.2", "10.21.0.2"},
        "dns:ov1:a1:b1": {"10.20.0.3", "10.21.0.3"},
        "dns:ov2:b1:a1": {"10.20.0.2", "10.21.0.2"},
        "dns:ov2:a1:b1": {"10.20.0.3", "10.21.0.3"},
        "dns:ov2:a1:two": {"10.21.0.3"},
    }
