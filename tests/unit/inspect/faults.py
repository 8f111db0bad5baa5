"""Faults of a lab, as they show in a recorded snapshot."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from tests.unit.inspect.snapshots import Raw, container, namespace, report, stored

T2 = "10.0.0.3"
T2_MAC = "02:42:0a:00:00:03"
AT_2 = "10.99.0.12"
AT_3 = "10.99.0.13"


def machine_down(raw: Raw) -> None:
    raw["machines"]["docker03"] = "shut off"
    raw["nodes"]["docker03"] = {"report": None, "error": "ssh: connect to host 10.99.0.13 port 22", "seconds": 15.0}


def node_unreachable(raw: Raw) -> None:
    raw["nodes"]["docker03"] = {"report": None, "error": "no answer within 90 s", "seconds": 90.0}


def engine_down(raw: Raw) -> None:
    report(raw, "docker02").update(engine=None, containers=None, networks=None)
    report(raw, "docker02")["unit"] = "failed"
    report(raw, "docker02")["errors"] = dict.fromkeys(("engine", "containers", "networks"), "Connection refused")


def store_down(raw: Raw) -> None:
    for node in raw["nodes"].values():
        node["report"]["store"] = None
        node["report"]["errors"]["store"] = "URLError: Connection refused"


def store_unreachable(raw: Raw) -> None:
    report(raw, "docker02")["store"] = None
    report(raw, "docker02")["errors"]["store"] = "URLError: network is unreachable"


def collector_timeout(raw: Raw) -> None:
    """docker02 was too busy to collect the last parts in time."""
    late = report(raw, "docker02")
    for part in ("store", "gossip", "watchdog"):
        late[part], late["errors"][part] = None, "no answer within 120 s"


def store_without_leader(raw: Raw) -> None:
    for node in raw["nodes"].values():
        node["report"]["store"] = {"version": "", "leader": "", "peers": [], "keys": {}}


def not_registered(raw: Raw) -> None:
    for node in raw["nodes"].values():
        del node["report"]["store"]["keys"][f"docker/nodes/{AT_2}:2376"]


def unexpected_node(raw: Raw) -> None:
    for node in raw["nodes"].values():
        node["report"]["store"]["keys"]["docker/nodes/10.99.0.77:2376"] = ""


def gossip_partition(raw: Raw) -> None:
    """docker01 and docker02 never joined each other; docker02's endpoints stay unresolved."""
    del report(raw, "docker01")["gossip"]["docker02"]
    report(raw, "docker02")["gossip"]["docker01"]["event"] = "Failed"
    unresolved(raw)


def unresolved(raw: Raw) -> None:
    """docker01 has sent nothing to t2 yet."""
    _drop(raw, "neighbors")
    _drop(raw, "fdb")


def incomplete_entry(raw: Raw) -> None:
    _drop(raw, "fdb")


def _drop(raw: Raw, table: str) -> None:
    entries = namespace(raw, "docker01", "ov_net1")
    kept = [entry for entry in entries[table] if entry["mac"] != T2_MAC]
    assert len(kept) < len(entries[table])
    entries[table] = kept


def wrong_fdb_entry(raw: Raw) -> None:
    (entry,) = [one for one in namespace(raw, "docker01", "ov_net1")["fdb"] if one["mac"] == T2_MAC]
    entry["destination"] = AT_3


def wrong_neighbor_entry(raw: Raw) -> None:
    (entry,) = [one for one in namespace(raw, "docker01", "ov_net1")["neighbors"] if one["address"] == T2]
    entry["mac"] = "02:42:0a:00:00:63"


def stale_entry(raw: Raw) -> None:
    entry = {"mac": "02:42:0a:00:00:63", "destination": AT_3}
    namespace(raw, "docker01", "ov_net1")["fdb"].append(entry)


def container_vanished(raw: Raw) -> None:
    """t2 and its namespace are gone, but its endpoint is not, as when a machine is rebuilt from an empty disk."""
    report(raw, "docker02")["containers"].remove(_without_sandbox(raw, "t2"))


def container_stopped(raw: Raw) -> None:
    """t2 was killed with its engine; the store still has its endpoint."""
    t2 = _without_sandbox(raw, "t2")
    t2.update(running=False, status="Exited (255) 2 minutes ago", sandbox="", sandbox_key="")
    t2["endpoints"][0].update(id="", address="", mac="")


def _without_sandbox(raw: Raw, name: str) -> Raw:
    """A container of docker02, after its sandbox and its veth on docker_gwbridge were removed."""
    node, removed = report(raw, "docker02"), container(raw, "docker02", name)
    gateway = node["sandboxes"].pop(removed["sandbox_key"])["interfaces"][1]
    node["gateway_ports"] = [port for port in node["gateway_ports"] if port["index"] != gateway["peer"]]
    return removed


def orphaned_endpoint(raw: Raw) -> None:
    stored(
        raw, "endpoint", lambda endpoint: endpoint.update(locator="10.99.0.77") if endpoint["name"] == "t2" else None
    )


def endpoint_not_registered(raw: Raw) -> None:
    stored(raw, "endpoint", lambda endpoint: endpoint["name"] != "t2")


def other_address(raw: Raw) -> None:
    container(raw, "docker02", "t2")["endpoints"][0]["address"] = "10.0.0.99"


def no_interface(raw: Raw) -> None:
    sandbox = report(raw, "docker02")["sandboxes"][container(raw, "docker02", "t2")["sandbox_key"]]
    sandbox["interfaces"] = [one for one in sandbox["interfaces"] if one["mac"] != T2_MAC]


def veth_detached(raw: Raw) -> None:
    namespace(raw, "docker02", "ov_net1")["ports"] = []


def no_namespace(raw: Raw) -> None:
    report(raw, "docker02")["overlay_namespaces"].remove(namespace(raw, "docker02", "ov_net1"))


def other_vni(raw: Raw) -> None:
    namespace(raw, "docker02", "ov_net1")["devices"] = {"vxlan0": 999}


def network_not_visible(raw: Raw) -> None:
    networks = report(raw, "docker03")["networks"]
    networks[:] = [one for one in networks if one["name"] != "ov_net3"]


def network_orphaned(raw: Raw) -> None:
    stored(raw, "network", lambda network: network["name"] != "ov_net3")


def no_gateway_endpoint(raw: Raw) -> None:
    sandbox = report(raw, "docker02")["sandboxes"][container(raw, "docker02", "t2")["sandbox_key"]]
    sandbox["interfaces"] = [one for one in sandbox["interfaces"] if one["mac"] == T2_MAC]


def shared_sandbox_stale(raw: Raw) -> None:
    """web5 was restarted, web6 was not."""
    container(raw, "docker02", "web6")["network_namespace"] = 4026532999


def configuration_changed(raw: Raw) -> None:
    report(raw, "docker02")["configuration"] = ["/etc/docker/daemon.json was changed"]


def watchdog_alert(raw: Raw) -> None:
    report(raw, "docker02")["watchdog"] = {"active": False, "healthy": False, "message": "a namespace was removed"}


def container_timeout(raw: Raw) -> None:
    container(raw, "docker02", "t2").update(running=False, sandbox="", sandbox_key="", status="Created")
    report(raw, "docker02")["errors"]["container t2"] = "timeout: timed out"


def other_store(raw: Raw) -> None:
    report(raw, "docker02")["engine"].update(store="", advertise="")


def fewer_servers(raw: Raw) -> None:
    raw["expected"]["servers"] = 3


def other_subnet(raw: Raw) -> None:
    raw["expected"]["networks"]["ov_net1"] = "10.0.9.0/24"


def unexpected_network(raw: Raw) -> None:
    del raw["expected"]["networks"]["ov_closed"]


def hypervisor_unreachable(raw: Raw) -> None:
    raw["machines"]["docker01"] = "unknown: libvirt did not answer within 20 s"


def network_duplicate(raw: Raw) -> None:
    """Two engines created ov_net3 at the same moment."""
    for node in raw["nodes"].values():
        keys = node["report"]["store"]["keys"]
        (key,) = [key for key in keys if "v1.0/network/" in key and b'"ov_net3"' in base64.b64decode(keys[key])]
        value = json.loads(base64.b64decode(keys[key])) | {"id": "f" * 64}
        keys["docker/network/v1.0/network/twin/"] = base64.b64encode(json.dumps(value).encode()).decode()


def invalid_value(raw: Raw) -> None:
    for node in raw["nodes"].values():
        node["report"]["store"]["keys"]["docker/network/v1.0/endpoint/x/y/"] = "bm8ganNvbg=="


ALL: list[Callable[[Raw], None]] = [
    fault for name, fault in list(globals().items()) if getattr(fault, "__module__", "") == __name__ and name[0] != "_"
]
