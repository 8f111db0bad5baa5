"""Which resources an update has to remove first, since another one gets what they have."""

from __future__ import annotations

from typing import Any

import pytest

from components.config import settings
from overlab.recovery.handover import handovers
from overlab.stack.state import CONTAINER, DOCKER_NETWORK, ENGINE, Resource, State

NODE = "ssh://root@10.96.15.11:22"
OUTER = "unix:///outer.sock"
LAB: dict[str, Any] = {
    "underlay": {"cidr": "10.96.15.0/24"},
    "machine": {"kind": "container"},
    "nodes": {"docker01": {}},
    "networks": {"ov1": {"created_on": "docker01", "subnet": "10.20.0.0/24"}},
    "workloads": {
        "a1": {"node": "docker01", "networks": {"ov1": {"ipv4_address": "10.20.0.41"}}, "ports": ["8080:80"]},
        "c1": {"node": "docker01", "networks": ["ov1"]},
    },
}


def resource(type_: str, name: str, on: str = NODE, *addresses: str, **inputs: Any) -> Resource:
    urn = f"urn:pulumi:s::overlab::{type_}::{name}"
    return Resource(urn, type_, f"id-{name}", name, on, addresses=frozenset(addresses), inputs=inputs)


PORTS = [{"external": 8080, "internal": 80, "protocol": "tcp"}]
CASES = {
    "nothing": ([resource(CONTAINER, "a1", NODE, "10.20.0.41", ports=PORTS)], []),
    "a port": ([resource(CONTAINER, "c1", ports=PORTS)], ["c1 is removed first: port 8080/tcp goes to a1"]),
    "a port of another protocol": ([resource(CONTAINER, "c1", ports=[{**PORTS[0], "protocol": "udp"}])], []),
    "a port on another node": ([resource(CONTAINER, "c1", "ssh://root@10.96.15.12:22", ports=PORTS)], []),
    "an address": (
        [resource(CONTAINER, "c1", NODE, "10.20.0.41")],
        ["c1 is removed first: address 10.20.0.41 goes to a1"],
    ),
    "a subnet": (
        [
            resource(DOCKER_NETWORK, "old", ipamConfigs=[{"subnet": "10.20.0.0/16"}]),
            resource(CONTAINER, "c1", networksAdvanced=[{"name": "id-old"}]),
        ],
        [
            "c1 is removed first: network old goes to ov1",
            "old is removed first: subnet 10.20.0.0/24 goes to ov1",
        ],
    ),
    "a node's address": (
        [
            resource(CONTAINER, "docker09-container", OUTER),
            resource("pulumi:providers:docker", "docker09-docker", "", host=NODE),
        ],
        ["docker09-container is removed first: address 10.96.15.11 goes to docker01"],
    ),
    "the store": (
        [
            resource(CONTAINER, "c1", networksAdvanced=[{"name": "id-ov1"}]),
            resource(DOCKER_NETWORK, "ov1", ipamConfigs=[{"subnet": "10.20.0.0/24"}]),
            resource(ENGINE, "e", "", address="10.96.15.11", cluster_store="consul://127.0.0.1:8500"),
        ],
        [
            "c1 is removed first: network ov1 goes to consul://10.96.15.11:8500",
            "ov1 is removed first: network ov1 goes to consul://10.96.15.11:8500",
        ],
    ),
    "the store, with every node": (
        [
            resource(DOCKER_NETWORK, "ov1", "ssh://root@10.96.16.11:22"),
            resource(ENGINE, "e", "", address="10.96.16.11", cluster_store="consul://10.96.16.11:8500"),
        ],
        [],
    ),
    "not the store": (
        [
            resource(DOCKER_NETWORK, "ov1"),
            resource(ENGINE, "e", "", address="10.96.15.11", cluster_store="consul://10.96.15.11:8500"),
        ],
        [],
    ),
}


@pytest.mark.parametrize(("present", "expected"), CASES.values(), ids=CASES.keys())
def test_what_is_removed_first(present: list[Resource], expected: list[str]) -> None:
    found = handovers(settings.parse(LAB, "s"), State(tuple(present)))
    assert [str(one) for one in found] == expected
