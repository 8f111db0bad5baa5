"""The cookbook's index: which failure points at which section, keyed by kind of check and by what was said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FILE = "docs/cookbook.md"


@dataclass(frozen=True)
class Cause:
    """Why it failed, most likely."""

    anchor: str
    """Section of the cookbook."""
    likely: str
    remedy: str

    @property
    def link(self) -> str:
        return f"{FILE}#{self.anchor}"


@dataclass(frozen=True)
class Entry:
    kinds: tuple[str, ...]
    """Empty: any."""
    said: str
    """Regular expression, found anywhere in the output; case does not matter."""
    cause: Cause


_NAMES = ("ping-name", "dns", "http")
_PACKETS = ("ping-ip", "ping-name", "tcp", "http", "mtu")
_PUBLISHED = ("http-published", "http-external")


def _e(kinds: Iterable[str], said: str, anchor: str, likely: str, remedy: str) -> Entry:
    return Entry(tuple(kinds), said, Cause(anchor, likely, remedy))


# The first entry that fits is the answer: error texts that mean one thing come first, then what a kind mostly means.
ENTRIES = (
    # -- nobody was reached
    _e(
        (),
        r"host key verification failed|identification has changed",
        "host-key-changed",
        "the machine was made anew, or another one answers on its address: its host key is not the lab's",
        "overlab up, which puts the lab's own host key on the machine",
    ),
    _e(
        (),
        r"permission denied \(publickey",
        "ssh-permission-denied",
        "the machine does not have this lab's key: it is from another life of the lab",
        "overlab refresh, then overlab up",
    ),
    _e(
        ("not run",),
        r"was not reached|cannot be entered|connection broke",
        "node-not-reached",
        "the machine is off, still boots, or its ssh does not answer",
        "overlab doctor, then overlab up, which starts a machine that is off; look: overlab ssh {node}",
    ),
    _e(
        ("not run",),
        r"did not end in time",
        "node-too-slow",
        "the node is too busy to end its checks, or its engine hangs (a store that is half there)",
        "overlab exec {node} -- docker info; when it hangs: overlab exec {node} -- systemctl restart docker",
    ),
    # -- the engine
    _e(
        (),
        r"cannot connect to the docker daemon|docker\.sock",
        "engine-down",
        "dockerd does not run on {node}, or still waits for the store (61 s where it refuses, 127 s where it is gone)",
        "overlab exec {node} -- journalctl -u docker -n 50",
    ),
    _e(
        (),
        r"endpoint with name \S+ already exists",
        "endpoint-exists",
        "a dead endpoint holds the name: its engine was rebuilt, or its container went while the store was away",
        "from ANOTHER node than the one it was on: docker network disconnect -f OVERLAY NAME",
    ),
    _e(
        (),
        r"no such exec instance",
        "engine-restarted-meanwhile",
        "the engine of {node} was restarted while the check ran in {source}, and again when it was run once more",
        "overlab exec {node} -- journalctl -u docker -u overlab-dockerd-watchdog -n 50; then overlab test again",
    ),
    _e(
        (),
        r"segmentation fault|core dumped|illegal instruction",
        "tool-crashed",
        "the tool of the workload's image crashed: this says nothing about the network",
        "overlab exec {node} -- docker exec {source} busybox; then another image for it, or another tool",
    ),
    _e(
        (),
        r"is paused",
        "workload-paused",
        "the workload is paused: its addresses answer, nothing in it does",
        "overlab exec {node} -- docker unpause {source}",
    ),
    _e(
        (),
        r"no such container|is not running|does not run",
        "workload-exited",
        "the workload is not running: stopped by hand, or its engine started without the store and gave it up",
        "overlab refresh, then overlab up; or overlab exec {node} -- docker start {source}",
    ),
    _e(
        (),
        r"dial tcp \S+:8500: connect: network is unreachable",
        "engine-in-a-dead-namespace",
        "the engine dials from the namespace of an overlay that went",
        "overlab exec {node} -- /usr/local/sbin/dockerd-watchdog repair",
    ),
    # -- the store
    _e(
        ("kv",),
        r"no key docker/nodes/",
        "node-not-registered",
        "that engine is down, or has lost the store: its key goes 30 to 60 s after its last heartbeat",
        "overlab exec NODE -- journalctl -u docker -n 50, on the node with that address",
    ),
    _e(
        ("kv",),
        r"no key docker/network/",
        "store-lost-its-data",
        "the store's data is not that of this lab any more: lost, or the overlay was made anew",
        "restore the store's snapshot; else overlab refresh, then overlab up, which makes what is gone",
    ),
    _e(
        ("kv",),
        r"error: 403|acl not found|permission denied",
        "store-denies",
        "the store's access lists do not know the token of {node}'s agent, or it is new: an agent asks again in 30 s",
        "overlab up; where it changes nothing: overlab pulumi -- up --target-replace URN of NODE-store-access",
    ),
    _e(
        ("kv",),
        r"error: 500|no cluster leader",
        "store-without-a-leader",
        "the store has no leader: too few of its servers run",
        "overlab exec {node} -- curl -s http://127.0.0.1:8500/v1/status/peers",
    ),
    _e(
        ("kv",),
        r"",
        "store-down",
        "the store does not answer {node}: its container is down, or the firewall is between",
        "overlab exec STORE_NODE -- docker start consul; overlays with traffic go on meanwhile",
    ),
    _e(
        ("engine",),
        r"",
        "engine-has-another-store",
        "the engine was not restarted after its store changed (a reload shows the new one and keeps the old)",
        "overlab exec {node} -- systemctl restart docker",
    ),
    _e(
        (),
        r"no node knows",
        "network-not-found",
        "the overlay was removed, or no engine sees the store",
        "overlab exec docker01 -- docker network ls, on any node; then overlab refresh, then overlab up",
    ),
    _e(
        ("network",),
        r"not found|no such network|^$",
        "network-not-found",
        "the overlay was removed or made anew, or the engine does not see the store",
        "overlab exec {node} -- docker network ls; then overlab refresh, then overlab up",
    ),
    _e(
        ("network",),
        r"",
        "network-made-twice",
        "another overlay of that name, or one of local scope, has taken its place",
        "overlab exec {node} -- docker network ls --no-trunc",
    ),
    # -- names
    _e(
        _NAMES,
        r"bad address|can't (find|resolve)|nxdomain|server can't find|no answer",
        "name-not-known",
        "the engine's watch on the store ended, or the store is away: names are no longer learnt, addresses work on",
        "overlab exec {node} -- /usr/local/sbin/dockerd-watchdog repair; if it finds nothing: systemctl restart docker",
    ),
    _e(
        ("dns",),
        r"",
        "name-with-another-address",
        "the name belongs to an endpoint that is gone, or to another container of that alias",
        "overlab exec {node} -- docker network inspect {overlay}",
    ),
    # -- interfaces
    _e(
        ("shared",),
        r"no interface has",
        "shared-stack-left-behind",
        "{target} was made anew and {source} is still in the network of the old one",
        "overlab up, which attaches it again; or overlab exec {node} -- docker restart {source}",
    ),
    _e(
        ("shared",),
        r"",
        "web-server-silent",
        "the web server does not listen on the shared loopback",
        "overlab exec {node} -- docker logs --tail 20 {target}",
    ),
    _e(
        ("interface",),
        r"no interface has",
        "address-changed",
        "the workload is on the overlay with another address, or not at all",
        "overlab exec {node} -- docker inspect {source}; then overlab refresh, then overlab up",
    ),
    _e(
        ("interface",),
        r"mtu",
        "mtu-differs",
        "the overlay was made for another underlay MTU, or its interface is not the expected one",
        "overlab exec {node} -- docker network inspect {overlay}; an MTU is fixed when the overlay is made",
    ),
    _e(
        ("gateway-bridge",),
        r"",
        "no-gateway-bridge",
        "docker_gwbridge could not take the workload: its pool collides with an overlay's subnet, or it was removed",
        "overlab exec {node} -- ip route; then overlab exec {node} -- docker network inspect docker_gwbridge",
    ),
    _e(
        ("no-egress",),
        r"",
        "internal-overlay-leaks",
        "the workload has a way out: it is on another network too, or the overlay was made without --internal",
        "overlab exec {node} -- docker inspect {source}",
    ),
    _e(
        ("isolation",),
        r"",
        "overlays-reach-each-other",
        "a workload of the one reaches the other: it is on both, or a node routes between them",
        "overlab exec {node} -- docker inspect {source}; iptables -S DOCKER-ISOLATION-STAGE-1 on both nodes",
    ),
    # -- packets
    _e(
        ("mtu",),
        r"one byte more passed",
        "mtu-differs",
        "the underlay carries more than the lab was told: packets are not cut where the overlay ends",
        "overlab exec {node} -- ip link show lab0; set underlay.mtu to what the lab network carries",
    ),
    _e(
        ("mtu",),
        r"message too long|frag needed|packet loss|too big",
        "mtu-black-hole",
        "the path carries less than the overlay promises: large packets vanish, small ones pass",
        "set the overlay's mtu (or underlay.mtu) to what the path carries; overlays get 50 bytes less",
    ),
    _e(
        _PACKETS,
        r"network is unreachable|no route to host",
        "not-on-the-overlay",
        "{source} has no interface on {overlay}",
        "overlab exec {node} -- docker network connect {overlay} {source}, or overlab refresh, then overlab up",
    ),
    _e(
        ("http",),
        r"connection refused|HTTP/1\.\d [345]|40\d|50\d",
        "web-server-silent",
        "{target} is reached, but its web server does not answer there",
        "docker logs --tail 20 {target}, on its node; and does its port fit `http_port`?",
    ),
    _e(
        ("tcp",),
        r"d41d8cd98f00b204e9800998ecf8427e",
        "nothing-received",
        "no byte came: {target}'s listener on port 5201 was not reached, or the VXLAN path is cut",
        "overlab test --only ping-ip; when that passes: overlab exec NODE -- docker exec {target} netstat -ltn",
    ),
    _e(
        ("tcp",),
        r"",
        "bulk-cut-short",
        "the transfer ended early: an MTU black hole, or a path that loses packets under load",
        "overlab test --only mtu",
    ),
    _e(
        _PACKETS,
        r"packet loss|timed out",
        "silent-split",
        "the engines do not gossip with each other (listed in the store all the same), or VXLAN (4789/udp) is blocked",
        "delete the cut-off engine's key, its heartbeat puts it back and the others join it anew: "
        "curl -X DELETE http://STORE:8500/v1/kv/docker/nodes/ADDRESS:2376, on a node",
    ),
    _e(
        ("http",),
        r"",
        "web-server-silent",
        "{target} is reached, but its web server does not answer there",
        "docker logs --tail 20 {target}, on its node",
    ),
    # -- published ports
    _e(
        _PUBLISHED,
        r"port 0|:0/|bad/illegal|invalid",
        "port-not-published",
        "the engine published no port for {target}: it was taken, or the container does not run",
        "docker port {target}, on its node; then overlab refresh, then overlab up",
    ),
    _e(
        _PUBLISHED,
        r"refused|reset",
        "port-not-published",
        "nothing listens on the node's port: {target} does not run, or was published on another one",
        "docker port {target}, on its node; overlab test asks for ports anew",
    ),
    _e(
        _PUBLISHED,
        r"timed out|no route|unreachable|prohibited",
        "port-filtered",
        "the node's firewall or DOCKER-USER drops it, or the node is down",
        "iptables -S DOCKER-USER; nft list ruleset, on {target}'s node",
    ),
    _e(
        _PUBLISHED,
        r"",
        "web-server-silent",
        "the port is published, but the web server in {target} answers with an error",
        "docker logs --tail 20 {target}, on its node",
    ),
    _e(
        (),
        r"",
        "anything-else",
        "nothing that was seen before",
        "run the command above where it ran, and compare",
    ),
)
