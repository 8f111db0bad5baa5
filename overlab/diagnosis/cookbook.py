"""The sections of the cookbook and its index, which ``python -m overlab.diagnosis.cookbook`` rewrites."""

from __future__ import annotations

from pathlib import Path

FILE = "docs/cookbook.md"

SECTIONS = {
    "making networks and containers": {
        "endpoint-exists": "`endpoint with name X already exists in network N`",
        "port-already-taken": "`port is already allocated`, `listen tcp4 ...: bind: address already in use`",
        "address-in-use": "`Address already in use`",
        "address-outside-the-subnet": "`Invalid address A: It does not belong to any of this network's subnets`",
        "address-without-a-stated-subnet": "`user specified IP address is supported only when connecting to networks"
        " with user configured subnets`",
        "pool-overlaps": "`Pool overlaps with other one on this address space`",
        "vxlan-id-conflict": "`failed to initialize vxlan id manager`",
        "conflicts-with-existing-route": "`conflicts with existing route`",
        "encrypted-overlay": "`cannot join secure network: encryption keys not present`",
        "network-name-taken": "`network with name N already exists`",
        "network-duplicate": "`network N is ambiguous`",
        "network-not-found": "`network N not found`",
        "network-has-active-endpoints": "`network N id I has active endpoints`",
        "interface-name-taken": '`error renaming interface "vethX" to "veth1": file exists`',
        "container-without-a-network": "no error, and only `lo` in the container",
        "workload-not-running": "`No such container`, `is not running`",
        "workload-paused": "`is paused`",
    },
    "names and packets": {
        "name-not-resolved": "`ping: bad address 'X'`, `NXDOMAIN`",
        "name-address-mismatch": "another address than expected, or two",
        "gossip-partition": "`100% packet loss`, `could not resolve peer`",
        "engine-in-removed-namespace": "`dial tcp A:8500: connect: network is unreachable`",
        "peer-entry-incomplete": "`could not add neighbor entry:<nil>`, `Search neighbor failed` in the journal",
        "workload-not-attached": "`ping: sendto: Network is unreachable`",
        "mtu-black-hole": "small packets pass, large ones are lost",
        "mtu-mismatch": "an MTU is not the expected one",
        "transfer-empty": "a transfer hangs, `d41d8cd98f00b204e9800998ecf8427e`",
        "transfer-truncated": "a transfer ends early",
        "networks-not-isolated": "a workload of another network answers",
        "internal-network-egress": "an internal network has a default route",
    },
    "interfaces and ports": {
        "address-changed": "no interface has the expected address",
        "gateway-endpoint-missing": "no default route, no port of the bridge",
        "shared-sandbox-stale": "only `lo` in a container with `--net container:...`",
        "port-not-published": "`Connection refused` on a published port",
        "port-filtered": "a published port does not answer",
        "http-error": "`Connection refused`, `HTTP/1.1 5..` inside the network",
        "tool-crashed": "`Segmentation fault`",
    },
    "engines": {
        "engine-down": "`Cannot connect to the Docker daemon`",
        "engine-restarted": "`No such exec instance`",
        "discovery-service-not-supported": "`discovery service not supported`, `Backend storage not supported yet`",
        "advertise-unusable": "`discovery advertise parsing failed`, `invalid cluster configuration`",
        "flag-and-file": "`the following directives are specified both as a flag and in the configuration file`",
        "engine-store-mismatch": "`modifies an existing datastore client`",
        "swarm-refused": "`incompatible with swarm mode`",
        "host-names-not-unique": "`serf: Node name conflicts`",
        "remote-state-is-encrypted": "`Remote state is encrypted and encryption is not configured`",
        "no-cluster-lines": "`docker info` shows no `Cluster Store`",
    },
    "the store": {
        "node-not-registered": "no key `docker/nodes/A:2376`",
        "session-refused": "`cannot set or renew session for ttl`",
        "store-down": "`dial tcp A:8500: connect: connection refused`, `network N not found` everywhere",
        "store-no-leader": "`No cluster leader`, error 500",
        "store-acl-denied": "`Unexpected response code: 403`, `ACL not found`",
        "store-data-lost": "`docker network ls` without an overlay network, while traffic goes on",
    },
    "machines": {
        "host-key-changed": "`Host key verification failed`",
        "ssh-permission-denied": "`Permission denied (publickey)`",
        "node-unreachable": "a node does not answer over SSH",
        "node-timeout": "a node's checks do not end",
        "anything-else": "anything else",
    },
}
"""Group -> section of the cookbook -> the error texts, in Markdown."""

SECTION_OF = {
    "machine-down": "node-unreachable",
    "watchdog-down": "engine-in-removed-namespace",
    "engine-advertise-mismatch": "advertise-unusable",
    "store-unreachable": "store-down",
    "store-peers-mismatch": "store-no-leader",
    "node-unexpected": "node-not-registered",
    "network-missing": "network-not-found",
    "network-subnet-taken": "pool-overlaps",
    "network-not-visible": "network-not-found",
    "network-orphaned": "store-data-lost",
    "endpoint-orphaned": "endpoint-exists",
    "endpoint-stale": "endpoint-exists",
    "neighbor-mismatch": "peer-entry-incomplete",
    "fdb-mismatch": "peer-entry-incomplete",
    "peer-entry-stale": "peer-entry-incomplete",
    "peer-entry-missing": "gossip-partition",
    "workload-missing": "workload-not-running",
}
"""Entry without its own section -> the section that is about it."""

_BEGIN, _END = "<!-- index: begin -->\n", "<!-- index: end -->\n"


def link(id_: str) -> str:
    """The section about an entry of the catalogue; empty where there is none."""
    section = SECTION_OF.get(id_, id_)
    return f"{FILE}#{section}" if any(section in group for group in SECTIONS.values()) else ""


def index() -> str:
    """A row for each section: its error texts, and the ids in ``overlab status`` that it is about."""
    lines = ["| error text, or id in `overlab status` | section |", "|---|---|"]
    for group, sections in SECTIONS.items():
        lines.append(f"| **{group}** | |")
        for section, texts in sections.items():
            ids = [f"`{id_}`" for id_, target in SECTION_OF.items() if target == section]
            lines.append(f"| {', '.join([texts, *ids])} | [{section}](#{section}) |")
    return "\n".join(lines) + "\n"


def updated(page: str) -> str:
    """The cookbook with the present index."""
    head, rest = page.split(_BEGIN)
    return f"{head}{_BEGIN}{index()}{_END}{rest.split(_END)[1]}"


if __name__ == "__main__":
    page = Path(FILE)
    page.write_text(updated(page.read_text("utf-8")), "utf-8")
