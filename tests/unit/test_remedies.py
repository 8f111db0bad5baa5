"""What is done about each fault of a recorded snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from components.config import settings
from overlab.inspect import compare
from overlab.inspect.node_collector import ENGINE_RULES, FIREWALL_RULES
from overlab.recovery import remedies
from overlab.recovery.remedies import Plan
from overlab.stack.state import CONTAINER, DOCKER_NETWORK, DOCKER_VOLUME, Resource, State
from tests.unit.inspect import faults
from tests.unit.inspect.snapshots import Raw, changed, container, recorded, report


def resource(type_: str, name: str, id_: str, node: str, *addresses: str) -> Resource:
    host = f"ssh://root@{recorded().expected.nodes[node]}:22"
    return Resource(f"urn:pulumi:s::overlab::{type_}::{name}", type_, id_, name, host, addresses=frozenset(addresses))


def state() -> State:
    """What the last ``up`` of the recorded lab left."""
    snapshot, found = recorded(), []
    for key, one in snapshot.reports.items():
        for each in one.containers or ():
            addresses = [endpoint.address for endpoint in each.endpoints if endpoint.address]
            found.append(resource(CONTAINER, each.name, each.id, key, *addresses))
        urn = f"urn:pulumi:s::overlab::overlab:index:DockerEngine$command:remote:Command::{key}-dockerd"
        found.append(Resource(urn, "command:remote:Command"))
    for network in snapshot.stored_networks:
        found.append(resource(DOCKER_NETWORK, network.name, network.id, "docker02"))
    return State((*found, resource(DOCKER_VOLUME, "consul-data", "consul-data", "docker02")))


def plan(*changes: Callable[[Raw], None], tried: remedies.Tried = ()) -> Plan:
    snapshot = changed(*changes)
    found = [one for one in compare.findings(snapshot) if one.severity != "note"]
    return remedies.plan(snapshot, found, state(), tried)


def short(found: Plan) -> set[tuple[str, str]]:
    return {(action.node, action.script) for action in found.actions}


def test_a_lab_that_is_as_declared_is_left_alone() -> None:
    assert not plan()


@pytest.mark.parametrize(
    ("fault", "node", "script"),
    [
        (faults.engine_down, "docker02", "systemctl start docker.socket docker.service"),
        (faults.store_without_leader, "docker01", '"address": "10.99.0.11:8300"'),
        (faults.not_registered, "docker02", "systemctl restart docker.service"),
        (faults.unexpected_node, "docker01", "overlab-store delete docker/nodes/"),
        (faults.gossip_partition, "docker01", "overlab-store delete docker/nodes/10.99.0.11:2376"),
        (faults.incomplete_entry, "docker01", "dockerd-watchdog sync-peers"),
        (faults.wrong_fdb_entry, "docker01", "dockerd-watchdog sync-peers"),
        (faults.stale_entry, "docker01", "bridge fdb del"),
        (faults.container_stopped, "docker02", "docker start 2e23623d"),
        (faults.container_vanished, "docker01", "docker network disconnect --force 3a49e584"),
        (faults.orphaned_endpoint, "docker01", "docker network disconnect --force 3a49e584"),
        (faults.no_interface, "docker02", "docker restart -t 1 2e23623d"),
        (faults.veth_detached, "docker02", "docker restart -t 1 2e23623d"),
        (faults.no_namespace, "docker02", "docker restart -t 1 2e23623d"),
        (faults.no_gateway_endpoint, "docker02", "docker restart -t 1 2e23623d"),
        (faults.shared_sandbox_stale, "docker02", "docker restart -t 1 3d520dcd"),
        (faults.network_not_visible, "docker03", "systemctl restart docker.service"),
        (faults.watchdog_alert, "docker02", "dockerd-watchdog repair"),
        (faults.other_store, "docker02", "systemctl restart docker.service"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_done_on_a_node(fault: Callable[[Raw], None], node: str, script: str) -> None:
    assert any(where == node and script in text for where, text in short(plan(fault)))


def test_what_needs_an_engine_waits_for_the_engine() -> None:
    found = plan(faults.engine_down, faults.stale_entry)
    assert [action.stage for action in found.actions] == ["engine"]


def test_a_container_that_does_not_start_is_started_without_its_old_endpoint_then_created_again() -> None:
    tried: set[tuple[str, str]] = set()
    texts = []
    for _ in range(5):
        found = plan(faults.container_stopped, tried=tried)
        tried |= short(found)
        texts += [f"{action.node} {action.script}" for action in found.actions]
    steps = (
        "docker02 docker unpause",
        "docker01 docker network disconnect",
        "docker02 docker start",
        "docker02 systemctl restart docker.service; docker start",
        "docker02 docker rm",
    )
    assert len(texts) == len(steps)
    assert all(text.startswith(step) for text, step in zip(texts, steps, strict=True))


def test_a_container_that_is_gone_is_refreshed_with_the_volumes_of_its_node() -> None:
    names = {one.name for one in plan(faults.container_vanished).refresh}
    assert names == {"t2", "consul-data"}


def test_a_container_with_another_address_is_refreshed() -> None:
    def moved(raw: Raw) -> None:
        container(raw, "docker02", "t2")["endpoints"][0]["address"] = "10.0.0.77"

    assert [one.name for one in plan(moved).refresh] == ["t2"]


def test_a_container_that_ran_only_after_the_state_was_read_is_refreshed() -> None:
    """Its start failed, and the update that started it wrote no address."""
    known = state()
    resources = [replace(one, addresses=frozenset()) if one.name == "t2" else one for one in known.resources]
    found = remedies.plan(recorded(), [], State(tuple(resources)))
    assert [one.name for one in found.refresh] == ["t2"]


def test_a_container_that_never_started_is_created_again_and_no_engine_restarted() -> None:
    """As a command that does not exist leaves it, which the update then replaces."""

    def never_started(raw: Raw) -> None:
        faults.container_stopped(raw)
        next(one for one in report(raw, "docker02")["containers"] if one["name"] == "t2")["status"] = "Created"

    [start] = short(plan(never_started))
    assert "docker start" in start[1]
    [remove] = short(plan(never_started, tried={start}))
    assert remove[1].startswith("docker rm --force ")


def test_no_container_is_started_or_removed_where_its_engine_has_another_store() -> None:
    """What it holds would be lost for nothing: the update puts the configuration back."""
    found = plan(faults.other_store, faults.container_stopped)
    assert short(found) == {("docker02", "systemctl restart docker.service")}
    tried = short(found)
    assert not plan(faults.other_store, faults.container_stopped, tried=tried).actions


@pytest.mark.parametrize("there", [True, False])
def test_a_network_of_an_engines_own_is_refreshed_where_the_engine_lost_it(there: bool) -> None:
    """The store has none of them."""
    one = resource(DOCKER_NETWORK, "segment-docker02", "c0ffee", "docker02")
    known = State((*state().resources, replace(one, inputs={"driver": "macvlan"})))

    def listed(raw: Raw) -> None:
        networks = report(raw, "docker02")["networks"]
        if there:
            networks.append(networks[0] | {"id": "c0ffee", "name": "segment", "driver": "macvlan", "scope": "local"})

    found = remedies.plan(changed(listed), [], known, ())
    assert [lost.name for lost in found.refresh] == ([] if there else ["segment-docker02"])


def test_a_renamed_container_gets_its_name_back() -> None:
    def renamed(raw: Raw) -> None:
        container(raw, "docker02", "t2")["name"] = "other"

    assert any(text.startswith("docker rename 2e23623d") and text.endswith(" t2") for _, text in short(plan(renamed)))


def test_after_a_loss_of_the_store_engines_restart_and_networks_are_refreshed() -> None:
    def emptied(raw: Raw) -> None:
        for key in raw["nodes"]:
            keys = report(raw, key)["store"]["keys"]
            report(raw, key)["store"]["keys"] = {name: value for name, value in keys.items() if "/nodes/" in name}

    found = plan(emptied)
    for node, script in short(found):
        removed, _, restarted = script.rpartition("; ")
        workloads = [one.id for one in recorded().reports[node].containers or () if one.network_mode != "host"]
        assert (removed, restarted) == (f"docker rm --force {' '.join(workloads)}", "systemctl restart docker.service")
    assert len(found.actions) == 3
    assert {one.name for one in found.refresh} == {"ov_net1", "ov_net2", "ov_net3", "ov_closed"}


def test_workloads_of_a_network_that_was_removed_are_removed_before_its_vni_is_given_away() -> None:
    (network,) = [one for one in recorded().stored_networks if one.name == "ov_net1"]

    def removed(raw: Raw) -> None:
        for key in raw["nodes"]:
            keys = report(raw, key)["store"]["keys"]
            report(raw, key)["store"]["keys"] = {name: value for name, value in keys.items() if network.id not in name}

    found = plan(removed)
    assert "ov_net1" in {one.name for one in found.refresh}
    removals = {(node, script) for node, script in short(found) if script.startswith("docker rm")}
    for node, script in removals:
        holding = [
            one.id
            for one in recorded().reports[node].containers or ()
            if any(each.network_id == network.id for each in one.endpoints)
        ]
        assert script == f"docker rm --force {' '.join(holding)}; systemctl restart docker.service"
    assert {node for node, _ in removals} == set(recorded().reports)


def test_a_changed_file_is_put_back_by_the_command_that_put_it() -> None:
    (urn,) = plan(faults.configuration_changed).replace
    assert urn.endswith("::docker02-dockerd")


@pytest.mark.parametrize(
    ("rules", "script"),
    [
        ([ENGINE_RULES, FIREWALL_RULES], "systemctl restart docker.service"),
        ([ENGINE_RULES], "systemctl restart docker.service"),
        ([FIREWALL_RULES], "systemctl reload-or-restart overlab-firewall.service"),
    ],
)
def test_a_flushed_packet_filter_is_loaded_by_the_unit_that_owns_it(rules: list[str], script: str) -> None:
    def flushed(raw: Raw) -> None:
        report(raw, "docker02")["configuration"] = rules

    assert short(plan(flushed)) == {("docker02", script)}


def test_who_shares_a_network_stack_is_started_after_its_owner() -> None:
    def stopped(raw: Raw) -> None:
        for name in ("web5", "web6"):
            container(raw, "docker02", name).update(running=False, network_namespace=None)

    whole = recorded().model_dump(mode="json")
    owner, sharer = (container(whole, "docker02", name)["id"] for name in ("web5", "web6"))
    scripts = " ".join(text for _, text in short(plan(stopped)))
    assert owner in scripts
    assert sharer not in scripts


def test_a_workload_whose_program_ends_again_and_again_is_left_alone() -> None:
    def restarting(raw: Raw) -> None:
        container(raw, "docker02", "t2").update(running=False, status="Restarting (1) 4 seconds ago")

    assert not any(" 2e23623d" in text for _, text in short(plan(restarting)))


def test_without_the_store_only_the_store_is_started() -> None:
    def consul_stopped(raw: Raw) -> None:
        container(raw, "docker01", "consul").update(running=False)

    found = plan(faults.store_down, faults.container_stopped, consul_stopped)
    assert [(action.subject, action.what) for action in found.actions] == [("consul", "start")]


def test_an_engine_that_still_starts_is_not_restarted_for_not_being_registered() -> None:
    found = plan(faults.not_registered, faults.engine_down)
    assert not any("restart docker.service" in text for _, text in short(found))


@pytest.mark.parametrize(
    ("servers", "present", "stopped", "kept"),
    [
        (1, ["docker01", "docker02", "docker03"], ["docker02", "docker03"], ["docker01"]),
        (1, ["docker01"], [], []),
        (1, ["docker02", "docker03"], [], []),
        (3, ["docker01", "docker02", "docker03"], [], []),
    ],
)
def test_servers_are_stopped_before_one_of_them_becomes_the_only_peer(
    servers: int, present: list[str], stopped: list[str], kept: list[str]
) -> None:
    nodes: dict[str, object] = {node: {} for node in ("docker01", "docker02", "docker03")}
    lab = {"underlay": {"cidr": "10.99.0.0/24"}, "nodes": nodes, "store": {"servers": servers}}
    known = State(tuple(resource(CONTAINER, "consul", f"id-{node}", node) for node in present))
    before, then = remedies.to_one_server(settings.parse(lab, "s"), known)
    assert [(one.node, one.script) for one in before] == [(node, "docker stop consul") for node in stopped]
    assert [one.node for one in then] == kept
    assert all('"address": "10.99.0.11:8300"' in one.script for one in then)
