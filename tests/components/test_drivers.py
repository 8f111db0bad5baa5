"""Networks of each engine's own, by driver: what their settings refuse, what is declared, which checks follow."""

from __future__ import annotations

import copy
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from components import checks
from components.checks import kinds
from components.config import addressing
from components.config.drivers import DRIVERS
from components.config.settings import Settings, SettingsError, parse
from tests.components.recorder import Declared, Recorder, make_platform, run_lab

NETWORK = "docker:index/network:Network"
CONTAINER = "docker:index/container:Container"
OWN = sorted(name for name, driver in DRIVERS.items() if driver.per_node)
BASE: dict[str, Any] = {
    "underlay": {"cidr": "10.96.0.0/24"},
    "nodes": {"docker01": {}, "docker02": {}, "docker03": {}},
    "networks": {
        "ov1": {"created_on": "docker01", "subnet": "10.20.0.0/24"},
        "own": {"driver": "macvlan", "subnet": "10.40.0.0/24"},
    },
    "workloads": {
        "m1": {"node": "docker01", "networks": {"own": {"ipv4_address": "10.40.0.5", "aliases": ["first"]}}},
        "m2": {"node": "docker02", "networks": ["own"]},
        "m3": {"node": "docker02", "networks": ["own"]},
        "both": {"node": "docker03", "networks": ["ov1", "own"]},
        "o1": {"node": "docker01", "networks": ["ov1"]},
    },
}


def changed(**own: Any) -> dict[str, Any]:
    raw = copy.deepcopy(BASE)
    raw["networks"]["own"] |= own
    return raw


def refused(raw: dict[str, Any]) -> dict[str, tuple[str, str]]:
    with pytest.raises(SettingsError) as caught:
        parse(raw, "case")
    return {one.path: (one.rule, one.remedy) for one in caught.value.problems}


def lab(tmp_path: Path, raw: dict[str, Any] = BASE) -> Recorder:
    settings = parse(copy.deepcopy(raw), "case")
    return run_lab(settings, make_platform(tmp_path, settings))


def own_networks(recorded: Recorder) -> dict[str, Declared]:
    return {one.name: one for one in recorded.of(NETWORK) if one.inputs["name"] == "own"}


# -- addresses


def test_a_nodes_range_follows_from_its_number_alone() -> None:
    subnet = IPv4Network("10.40.0.0/24")
    ranges = [addressing.node_range(subnet, 28, number) for number in range(1, 18)]
    assert ranges[0] == IPv4Network("10.40.0.16/28")
    assert ranges[14] == IPv4Network("10.40.0.240/28")
    assert ranges[15:] == [None, None]
    assert len({one for one in ranges if one}) == 15


def test_adding_or_removing_a_node_moves_no_other_nodes_range() -> None:
    whole = parse(copy.deepcopy(BASE), "case")
    raw = copy.deepcopy(BASE)
    raw["nodes"] = {"docker03": {}, "docker01": {}, "docker09": {}}
    raw["workloads"] = {"m1": raw["workloads"]["m1"]}
    other = parse(raw, "case")
    for node in ("docker01", "docker03"):
        assert whole.node_range("own", node) == other.node_range("own", node)


# -- what is declared


@pytest.mark.parametrize("driver", OWN)
def test_each_engine_creates_its_own_with_one_subnet_and_disjoint_ranges(driver: str, tmp_path: Path) -> None:
    found = own_networks(lab(tmp_path, changed(driver=driver)))
    assert sorted(found) == ["own-docker01", "own-docker02", "own-docker03"]
    ranges = []
    for name, one in found.items():
        (config,) = one.inputs["ipamConfigs"]
        assert one.inputs["driver"] == driver
        assert one.provider.endswith(f"::{name.removeprefix('own-')}-docker")
        # Else each engine would take the first address of its range for it.
        assert (config["subnet"], config["gateway"]) == ("10.40.0.0/24", "10.40.0.1")
        ranges.append(IPv4Network(config["ipRange"]))
        assert one.inputs["options"]["parent"] == "lab0"
    assert not any(one.overlaps(other) for one in ranges for other in ranges if one is not other)


def test_a_vlan_is_on_the_underlays_interface(tmp_path: Path) -> None:
    found = own_networks(lab(tmp_path, changed(vlan=20)))
    assert {one.inputs["options"]["parent"] for one in found.values()} == {"lab0.20"}


def test_names_with_stated_addresses_on_other_nodes_are_in_etc_hosts(tmp_path: Path) -> None:
    hosts = {
        one.name: {host["host"]: host["ip"] for host in one.inputs.get("hosts") or ()}
        for one in lab(tmp_path).of(CONTAINER)
    }
    assert hosts["m2"] == hosts["both"] == {"m1": "10.40.0.5", "first": "10.40.0.5"}
    assert hosts["m1"] == hosts["o1"] == {}


def test_only_overlays_wait_for_each_other(tmp_path: Path) -> None:
    """A gate asks for the overlays by id, and for no network of the engine's own."""
    gates = [one for one in lab(tmp_path).of("command:remote:Command") if one.name.endswith("-sees-networks")]
    assert gates
    for gate in gates:
        assert "await ov1" in gate.inputs["stdin"]
        assert "await own" not in gate.inputs["stdin"]


# -- checks


def found_checks(settings: Settings) -> dict[str, checks.Check]:
    return {one.id: one for one in checks.matrix(settings)}


def test_what_a_driver_cannot_do_is_a_check_that_must_fail() -> None:
    found = found_checks(parse(copy.deepcopy(BASE), "case"))
    assert found["ping-ip:own:m2:both"].expect == "pass"
    # Neither a resolver nor a stated address.
    assert found["ping-name:own:m1:m2"].expect == found["ping-name:own:m2:both"].expect == "fail"
    # A stated address, and the same engine.
    assert found["ping-name:own:m2:m1"].expect == found["ping-name:own:m2:m3"].expect == "pass"
    assert found["own-node:m1"].expect == found["own-node:both"].expect == "fail"
    assert "own-node:o1" not in found


def test_beside_a_network_with_a_gateway_there_is_no_gateway_bridge() -> None:
    """libnetwork then makes no endpoint on docker_gwbridge, whatever other networks there are."""
    found = found_checks(parse(copy.deepcopy(BASE), "case"))
    assert not {"gateway-bridge:both", "no-egress:both", "gateway-bridge:m1", "no-egress:m1"} & found.keys()
    assert "gateway-bridge:o1" in found
    assert "control-plane:both:docker01" not in found


def test_the_resolver_is_asked_on_the_targets_node_only() -> None:
    found = found_checks(parse(copy.deepcopy(BASE), "case"))
    assert {one for one in found if one.startswith("dns:own:")} == {"dns:own:m2:m3", "dns:own:m3:m2"}


def test_checks_of_nodes_ask_for_a_local_network_and_the_store_for_overlays_only() -> None:
    settings = parse(copy.deepcopy(BASE), "case")
    lab = checks.CheckedLab.of(settings)
    facts = checks.Facts(networks={"ov1": {"id": "aa", "subnet": "10.20.0.0/24"}})
    probes = {
        id_: kinds.KINDS[one.kind].probe(kinds.Subject(one, lab, facts))
        for id_, one in found_checks(settings).items()
        if id_ in ("network:own:docker02", "kv:docker02")
    }
    assert probes["network:own:docker02"].wants[0][0] == "^own local macvlan$"
    assert not any("own" in pattern for pattern, _ in probes["kv:docker02"].wants)
    assert lab.mtu == {"ov1": 1450, "own": 1500}


# -- what is refused


@pytest.mark.parametrize("driver", OWN)
def test_settings_that_the_driver_cannot_have(driver: str) -> None:
    wrong = {"created_on": "docker01", "internal": True, "mtu": 1400, "ip_range": "10.40.0.0/25"}
    found = refused(changed(driver=driver, **wrong))
    assert found.keys() >= {f"lab.networks.own.{key}" for key in wrong}
    raw = changed(driver=driver)
    del raw["networks"]["own"]["subnet"]
    assert "required with driver" in refused(raw)["lab.networks.own.subnet"][0]


def test_settings_that_an_overlay_cannot_have() -> None:
    raw = copy.deepcopy(BASE)
    raw["networks"]["ov1"] = {"subnet": "10.20.0.0/24", "vlan": 20, "node_prefix": 28}
    assert {f"lab.networks.ov1.{key}" for key in ("created_on", "vlan", "node_prefix")} <= refused(raw).keys()


def test_one_network_a_vlan() -> None:
    raw = copy.deepcopy(BASE)
    raw["networks"]["second"] = {"driver": "ipvlan", "subnet": "10.41.0.0/24"}
    rule, remedy = refused(raw)["lab.networks.second.vlan"]
    assert "networks.own is on the underlay's interface itself too" in rule
    raw["networks"]["second"]["vlan"] = 20
    parse(raw, "case")
    assert remedy


def test_a_node_without_a_range() -> None:
    raw = copy.deepcopy(BASE)
    raw["nodes"]["docker16"] = {}
    assert "10.40.0.0/24 has /28 for 1 to 15" in refused(raw)["lab.networks.own.node_prefix"][0]
    raw["networks"]["own"]["node_prefix"] = 29
    parse(raw, "case")


def test_a_range_without_an_address_for_each_workload() -> None:
    rule, _ = refused(changed(node_prefix=30) | {"workloads": many(4)})["lab.networks.own.node_prefix"]
    assert rule == "docker02's range 10.40.0.8/30 has 4 addresses, and 5 workloads take one"


def many(last: int) -> dict[str, Any]:
    return {f"w{number}": {"node": "docker02", "networks": ["own"]} for number in range(last + 1)}


def test_a_stated_address_in_a_nodes_range() -> None:
    raw = copy.deepcopy(BASE)
    raw["workloads"]["m1"]["networks"]["own"]["ipv4_address"] = "10.40.0.33"
    rule, remedy = refused(raw)["lab.workloads.m1.networks.own.ipv4_address"]
    assert "10.40.0.32/28 is docker02's" in rule
    assert remedy == "choose one below 10.40.0.16"


@pytest.mark.parametrize("networks", [["own"], ["own", "ov1"]])
def test_a_published_port(networks: list[str]) -> None:
    raw = copy.deepcopy(BASE)
    raw["workloads"]["m2"] = {"node": "docker02", "networks": networks, "ports": ["8080:80"]}
    assert "publishes nothing" in refused(raw)["lab.workloads.m2.ports"][0]


def test_a_subnet_that_overlaps_another_one() -> None:
    assert "lab.networks.own.subnet" in refused(changed(subnet="10.96.0.0/25"))


@pytest.mark.parametrize(("path", "value"), [("driver", "weave"), ("driver", "calico"), ("driver", "flannel")])
def test_a_driver_that_is_not_offered_says_why(path: str, value: str) -> None:
    assert refused(changed(**{path: value}))[f"lab.networks.own.{path}"][1].startswith("not offered")
