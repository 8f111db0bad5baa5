"""Every fault that overlab recognizes: what it is, what it means, what to do, and how it is recognized.

A failed check is recognized by :data:`MATCHES` (its kind and output), a finding of ``overlab status`` by the comparison
that :data:`COMPARISONS` names.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from overlab.diagnosis import cookbook


@dataclass(frozen=True)
class Entry:
    """Templates over the facts of a case."""

    message: str
    remedy: str
    impact: str = ""
    """Empty where the failed check itself is the impact."""


class Diagnosis(BaseModel):
    """An entry in the names of a case."""

    model_config = ConfigDict(frozen=True)

    id: str
    message: str
    impact: str
    remedy: str

    @property
    def link(self) -> str:
        """The section of the cookbook; empty where there is none."""
        return cookbook.link(self.id)


def diagnose(id_: str, **facts: str) -> Diagnosis:
    """The entry with this id, filled in."""
    texts = {name: text.format_map(facts) for name, text in vars(ENTRIES[id_]).items()}
    return Diagnosis(id=id_, **texts)


_UP = "overlab refresh, then overlab up"
_RESTART_ENGINE = "overlab exec {node} -- systemctl restart docker.service"
_RESTART_WORKLOAD = "overlab exec {node} -- docker restart {workload}"
_DISCONNECT = "overlab exec {other_node} -- docker network disconnect -f {network} {workload}"
_SETTINGS_CHANGED = "the settings were changed after the last overlab up, or somebody changed the lab"

ENTRIES = {
    # -- machines and nodes
    "host-key-changed": Entry(
        "the machine was recreated, or another one answers on its address: its host key is not the lab's",
        "overlab up, which puts the lab's own host key on the machine",
    ),
    "ssh-permission-denied": Entry(
        "the machine does not have this lab's key: it was created with another state directory", _UP
    ),
    "node-unreachable": Entry(
        "no answer over SSH: the machine is off, still boots, or its sshd hangs",
        "overlab ssh {node}; if that hangs: overlab refresh, then overlab up, which starts a machine that is off",
        "its engine and its kernel are unknown; the other nodes may still reach its workloads",
    ),
    "node-timeout": Entry(
        "the node's checks timed out: it is overloaded, or its engine hangs on a store that answers only in part",
        f"overlab exec {{node}} -- docker info; if that hangs: {_RESTART_ENGINE}",
    ),
    "hypervisor-unreachable": Entry(
        "the hypervisor does not report the state of the machine",
        "overlab doctor",
        "whether it runs is unknown; what the node itself reports is below",
    ),
    "machine-down": Entry(
        "the machine does not run",
        _UP,
        "no engine and no workloads; the store drops the node after the discovery TTL, but keeps its endpoints",
    ),
    "report-incomplete": Entry(
        "a part of the node's state could not be collected",
        "run overlab status again; if it persists: overlab exec {node} -- journalctl -u docker.service -n 50",
        "everything that is compared with it is left out for this node",
    ),
    "container-timeout": Entry(
        "the engine does not answer for the container",
        f"run overlab status again; if it persists: {_RESTART_ENGINE}",
        "it is being started or stopped, or that hangs: on the store, or on a thread in a removed namespace",
    ),
    # -- engines
    "engine-down": Entry(
        "dockerd does not run, or still waits for the store (61 s if it refuses, 127 s if its machine is off)",
        "overlab exec {node} -- systemctl start docker.service, unless it is activating; see journalctl -u docker",
        "containers may still run (live-restore), but none can be started, and names go stale",
    ),
    "engine-restarted": Entry(
        "the engine of {node} was restarted while the check ran in {workload}, and again when it was repeated",
        "overlab exec {node} -- journalctl -u docker -u overlab-dockerd-watchdog -n 50; then overlab test again",
    ),
    "engine-in-removed-namespace": Entry(
        "the engine has a thread in the namespace of a network that was removed from the node",
        "overlab exec {node} -- /usr/local/sbin/dockerd-watchdog repair",
        "its connections to the store fail (network is unreachable): containers do not start, names stay unknown",
    ),
    "watchdog-down": Entry(
        "overlab-dockerd-watchdog.path is not active",
        "overlab exec {node} -- systemctl start overlab-dockerd-watchdog.path",
        "an engine that loses its last endpoint of an overlay network is not restarted automatically",
    ),
    "engine-store-mismatch": Entry(
        "the engine uses another store: it was not restarted after the change (a reload shows the new, keeps the old)",
        f"{_RESTART_ENGINE}; if that changes nothing: {_UP}",
        "it sees none of the lab's networks, or those of another lab",
    ),
    "engine-advertise-mismatch": Entry(
        "the engine advertises another address than that of the settings",
        _UP,
        "the other engines send VXLAN packets and gossip to an address where it does not listen",
    ),
    # -- the store
    "store-down": Entry(
        "the store does not answer: its container does not run, or a firewall drops the packets",
        "overlab exec {store_node} -- docker start consul; no engine needs a restart",
        "what runs goes on, names included; nothing new can join an overlay network, and nothing can be compared",
    ),
    "store-unreachable": Entry(
        "the store does not answer this node, but others",
        "overlab exec {node} -- curl -sS {store_url}/v1/status/leader",
        "this engine learns nothing new, and starts no container on an overlay network",
    ),
    "store-no-leader": Entry(
        "the store has no leader: fewer than half of its servers reach each other",
        "overlab exec {node} -- curl -s http://127.0.0.1:8500/v1/status/peers; start the missing servers on their"
        " nodes: docker start consul",
        "it accepts connections and answers no query",
    ),
    "store-peers-mismatch": Entry(
        "the store has another number of servers than the settings",
        "overlab exec NODE -- docker logs --tail 20 consul, on the node whose server is missing",
        "it works as long as more than half of them do",
    ),
    "store-value-invalid": Entry(
        "the value of a key is not what libnetwork writes",
        "overlab ui shows it",
        "engines that read it may fail; it is left out here",
    ),
    "store-acl-denied": Entry(
        "the store's ACLs do not know the token of {node}'s agent, or it is new: an agent asks again after 30 s",
        "overlab up; if that changes nothing: overlab pulumi -- up --target-replace URN of NODE-store-access",
    ),
    "store-data-lost": Entry(
        "the store does not have the lab's networks any more: its data was lost, or the network was recreated",
        f"restore the store's snapshot (consul snapshot restore); else {_UP}",
    ),
    "node-not-registered": Entry(
        "the engine is not registered in docker/nodes: it is down, or has not reached the store for 30 to 60 s",
        "wait for a heartbeat; if it persists: overlab exec {other_node} -- journalctl -u docker.service -n 50, then"
        " systemctl restart docker.service",
        "engines that start now do not find it",
    ),
    "node-unexpected": Entry(
        "docker/nodes has an engine that is not a node of the lab",
        "run overlab status again in a minute; if it persists, find out who sends heartbeats: overlab ui",
        "a removed engine whose TTL is not over (30 to 60 s), or one of another lab that uses this store",
    ),
    "gossip-partition": Entry(
        "gossip partition: engines that the store lists are not members of each other's gossip",
        "overlab exec {other_node} -- curl -sS -X DELETE {store_url}/v1/kv/docker/nodes/{advertise} (its heartbeat"
        " registers it again, the others join it); if overlab status finds no partition, VXLAN (4789/udp) is blocked",
        "nodes are registered and names resolve, but no packet reaches the new endpoints of {other_node} from {node}",
    ),
    # -- networks
    "network-missing": Entry(
        "the settings have the network, the store does not",
        _UP,
        f"no engine sees it; the store lost its data, or {_SETTINGS_CHANGED}",
    ),
    "network-not-found": Entry(
        "the network was removed or recreated, or the engine does not reach the store",
        f"overlab exec {{node}} -- docker network ls; then {_UP}",
    ),
    "network-subnet-taken": Entry(
        "another network has the subnet that the settings give to this one",
        f"overlab exec NODE -- docker network rm {{other}}; then {_UP}",
        "the engines refuse to create it: Pool overlaps with other one on this address space",
    ),
    "network-subnet-mismatch": Entry("the subnet is not that of the settings", _UP, _SETTINGS_CHANGED),
    "network-duplicate": Entry(
        "there is more than one network of this name, or one of local scope has replaced it",
        "overlab exec NODE -- docker network ls --no-trunc; remove the one without endpoints by its id: docker network"
        " rm ID",
        "two engines created it at the same moment; which one a container joins is undefined",
    ),
    "network-unexpected": Entry(
        "the store has the network, the settings do not",
        "overlab exec NODE -- docker network rm {network}, if nobody needs it",
        "somebody created it without the lab",
    ),
    "network-not-visible": Entry(
        "the store has the network, the engine does not list it",
        f"{_RESTART_ENGINE} (live-restore keeps its containers)",
        "the engine does not get the store's answers; its watch may have ended in a removed namespace",
    ),
    "network-orphaned": Entry(
        "the engine lists a network that the store does not have",
        f"{_RESTART_ENGINE}; then {_UP}",
        "the engine works from its cache: the store lost the network, or the engine uses another store",
    ),
    "namespace-missing": Entry(
        "workloads are on the network, but the node has no namespace for it",
        _RESTART_WORKLOAD,
        "without its bridge and VXLAN device these workloads reach nobody on this network",
    ),
    "vni-mismatch": Entry(
        "the VNI of the kernel's VXLAN device is not that of the store",
        f"{_RESTART_ENGINE}, then restart the workloads there",
        "the other nodes take its packets for those of another network",
    ),
    # -- endpoints
    "endpoint-exists": Entry(
        "a stale endpoint holds the name: its engine was rebuilt, or its container went while the store was down",
        "from ANOTHER node than the one it was on: docker network disconnect -f NETWORK NAME",
    ),
    "endpoint-orphaned": Entry(
        "the store has the endpoint on an address that is not a node of the lab",
        _DISCONNECT,
        "its name and its address stay taken, and nobody answers there",
    ),
    "endpoint-stale": Entry(
        "the store has an endpoint without a running container",
        f"{{start}}{_DISCONNECT} (never on {{node}})",
        "its engine or machine died: name and address stay taken, packets to it are lost",
    ),
    "endpoint-mismatch": Entry(
        "store and engine have different addresses for the endpoint",
        _RESTART_WORKLOAD,
        "the others send to an address that it does not have",
    ),
    "endpoint-not-registered": Entry(
        "the engine runs a container with an endpoint that the store does not have",
        _RESTART_WORKLOAD,
        "its name is not resolved elsewhere, and its address may be given to another container",
    ),
    "interface-missing": Entry(
        "the sandbox has no interface with the endpoint's address and MAC",
        _RESTART_WORKLOAD,
        "the kernel does not have what the engine reports: the endpoint cannot be reached",
    ),
    "veth-detached": Entry(
        "the veth pair of the endpoint does not end on the bridge in the network's namespace",
        _RESTART_WORKLOAD,
        "it has its address and reaches nobody on this network",
    ),
    "neighbor-mismatch": Entry(
        "the neighbor entry has another MAC than the store", "{command}", "packets go to an endpoint that was removed"
    ),
    "fdb-mismatch": Entry("the FDB entry has another node than the store", "{command}", "packets go to the wrong node"),
    "peer-entry-incomplete": Entry(
        "the kernel has only one of neighbor and FDB entry for the endpoint",
        "{command}",
        "the other one was removed; packets from here are lost, and the engine does not write it again",
    ),
    "peer-entry-missing": Entry(
        "the kernel has neither neighbor nor FDB entry, and the endpoint's node is not a gossip member",
        "that of gossip-partition {node} - {other_node}",
        "this endpoint cannot be reached from here",
    ),
    "peer-entry-unresolved": Entry(
        "the kernel has neither neighbor nor FDB entry yet",
        "{command}",
        "nobody here has sent to it: the first packet makes the engine ask its gossip",
    ),
    "peer-entry-stale": Entry(
        "the kernel has entries that no endpoint of the store has",
        "none is needed while nothing has that address",
        "left by an endpoint that was removed unnoticed; packets to that address are lost",
    ),
    # -- sandboxes and workloads
    "shared-sandbox-stale": Entry(
        "{target} was restarted or recreated, and {workload} is still in the network namespace of the old one",
        f"overlab up, which attaches it again; or {_RESTART_WORKLOAD}",
        "{workload} has no interface but its loopback",
    ),
    "gateway-endpoint-missing": Entry(
        "no interface of the workload is attached to docker_gwbridge",
        f"{_RESTART_WORKLOAD}; if that fails, a subnet collides: ip route, docker network inspect docker_gwbridge",
        "no egress, and its published ports do not answer",
    ),
    "veth-orphaned": Entry(
        "a veth on docker_gwbridge has no running container",
        "overlab exec {node} -- ip link del {veth}",
        "left by a container that died; harmless, and a sign that an engine was killed",
    ),
    "workload-missing": Entry(
        "the engine has no container for a workload of the settings", _UP, f"it was removed, or {_SETTINGS_CHANGED}"
    ),
    "workload-not-running": Entry(
        "the workload does not run: it was stopped, or its engine started without the store and gave it up",
        f"overlab exec {{node}} -- docker start {{workload}}; or {_UP}",
        "nobody reaches it",
    ),
    "workload-paused": Entry(
        "the workload is paused: its addresses answer, but no process in it runs",
        "overlab exec {node} -- docker unpause {workload}",
    ),
    "tool-crashed": Entry(
        "the tool of the workload's image crashed: this is no evidence about the network",
        "overlab exec {node} -- docker exec {workload} busybox; then another image for it, or another tool",
    ),
    # -- what only checks find
    "name-not-resolved": Entry(
        "the engine's watch on the store ended, or the store is down: new names are not learned, addresses still work",
        "overlab exec {node} -- /usr/local/sbin/dockerd-watchdog repair; if it finds nothing: systemctl restart docker",
    ),
    "name-address-mismatch": Entry(
        "the name belongs to a stale endpoint, or to another container of that alias",
        "overlab exec {node} -- docker network inspect {network}",
    ),
    "address-changed": Entry(
        "the workload is on the network with another address, or not at all",
        f"overlab exec {{node}} -- docker inspect {{workload}}; then {_UP}",
    ),
    "workload-not-attached": Entry(
        "{workload} has no interface on {network}",
        f"overlab exec {{node}} -- docker network connect {{network}} {{workload}}, or {_UP}",
    ),
    "mtu-mismatch": Entry(
        "the network was created for another underlay MTU, or the underlay carries more than underlay.mtu",
        "overlab exec {node} -- ip link show; set underlay.mtu to what it carries. A network's MTU is fixed when"
        " it is created: docker network inspect {network}",
    ),
    "mtu-black-hole": Entry(
        "the path carries less than the network's MTU: large packets are lost, small ones pass",
        "set the network's mtu (or underlay.mtu) to what the path carries; overlay networks get 50 bytes less",
    ),
    "internal-network-egress": Entry(
        "the workload has egress: it is on another network too, or the network was created without --internal",
        "overlab exec {node} -- docker inspect {workload}",
    ),
    "networks-not-isolated": Entry(
        "a workload of one network reaches the other: it is on both, or a node routes between them",
        "overlab exec {node} -- docker inspect {workload}; iptables -S DOCKER-ISOLATION-STAGE-1 on both nodes",
    ),
    "transfer-empty": Entry(
        "no byte came: {target}'s listener on port 5201 was not reached, or the VXLAN path is cut",
        "overlab test --only ping-ip; if that passes: overlab exec NODE -- docker exec {target} netstat -ltn",
    ),
    "transfer-truncated": Entry(
        "the transfer ended early: an MTU black hole, or a path that loses packets under load",
        "overlab test --only mtu",
    ),
    "http-error": Entry(
        "{target} is reached, but its web server refuses or answers with an error",
        "docker logs --tail 20 {target}, on its node; compare its port with http_port",
    ),
    "port-not-published": Entry(
        "the engine published no such port for {target}: another one, a taken one, or the container does not run",
        f"docker port {{target}}, on its node; overlab test asks for ports again; or {_UP}",
    ),
    "port-filtered": Entry(
        "the node's firewall or DOCKER-USER drops it, or the node is down",
        "iptables -S DOCKER-USER; nft list ruleset, on {target}'s node",
    ),
    "anything-else": Entry("nothing that was seen before", "run the command above where it ran, and compare"),
}

_NAMES = ("ping-name", "dns", "http")
_PACKETS = ("ping-ip", "ping-name", "http", "mtu")
_PUBLISHED = ("http-published", "http-external")
NOT_RUN = "not run"

MATCHES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # Id, kinds of check (empty: any), and a regular expression that is found in the output. The first one wins: texts
    # that mean one thing come first, then what a kind mostly means.
    ("host-key-changed", (), r"host key verification failed|identification has changed"),
    ("ssh-permission-denied", (), r"permission denied \(publickey"),
    ("node-unreachable", (NOT_RUN,), r"was not reached|cannot be entered|connection broke"),
    ("node-timeout", (NOT_RUN,), r"did not end in time|did not end within"),
    ("engine-down", (), r"cannot connect to the docker daemon|docker\.sock"),
    ("endpoint-exists", (), r"endpoint with name \S+ already exists"),
    ("engine-restarted", (), r"no such exec instance"),
    ("tool-crashed", (), r"segmentation fault|core dumped|illegal instruction"),
    ("workload-paused", (), r"is paused"),
    ("workload-not-running", (), r"no such container|is not running|does not run"),
    ("engine-in-removed-namespace", (), r"dial tcp \S+:8500: connect: network is unreachable"),
    ("node-not-registered", ("kv",), r"no key docker/nodes/"),
    ("store-data-lost", ("kv",), r"no key docker/network/"),
    ("store-acl-denied", ("kv",), r"error: 403|acl not found|permission denied"),
    ("store-no-leader", ("kv",), r"error: 500|no cluster leader"),
    ("store-down", ("kv",), r""),
    ("engine-store-mismatch", ("engine",), r""),
    ("network-not-found", (), r"no node knows"),
    ("network-not-found", ("network",), r"not found|no such network|^$"),
    ("network-duplicate", ("network",), r""),
    ("name-not-resolved", _NAMES, r"bad address|can't (find|resolve)|nxdomain|server can't find|no answer"),
    ("name-address-mismatch", ("dns",), r""),
    ("shared-sandbox-stale", ("shared",), r"no interface has"),
    ("http-error", ("shared",), r""),
    ("address-changed", ("interface",), r"no interface has"),
    ("mtu-mismatch", ("interface",), r"mtu"),
    ("gateway-endpoint-missing", ("gateway-bridge",), r""),
    ("internal-network-egress", ("no-egress",), r""),
    ("networks-not-isolated", ("isolation",), r""),
    ("mtu-mismatch", ("mtu",), r"one byte more passed"),
    ("mtu-black-hole", ("mtu",), r"message too long|frag needed|packet loss|too big"),
    ("workload-not-attached", (*_PACKETS, "tcp"), r"network is unreachable|no route to host"),
    ("http-error", ("http",), r"connection refused|HTTP/1\.\d [345]|40\d|50\d"),
    ("transfer-empty", ("tcp",), r"d41d8cd98f00b204e9800998ecf8427e"),
    ("transfer-truncated", ("tcp",), r""),
    ("gossip-partition", _PACKETS, r"packet loss|timed out"),
    ("http-error", ("http",), r""),
    ("port-not-published", _PUBLISHED, r"port 0|:0/|bad/illegal|invalid|refused|reset"),
    ("port-filtered", _PUBLISHED, r"timed out|no route|unreachable|prohibited"),
    ("http-error", _PUBLISHED, r""),
    ("anything-else", (), r""),
)

COMPARISONS = {
    # A function of overlab.inspect.compare_* -> what it finds.
    "machines": "hypervisor-unreachable machine-down node-unreachable report-incomplete container-timeout",
    "engines": "engine-down engine-store-mismatch engine-advertise-mismatch",
    "store": "store-down store-unreachable store-no-leader store-peers-mismatch store-value-invalid",
    "registrations": "node-not-registered node-unexpected",
    "gossip": "gossip-partition",
    "watchdogs": "watchdog-down engine-in-removed-namespace",
    "workloads": "workload-missing workload-not-running",
    "expected_networks": "network-missing network-subnet-taken network-subnet-mismatch network-duplicate"
    " network-unexpected",
    "visible_networks": "network-not-visible network-orphaned",
    "namespaces": "namespace-missing vni-mismatch",
    "stored_endpoints": "endpoint-orphaned endpoint-stale endpoint-mismatch interface-missing veth-detached",
    "running_endpoints": "endpoint-not-registered",
    "peer_entries": "neighbor-mismatch fdb-mismatch peer-entry-incomplete peer-entry-missing peer-entry-unresolved",
    "stale_peer_entries": "peer-entry-stale",
    "shared_sandboxes": "shared-sandbox-stale",
    "gateway_endpoints": "gateway-endpoint-missing veth-orphaned",
}

DOWN = frozenset(
    "hypervisor-unreachable machine-down node-unreachable report-incomplete container-timeout engine-down store-down"
    " store-unreachable store-no-leader watchdog-down workload-not-running".split()
)
"""Findings where something does not run or answer."""

NOTES = frozenset({"network-unexpected", "peer-entry-unresolved"})
"""Findings that leave the lab healthy. All others: two views disagree."""
