"""Every disagreement between the views of a lab is found once, with its place, in snapshots of a real lab."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pytest

from overlab.diagnosis import catalogue
from overlab.inspect import compare
from overlab.inspect.finding import Finding
from overlab.troubleshoot import hops
from tests.unit.inspect import faults
from tests.unit.inspect.snapshots import Raw, changed, recorded


@pytest.mark.parametrize("name", ["healthy", "cluster", "swarm"])
def test_the_views_of_a_healthy_lab_agree(name: str) -> None:
    """One with a single server of the store, one with three, and a swarm that was attached."""
    assert compare.findings(recorded(name)) == []


def test_a_subnet_that_another_network_has_is_found() -> None:
    """As seen on the lab: ov_net2, without a stated subnet, was created first and got that of ov_net1."""
    found = compare.findings(recorded("subnet-taken"))
    assert [finding.id for finding in found] == ["network-missing", "network-subnet-taken", *["workload-missing"] * 3]
    assert found[1].evidence == "ov_net2 has 10.0.0.0/24"
    assert "docker network rm ov_net2" in found[1].remedy


_ORPHAN = ("network-veth-orphaned", "ov_net1 on docker02")
"""The recorded veth of a container that was taken out of the snapshot."""
CASES: list[tuple[Callable[[Raw], None], set[tuple[str, str]]]] = [
    (faults.machine_down, {("machine-down", "docker03")}),
    (faults.hypervisor_unreachable, {("hypervisor-unreachable", "docker01")}),
    (faults.fewer_servers, {("store-peers-mismatch", "store")}),
    (faults.other_subnet, {("network-subnet-mismatch", "ov_net1")}),
    (faults.unexpected_network, {("network-unexpected", "ov_closed")}),
    (faults.node_unreachable, {("node-unreachable", "docker03")}),
    (faults.engine_down, {("engine-down", "docker02")}),
    (faults.store_down, {("store-down", "store")}),
    (faults.store_unreachable, {("store-unreachable", "docker02")}),
    (faults.collector_timeout, {("report-incomplete", "docker02")}),
    (faults.store_without_leader, {("store-no-leader", "store")}),
    (faults.not_registered, {("node-not-registered", "docker02")}),
    (faults.unexpected_node, {("node-unexpected", "store")}),
    (
        faults.gossip_partition,
        {
            ("gossip-partition", "docker01 - docker02"),
            ("gossip-partition", "docker02 - docker01"),
            ("peer-entry-missing", "ov_net1/t2 on docker01"),
        },
    ),
    (faults.unresolved, {("peer-entry-unresolved", "ov_net1/t2 on docker01")}),
    (faults.incomplete_entry, {("peer-entry-incomplete", "ov_net1/t2 on docker01")}),
    (faults.wrong_fdb_entry, {("fdb-mismatch", "ov_net1/t2 on docker01")}),
    (faults.wrong_neighbor_entry, {("neighbor-mismatch", "ov_net1/t2 on docker01")}),
    (faults.stale_entry, {("peer-entry-stale", "ov_net1 on docker01")}),
    (faults.container_vanished, {("endpoint-stale", "ov_net1/t2"), ("workload-missing", "docker02"), _ORPHAN}),
    (faults.container_stopped, {("endpoint-stale", "ov_net1/t2"), ("workload-not-running", "t2 on docker02"), _ORPHAN}),
    (faults.orphaned_endpoint, {("endpoint-orphaned", "ov_net1/t2")}),
    (faults.other_address, {("endpoint-mismatch", "ov_net1/t2")}),
    (faults.no_interface, {("interface-missing", "ov_net1/t2"), _ORPHAN}),
    (faults.veth_detached, {("veth-detached", "ov_net1/t2")}),
    (faults.no_namespace, {("namespace-missing", "ov_net1 on docker02")}),
    (faults.other_vni, {("vni-mismatch", "ov_net1 on docker02")}),
    (faults.network_not_visible, {("network-not-visible", "ov_net3 on docker03")}),
    (faults.no_gateway_endpoint, {("gateway-endpoint-missing", "t2 on docker02"), ("veth-orphaned", "docker02")}),
    (faults.shared_sandbox_stale, {("shared-sandbox-stale", "web6 on docker02")}),
    (faults.configuration_changed, {("configuration-changed", "docker02")}),
    (faults.watchdog_alert, {("watchdog-down", "docker02"), ("engine-in-removed-namespace", "docker02")}),
    (faults.clock_apart, {("clock-apart", "clocks")}),
    (faults.port_filtered, {("overlay-port-filtered", "docker02")}),
    (faults.other_mtu, {("network-mtu-mismatch", "ov_net1")}),
    (faults.orphaned_port, {("network-veth-orphaned", "ov_net1 on docker02")}),
    (faults.permission_denied, {("engine-permission-denied", "docker02")}),
    (faults.interface_down, {("interface-down", "ov_net1/t2")}),
    (faults.device_down, {("device-down", "ov_net1 on docker02")}),
    (faults.node_not_attached, {("node-not-attached", "10.99.0.77")}),
    (faults.other_store, {("engine-store-mismatch", "docker02"), ("engine-advertise-mismatch", "docker02")}),
]


@pytest.mark.parametrize(("fault", "expected"), CASES, ids=[case[0].__name__ for case in CASES])
def test_it_is_found_once_with_its_place(fault: Callable[[Raw], None], expected: set[tuple[str, str]]) -> None:
    found = compare.findings(changed(fault))
    assert sorted((finding.id, finding.subject) for finding in found) == sorted(expected)
    for finding in found:
        assert finding.message
        assert finding.impact
        assert not re.search(r"[{}]", finding.message + finding.impact + finding.remedy)
        assert finding.remedy


_ONE, _OTHER = "10.96.51.11", "10.96.51.12"
SWARM_CASES: list[tuple[Callable[[Raw], None], set[tuple[str, str]]]] = [
    (faults.swarm_entries_lost, {("peer-entry-lost", f"backend/db1 on {_ONE}")}),
    (faults.swarm_fdb_entry_lost, {("peer-entry-incomplete", f"backend/db1 on {_ONE}")}),
    (faults.swarm_wrong_fdb_entry, {("fdb-mismatch", f"backend/db1 on {_ONE}")}),
    (faults.swarm_wrong_neighbor, {("neighbor-mismatch", f"backend/db1 on {_ONE}")}),
    (faults.swarm_stale_entry, {("peer-entry-stale", f"backend on {_ONE}")}),
    (faults.swarm_gossip_partition, {("swarm-gossip-partition", f"{_ONE} - {_OTHER}")}),
    (faults.swarm_node_down, {("swarm-node-down", _OTHER)}),
    (
        faults.swarm_left,
        {
            ("swarm-node-absent", _OTHER),
            ("endpoint-stale", "backend/db1"),
            ("endpoint-stale", "backend/db2"),
            ("endpoint-stale", "ingress/ingress-endpoint"),
            ("peer-entry-stale", f"backend on {_ONE}"),
            ("peer-entry-stale", f"ingress on {_ONE}"),
        },
    ),
    (faults.swarm_other_vni, {("vni-mismatch", f"backend on {_ONE}")}),
    (faults.swarm_no_namespace, {("namespace-missing", f"backend on {_ONE}")}),
    (faults.swarm_without_systemd, set()),
    (faults.swarm_node_silent, {("node-unreachable", _OTHER)}),
]


@pytest.mark.parametrize(("fault", "expected"), SWARM_CASES, ids=[case[0].__name__ for case in SWARM_CASES])
def test_it_is_found_in_a_swarm_with_its_place(fault: Callable[[Raw], None], expected: set[tuple[str, str]]) -> None:
    found = compare.findings(changed(fault, name="swarm"))
    assert expected == {(finding.id, finding.subject) for finding in found if finding.severity != "note"}


def _the(id_: str, *faults: Callable[[Raw], None]) -> Finding:
    (finding,) = [one for one in compare.findings(changed(*faults)) if one.id == id_]
    return finding


def test_an_endpoint_that_the_store_lost_is_found_on_its_node_and_on_the_others() -> None:
    found = {(finding.id, finding.subject) for finding in compare.findings(changed(faults.endpoint_not_registered))}
    assert ("endpoint-not-registered", "ov_net1/t2") in found
    assert ("peer-entry-stale", "ov_net1 on docker01") in found


def test_an_address_that_two_endpoints_have_is_found() -> None:
    assert _the("endpoint-duplicate", faults.duplicate_address).evidence == f"address {faults.T2}: t1, t2"


def test_a_network_that_the_store_lost_is_orphaned_on_every_node() -> None:
    found = [(finding.id, finding.subject) for finding in compare.findings(changed(faults.network_orphaned))]
    orphans = [("network-orphaned", f"ov_net3 on docker0{n}") for n in (1, 2, 3)]
    assert sorted(found) == sorted([*orphans, ("network-missing", "ov_net3")])


def test_a_network_that_was_created_twice_is_found() -> None:
    assert "ffffffffffff" in _the("network-duplicate", faults.network_duplicate).evidence


def test_a_container_that_its_engine_is_busy_with_is_named() -> None:
    found = {(finding.id, finding.subject) for finding in compare.findings(changed(faults.container_timeout))}
    assert ("container-timeout", "t2 on docker02") in found


def test_a_stale_endpoint_is_removed_from_another_node_than_its_own() -> None:
    finding = _the("endpoint-stale", faults.container_vanished)
    assert finding.remedy.startswith("overlab exec docker01 -- docker network disconnect -f ov_net1 t2")


def test_a_stopped_container_takes_its_endpoint_back_by_a_start() -> None:
    finding = _the("endpoint-stale", faults.container_stopped)
    assert finding.evidence.endswith("where its container is Exited (255) 2 minutes ago")
    assert finding.remedy.startswith(
        "overlab exec docker02 -- docker start t2; if that fails: overlab exec docker01 -- "
    )


def test_an_unresolved_peer_leaves_the_lab_healthy() -> None:
    found = compare.findings(changed(faults.unresolved))
    assert compare.healthy(found)
    assert found[0].remedy == "overlab exec docker01 -- docker exec t1 ping -c 1 10.0.0.3"
    assert not compare.healthy(compare.findings(changed(faults.gossip_partition)))


def test_the_worst_comes_first() -> None:
    def everything(raw: Raw) -> None:
        for fault in (faults.unresolved, faults.other_vni, faults.watchdog_alert):
            fault(raw)

    severities = [finding.severity for finding in compare.findings(changed(everything))]
    assert severities == sorted(severities, key=["down", "wrong", "note"].index)
    assert set(severities) == {"down", "wrong", "note"}


def test_a_key_that_libnetwork_did_not_write_is_named_and_the_rest_is_read() -> None:
    (finding,) = compare.findings(changed(faults.invalid_value))
    assert finding.id == "store-value-invalid"
    assert finding.evidence == "docker/network/v1.0/endpoint/x/y/"


def test_a_destroyed_lab_is_reported_machine_by_machine() -> None:
    snapshot = recorded("destroyed")
    assert [(one.id, one.evidence) for one in compare.findings(snapshot)] == [("machine-down", "missing")] * 3
    assert snapshot.store is None


def test_remedies_name_the_stack_of_the_lab() -> None:
    def of_ci(raw: Raw) -> None:
        raw["expected"]["stack"] = "ci"

    finding = _the("endpoint-stale", faults.container_vanished, of_ci)
    assert finding.remedy.startswith("overlab --stack ci exec docker01 -- docker network disconnect")


def test_the_catalogue_names_the_comparison_that_finds_an_entry() -> None:
    found: dict[str, set[str]] = {comparison.__name__: set() for comparison in compare.COMPARISONS}
    swarms = (changed(fault, name="swarm") for fault in faults.SWARM)
    for snapshot in (*map(changed, faults.ALL), *swarms, recorded("subnet-taken")):
        for comparison in compare.COMPARISONS:
            found[comparison.__name__] |= {finding.id for finding in comparison(snapshot)}
    named: dict[str, set[str]] = {}
    for id_, entry in catalogue.ENTRIES.items():
        if entry.comparison:
            named.setdefault(entry.comparison, set()).add(id_)
    assert found == named


def test_every_entry_of_the_catalogue_is_recognized_by_something() -> None:
    of_comparisons = {id_ for id_, entry in catalogue.ENTRIES.items() if entry.comparison}
    of_hops = set(re.findall(r'finding\(\s*"([a-z-]+)"', inspect.getsource(hops)))
    assert {id_ for id_, _, _ in catalogue.MATCHES} | of_comparisons | of_hops == catalogue.ENTRIES.keys()
    assert of_comparisons >= {id_ for id_, entry in catalogue.ENTRIES.items() if entry.severity != "wrong"}
    assert {entry.severity for entry in catalogue.ENTRIES.values()} == {"down", "wrong", "note"}
    assert {id_ for id_ in of_comparisons if not catalogue.ENTRIES[id_].impact} == set()
