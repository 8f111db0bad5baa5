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


def permission_denied(raw: Raw) -> None:
    engine_down(raw)
    report(raw, "docker02")["errors"]["engine"] = "PermissionError: [Errno 13] Permission denied"


def interface_down(raw: Raw) -> None:
    sandbox = report(raw, "docker02")["sandboxes"][container(raw, "docker02", "t2")["sandbox_key"]]
    (interface,) = [one for one in sandbox["interfaces"] if one["mac"] == T2_MAC]
    interface["up"] = False


def device_down(raw: Raw) -> None:
    namespace(raw, "docker02", "ov_net1")["down"] = ["vxlan0"]


def node_not_attached(raw: Raw) -> None:
    """The lab was attached, and not all of it."""
    raw["expected"]["attached"] = True
    unexpected_node(raw)


def clock_apart(raw: Raw) -> None:
    raw["nodes"]["docker02"]["clock_offset_s"] = -75.0


def port_filtered(raw: Raw) -> None:
    report(raw, "docker02")["dropping_rules"] = ["-A INPUT -p udp -m udp --dport 4789 -j DROP"]


def duplicate_address(raw: Raw) -> None:
    """Two endpoints of ov_net1 got one address, as after a store's data were lost in part."""

    def change(endpoint: Raw) -> None:
        if endpoint["name"] == "t1":
            endpoint["ep_iface"]["addr"] = f"{T2}/24"

    stored(raw, "endpoint", change)


def other_mtu(raw: Raw) -> None:
    sandbox = report(raw, "docker02")["sandboxes"][container(raw, "docker02", "t2")["sandbox_key"]]
    (interface,) = [one for one in sandbox["interfaces"] if one["mac"] == T2_MAC]
    interface["mtu"] = 1400


def orphaned_port(raw: Raw) -> None:
    namespace(raw, "docker02", "ov_net1")["ports"].append({"name": "veth9", "index": 999, "peer": 998})


# -- in a swarm: web1 is on one node, db1 and db2 on the other ------------------------------------------


_ONE, _OTHER = "10.96.51.11", "10.96.51.12"


def _backend(raw: Raw) -> Raw:
    return namespace(raw, _ONE, "backend")


def swarm_entries_lost(raw: Raw) -> None:
    """As in moby 52661: a live endpoint's entries are gone."""
    entries = _backend(raw)
    entries["fdb"] = [one for one in entries["fdb"] if one["mac"] != "02:42:0a:00:01:04"]
    entries["neighbors"] = [one for one in entries["neighbors"] if one["address"] != "10.0.1.4"]


def swarm_fdb_entry_lost(raw: Raw) -> None:
    entries = _backend(raw)
    entries["fdb"] = [one for one in entries["fdb"] if one["mac"] != "02:42:0a:00:01:04"]


def swarm_wrong_fdb_entry(raw: Raw) -> None:
    (entry,) = [one for one in _backend(raw)["fdb"] if one["mac"] == "02:42:0a:00:01:04"]
    entry["destination"] = "10.96.51.99"


def swarm_wrong_neighbor(raw: Raw) -> None:
    (entry,) = [one for one in _backend(raw)["neighbors"] if one["address"] == "10.0.1.4"]
    entry["mac"] = "02:42:0a:00:01:63"


def swarm_stale_entry(raw: Raw) -> None:
    _backend(raw)["fdb"].append({"mac": "02:42:0a:00:01:63", "destination": _OTHER})


def swarm_gossip_partition(raw: Raw) -> None:
    (network,) = [one for one in report(raw, _ONE)["networks"] if one["name"] == "backend"]
    network["peers"] = [_ONE]


def swarm_node_down(raw: Raw) -> None:
    report(raw, _ONE)["engine"]["swarm_nodes"][_OTHER] = "down"


def swarm_left(raw: Raw) -> None:
    """The others keep what gossip brought of it."""
    left = report(raw, _OTHER)
    left["engine"]["swarm_address"] = ""
    left.update(networks=[], containers=[], sandboxes={}, overlay_namespaces=[], gateway_ports=[])


def swarm_other_vni(raw: Raw) -> None:
    _backend(raw)["devices"] = {"vxlan0": 99}


def swarm_no_namespace(raw: Raw) -> None:
    report(raw, _ONE)["overlay_namespaces"].remove(_backend(raw))


def swarm_node_silent(raw: Raw) -> None:
    """What gossip brought of it is no stale entry."""
    raw["nodes"][_OTHER] = {"report": None, "error": "Connection refused", "seconds": 1.0}


def swarm_without_systemd(raw: Raw) -> None:
    """No fault at all."""
    report(raw, _ONE)["unit"] = report(raw, _ONE)["gossip"] = None
    report(raw, _ONE)["errors"] = dict.fromkeys(("unit", "gossip"), "FileNotFoundError: systemctl")


SWARM = [fault for name, fault in list(globals().items()) if name.startswith("swarm_")]
ALL: list[Callable[[Raw], None]] = [
    fault
    for name, fault in list(globals().items())
    if getattr(fault, "__module__", "") == __name__ and name[0] != "_" and fault not in SWARM
]
