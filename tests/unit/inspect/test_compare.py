"""Every way in which the views of a lab can disagree is found, named once and where it is, on looks at a real lab."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from overlab.inspect import compare
from overlab.inspect.finding import Finding
from tests.unit.inspect.snapshots import Raw, changed, container, namespace, recorded, report, stored

T2 = "10.0.0.3"
T2_MAC = "02:42:0a:00:00:03"
AT_2 = "10.99.0.12"
AT_3 = "10.99.0.13"


@pytest.mark.parametrize("name", ["healthy", "cluster"])
def test_a_lab_that_was_well_agrees_with_itself(name: str) -> None:
    """One with a single server of the store, and one with three."""
    assert compare.findings(recorded(name)) == []


def test_a_subnet_that_another_overlay_took_is_found() -> None:
    """As it was seen on the lab: ov_net2, without a subnet of its own, came first and took that of ov_net1."""
    found = compare.findings(recorded("subnet-taken"))
    assert [finding.kind for finding in found] == ["overlay-missing", "overlay-subnet-taken", *["workload-missing"] * 3]
    assert found[1].says == "ov_net2 has 10.0.0.0/24, which the settings give to ov_net1"


# -- what befalls the lab ------------------------------------------------------------------------------


def machine_down(raw: Raw) -> None:
    raw["machines"]["docker03"] = "shut off"
    raw["nodes"]["docker03"] = {"report": None, "error": "ssh: connect to host 10.99.0.13 port 22", "seconds": 15.0}


def node_silent(raw: Raw) -> None:
    raw["nodes"]["docker03"] = {"report": None, "error": "no answer within 90 s", "seconds": 90.0}


def engine_down(raw: Raw) -> None:
    report(raw, "docker02").update(engine=None, containers=None, networks=None)
    report(raw, "docker02")["unit"]["state"] = "failed"
    report(raw, "docker02")["errors"] = dict.fromkeys(("engine", "containers", "networks"), "Connection refused")


def store_silent(raw: Raw) -> None:
    for node in raw["nodes"].values():
        node["report"]["store"] = None
        node["report"]["errors"]["store"] = "URLError: Connection refused"


def store_unreachable(raw: Raw) -> None:
    report(raw, "docker02")["store"] = None
    report(raw, "docker02")["errors"]["store"] = "URLError: network is unreachable"


def late(raw: Raw) -> None:
    """docker02 was too busy to tell the last parts."""
    told = report(raw, "docker02")
    for part in ("store", "gossip", "guard"):
        told[part], told["errors"][part] = None, "no answer within 120 s"


def store_leaderless(raw: Raw) -> None:
    for node in raw["nodes"].values():
        node["report"]["store"] = {"version": "", "leader": "", "peers": [], "keys": {}}


def unlisted(raw: Raw) -> None:
    for node in raw["nodes"].values():
        del node["report"]["store"]["keys"][f"docker/nodes/{AT_2}:2376"]


def stranger(raw: Raw) -> None:
    for node in raw["nodes"].values():
        node["report"]["store"]["keys"]["docker/nodes/10.99.0.77:2376"] = ""


def split(raw: Raw) -> None:
    """docker01 and docker02 never met; docker02's endpoints were not learnt."""
    del report(raw, "docker01")["gossip"]["docker02"]
    report(raw, "docker02")["gossip"]["docker01"]["event"] = "Failed"
    unlearn(raw)


def unlearn(raw: Raw) -> None:
    """docker01 has sent nothing to t2 yet."""
    _drop(raw, "neighbours")
    _drop(raw, "forwarding")


def half_an_entry(raw: Raw) -> None:
    _drop(raw, "forwarding")


def _drop(raw: Raw, table: str) -> None:
    there = namespace(raw, "docker01", "ov_net1")
    kept = [entry for entry in there[table] if entry["mac"] != T2_MAC]
    assert len(kept) < len(there[table])
    there[table] = kept


def to_the_wrong_node(raw: Raw) -> None:
    (entry,) = [one for one in namespace(raw, "docker01", "ov_net1")["forwarding"] if one["mac"] == T2_MAC]
    entry["to"] = AT_3


def wrong_neighbour(raw: Raw) -> None:
    (entry,) = [one for one in namespace(raw, "docker01", "ov_net1")["neighbours"] if one["address"] == T2]
    entry["mac"] = "02:42:0a:00:00:63"


def left_entry(raw: Raw) -> None:
    entry = {"mac": "02:42:0a:00:00:63", "to": AT_3, "device": "vxlan0"}
    namespace(raw, "docker01", "ov_net1")["forwarding"].append(entry)


def died(raw: Raw) -> None:
    """t2 and its namespace went without a word, as when a machine is rebuilt from an empty disk."""
    t2 = container(raw, "docker02", "t2")
    report(raw, "docker02")["containers"].remove(t2)
    index = report(raw, "docker02")["sandboxes"].pop(t2["sandbox_key"])["interfaces"][1]["peer"]
    report(raw, "docker02")["bridge"] = [one for one in report(raw, "docker02")["bridge"] if one["index"] != index]


def stopped(raw: Raw) -> None:
    """t2 was killed with its engine; the store still has its endpoint."""
    t2 = container(raw, "docker02", "t2")
    index = report(raw, "docker02")["sandboxes"].pop(t2["sandbox_key"])["interfaces"][1]["peer"]
    report(raw, "docker02")["bridge"] = [one for one in report(raw, "docker02")["bridge"] if one["index"] != index]
    t2.update(running=False, status="Exited (255) 2 minutes ago", sandbox="", sandbox_key="")
    t2["endpoints"][0].update(id="", address="", mac="")


def orphan(raw: Raw) -> None:
    stored(raw, "endpoint", lambda end: end.update(locator="10.99.0.77") if end["name"] == "t2" else None)


def unregistered(raw: Raw) -> None:
    stored(raw, "endpoint", lambda end: end["name"] != "t2")


def other_address(raw: Raw) -> None:
    container(raw, "docker02", "t2")["endpoints"][0]["address"] = "10.0.0.99"


def no_interface(raw: Raw) -> None:
    sandbox = report(raw, "docker02")["sandboxes"][container(raw, "docker02", "t2")["sandbox_key"]]
    sandbox["interfaces"] = [one for one in sandbox["interfaces"] if one["mac"] != T2_MAC]


def cut_cable(raw: Raw) -> None:
    namespace(raw, "docker02", "ov_net1")["ports"] = []


def no_namespace(raw: Raw) -> None:
    there = namespace(raw, "docker02", "ov_net1")
    report(raw, "docker02")["overlays"].remove(there)


def other_vni(raw: Raw) -> None:
    namespace(raw, "docker02", "ov_net1")["devices"] = {"vxlan0": 999}


def unseen_overlay(raw: Raw) -> None:
    networks = report(raw, "docker03")["networks"]
    networks[:] = [one for one in networks if one["name"] != "ov_net3"]


def ghost_overlay(raw: Raw) -> None:
    stored(raw, "network", lambda network: network["name"] != "ov_net3")


def no_way_out(raw: Raw) -> None:
    sandbox = report(raw, "docker02")["sandboxes"][container(raw, "docker02", "t2")["sandbox_key"]]
    sandbox["interfaces"] = [one for one in sandbox["interfaces"] if one["mac"] == T2_MAC]


def left_behind(raw: Raw) -> None:
    """web5 was started again, web6 was not."""
    container(raw, "docker02", "web6")["namespace"] = 4026532999


def alarm(raw: Raw) -> None:
    report(raw, "docker02")["guard"] = {"watching": False, "sound": False, "says": "an overlay's namespace went"}


def stuck(raw: Raw) -> None:
    container(raw, "docker02", "t2").update(running=False, sandbox="", sandbox_key="", status="Created")
    report(raw, "docker02")["errors"]["container t2"] = "timeout: timed out"


def other_store(raw: Raw) -> None:
    report(raw, "docker02")["engine"].update(store="", advertise="")


def fewer_servers(raw: Raw) -> None:
    raw["wanted"]["servers"] = 3


def other_subnet(raw: Raw) -> None:
    raw["wanted"]["overlays"]["ov_net1"] = "10.0.9.0/24"


def made_by_hand(raw: Raw) -> None:
    del raw["wanted"]["overlays"]["ov_closed"]


def hypervisor_silent(raw: Raw) -> None:
    raw["machines"]["docker01"] = "unseen: libvirt did not answer within 20 s"


CASES: list[tuple[Callable[[Raw], None], set[tuple[str, str]]]] = [
    (machine_down, {("machine-down", "docker03")}),
    (hypervisor_silent, {("hypervisor-silent", "docker01")}),
    (fewer_servers, {("store-peers", "store")}),
    (other_subnet, {("overlay-subnet", "ov_net1")}),
    (made_by_hand, {("overlay-stranger", "ov_closed")}),
    (node_silent, {("node-silent", "docker03")}),
    (engine_down, {("engine-down", "docker02")}),
    (store_silent, {("store-silent", "store")}),
    (store_unreachable, {("store-unreachable", "docker02")}),
    (late, {("part-unseen", "docker02")}),
    (store_leaderless, {("store-leaderless", "store")}),
    (unlisted, {("node-unlisted", "docker02")}),
    (stranger, {("node-stranger", "store")}),
    (
        split,
        {
            ("gossip-split", "docker01 - docker02"),
            ("gossip-split", "docker02 - docker01"),
            ("entry-missing", "ov_net1/t2 on docker01"),
        },
    ),
    (unlearn, {("entry-unlearnt", "ov_net1/t2 on docker01")}),
    (half_an_entry, {("entry-half", "ov_net1/t2 on docker01")}),
    (to_the_wrong_node, {("forwarding-wrong", "ov_net1/t2 on docker01")}),
    (wrong_neighbour, {("neighbour-wrong", "ov_net1/t2 on docker01")}),
    (left_entry, {("entry-left", "ov_net1 on docker01")}),
    (died, {("endpoint-stale", "ov_net1/t2"), ("workload-missing", "docker02")}),
    (stopped, {("endpoint-stale", "ov_net1/t2"), ("workload-down", "t2 on docker02")}),
    (orphan, {("endpoint-orphan", "ov_net1/t2")}),
    (other_address, {("endpoint-differs", "ov_net1/t2")}),
    (no_interface, {("interface-missing", "ov_net1/t2")}),
    (cut_cable, {("cable-cut", "ov_net1/t2")}),
    (no_namespace, {("namespace-missing", "ov_net1 on docker02")}),
    (other_vni, {("vni-differs", "ov_net1 on docker02")}),
    (unseen_overlay, {("overlay-unseen", "ov_net3 on docker03")}),
    (no_way_out, {("way-out-missing", "t2 on docker02"), ("cable-left", "docker02")}),
    (left_behind, {("sandbox-left-behind", "web6 on docker02")}),
    (alarm, {("guard-down", "docker02"), ("guard-alarm", "docker02")}),
    (other_store, {("engine-store", "docker02"), ("engine-advertise", "docker02")}),
]


@pytest.mark.parametrize(("happens", "expected"), CASES, ids=[case[0].__name__ for case in CASES])
def test_it_is_named_once_and_where_it_is(happens: Callable[[Raw], None], expected: set[tuple[str, str]]) -> None:
    found = compare.findings(changed(happens))
    assert sorted((finding.kind, finding.subject) for finding in found) == sorted(expected)
    for finding in found:
        assert finding.says
        assert finding.means
        assert finding.remedy


def _the(kind: str, *happens: Callable[[Raw], None]) -> Finding:
    (finding,) = [one for one in compare.findings(changed(*happens)) if one.kind == kind]
    return finding


def test_a_workload_that_the_store_forgot_is_found_from_both_ends() -> None:
    told = {(finding.kind, finding.subject) for finding in compare.findings(changed(unregistered))}
    assert ("endpoint-unregistered", "ov_net1/t2") in told
    assert ("entry-left", "ov_net1 on docker01") in told


def test_an_overlay_that_the_store_lost_is_a_ghost_on_every_node() -> None:
    told = [(finding.kind, finding.subject) for finding in compare.findings(changed(ghost_overlay))]
    ghosts = [("overlay-ghost", f"ov_net3 on docker0{n}") for n in (1, 2, 3)]
    assert sorted(told) == sorted([*ghosts, ("overlay-missing", "ov_net3")])


def test_an_overlay_that_was_made_twice_is_found() -> None:
    def twice(raw: Raw) -> None:
        for node in raw["nodes"].values():
            keys = node["report"]["store"]["keys"]
            (key,) = [key for key in keys if "v1.0/network/" in key and b'"ov_net3"' in base64.b64decode(keys[key])]
            value = json.loads(base64.b64decode(keys[key])) | {"id": "f" * 64}
            keys["docker/network/v1.0/network/twin/"] = base64.b64encode(json.dumps(value).encode()).decode()

    assert "ffffffffffff" in _the("overlay-twice", twice).says


def test_a_container_that_its_engine_is_busy_with_is_named() -> None:
    told = {(finding.kind, finding.subject) for finding in compare.findings(changed(stuck))}
    assert ("container-stuck", "t2 on docker02") in told


def test_the_dead_endpoint_is_removed_from_another_node_than_its_own() -> None:
    finding = _the("endpoint-stale", died)
    assert finding.remedy.startswith("overlab exec docker01 -- docker network disconnect -f ov_net1 t2")


def test_the_endpoint_of_a_stopped_container_is_taken_back_by_starting_it() -> None:
    finding = _the("endpoint-stale", stopped)
    assert finding.says.endswith("its container is there: Exited (255) 2 minutes ago")
    assert finding.remedy.startswith(
        "overlab exec docker02 -- docker start t2; if that fails: overlab exec docker01 -- "
    )


def test_what_is_only_not_learnt_yet_leaves_the_lab_healthy() -> None:
    found = compare.findings(changed(unlearn))
    assert compare.healthy(found)
    assert found[0].remedy == "overlab exec docker01 -- docker exec t1 ping -c 1 10.0.0.3"
    assert not compare.healthy(compare.findings(changed(split)))


def test_the_worst_comes_first() -> None:
    def everything(raw: Raw) -> None:
        for happens in (unlearn, other_vni, alarm):
            happens(raw)

    severities = [finding.severity for finding in compare.findings(changed(everything))]
    assert severities == sorted(severities, key=["down", "wrong", "note"].index)
    assert set(severities) == {"down", "wrong", "note"}


def test_a_key_that_libnetwork_did_not_write_is_named_and_the_rest_is_read() -> None:
    def garbage(raw: Raw) -> None:
        for node in raw["nodes"].values():
            node["report"]["store"]["keys"]["docker/network/v1.0/endpoint/x/y/"] = "bm8ganNvbg=="

    (finding,) = compare.findings(changed(garbage))
    assert finding.kind == "store-unread"
    assert "docker/network/v1.0/endpoint/x/y/" in finding.says


def test_a_destroyed_lab_is_told_machine_by_machine() -> None:
    look = recorded("destroyed")
    assert [(one.kind, one.says) for one in compare.findings(look)] == [("machine-down", "the machine is missing")] * 3
    assert look.store is None


def test_remedies_are_for_the_lab_that_was_looked_at() -> None:
    def of_ci(raw: Raw) -> None:
        raw["wanted"]["stack"] = "ci"

    finding = _the("endpoint-stale", died, of_ci)
    assert finding.remedy.startswith("overlab --stack ci exec docker01 -- docker network disconnect")
