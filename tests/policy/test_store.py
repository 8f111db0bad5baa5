"""The cluster store's openness, and what it loses with a node."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rules import types

from tests.policy.evaluate import GOOD, UNKNOWN, UNSEEN, Declared, judge, judge_stack

PRIVATE = "store-http-private"
GOSSIP = "store-gossip-key"
SINGLE = "store-single-server"
LAB = {"lab_networks": ["10.99.0.0/24"]}
KEY = "cg8StVXbQJ0gPvMd9o7yrg=="


def consul(*command: str, **props: Any) -> dict[str, Any]:
    return {"image": "consul:1.8", "command": ["agent", "-server", *command], **props}


@pytest.mark.parametrize(
    "props",
    [
        consul("-client=127.0.0.1 10.99.0.11"),
        consul("-client", "10.99.0.11"),
        consul("-client={{ GetPrivateIP }}"),
        consul("-client=unix:///run/consul.sock"),
        consul(),
        consul(envs=[f"CONSUL_LOCAL_CONFIG={json.dumps({'client_addr': '127.0.0.1'})}"]),
        {"image": "nginx:1.22", "command": ["-client=0.0.0.0"]},
    ],
)
def test_private(props: dict[str, Any]) -> None:
    assert judge(PRIVATE, config=LAB, **props) == GOOD


@pytest.mark.parametrize(
    ("props", "address"),
    [
        (consul("-client=0.0.0.0"), "0.0.0.0"),
        (consul("--client", "0.0.0.0"), "0.0.0.0"),
        (consul("-client=127.0.0.1 203.0.113.7"), "203.0.113.7"),
        (consul("-client=10.98.0.11"), "10.98.0.11"),
        (consul("-client=::"), "::"),
        (consul("-client={{ GetPublicIP }}"), "{{ GetPublicIP }}"),
        (consul(uploads=[{"file": "/c.json", "content": json.dumps({"client_addr": "0.0.0.0"})}]), "0.0.0.0"),
        (consul(envs=['CONSUL_LOCAL_CONFIG={"addresses": {"http": "0.0.0.0"}}']), "0.0.0.0"),
        (consul(envs=["CONSUL_CLIENT_INTERFACE=eth0"]), "the interface eth0"),
        ({"image": "progrium/consul:1", "command": ["-server"]}, "0.0.0.0"),
    ],
)
def test_public(props: dict[str, Any], address: str) -> None:
    assert judge(PRIVATE, config=LAB, **props).problems == [f"Consul's HTTP API is bound to '{address}'"]
    assert judge(PRIVATE, config={**LAB, "allow_public": True}, **props) == GOOD


def test_unknown_privacy() -> None:
    assert judge(PRIVATE, image=UNKNOWN) == UNSEEN
    assert judge(PRIVATE, image="consul:1.8", command=UNKNOWN) == UNSEEN
    assert judge(PRIVATE, image="busybox:1", command=UNKNOWN) == GOOD


@pytest.mark.parametrize(
    "props",
    [
        consul(f"-encrypt={KEY}"),
        consul("-encrypt", KEY),
        consul(uploads=[{"file": "/c.json", "content": json.dumps({"encrypt": KEY})}]),
        consul("-config-file=/run/gossip.json", uploads=[{"file": "/consul/config/lab.json", "content": "{}"}]),
        consul("-config-dir", "/run/config"),
        {"image": "busybox:1"},
    ],
)
def test_gossip_with_a_key(props: dict[str, Any]) -> None:
    assert judge(GOSSIP, **props) == GOOD


def test_gossip_in_clear() -> None:
    assert judge(GOSSIP, **consul()).problems
    assert judge(GOSSIP, **consul("-encrypt=")).problems
    assert judge(GOSSIP, **consul("-config-file=/c.json", uploads=[{"file": "/c.json", "content": "{}"}])).problems
    assert judge(GOSSIP, **consul(uploads=[{"content": UNKNOWN}])) == UNSEEN


def server(name: str, image: str = "consul:1.8", *command: str) -> Declared:
    return Declared(types.CONTAINER, name, {"image": image, "command": ["agent", *command]})


def test_single_server() -> None:
    agent = server("agent", "consul:1.8", "-join=10.99.0.11")
    one = server("one", "consul:1.8", "-server")
    assert judge_stack(SINGLE, one, agent).names == ["one"]
    by_file = {"image": "consul:1.8", "uploads": [{"file": "/c.json", "content": '{"server": true}'}]}
    assert judge_stack(SINGLE, Declared(types.CONTAINER, "f", by_file), agent).names == ["f"]
    assert judge_stack(SINGLE, server("etcd", "quay.io/coreos/etcd:3.4")).names == ["etcd"]
    assert judge_stack(SINGLE, one, *(server(n, "consul:1.8", "-server") for n in ("two", "three"))) == GOOD
    assert judge_stack(SINGLE, Declared(types.CONTAINER, "t1", {"image": "busybox:1"})) == GOOD


def test_unknown_image_hides_no_single_server() -> None:
    verdict = judge_stack(
        SINGLE, Declared(types.CONTAINER, "u", {"image": UNKNOWN}), server("s", "consul:1", "-server")
    )
    assert verdict.names == ["s"]
    assert verdict.unknown
