"""The cluster store's openness, and what it loses with a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rules import types

from components.config.settings import parse, read_stack_file
from components.store import StoreAgent
from tests.components.recorder import run_lab
from tests.policy.evaluate import DEFERRED, PASSED, UNKNOWN, Declared, evaluate, evaluate_stack
from tests.policy.platform import platform_for

PRIVATE = "store-http-private"
GOSSIP = "store-gossip-key"
SINGLE = "store-single-server"
LAB = {"lab_networks": ["10.99.0.0/24"]}


@pytest.mark.parametrize("addresses", [["127.0.0.1", "10.99.0.11"], ["10.99.0.11"], ["127.0.0.1"], [], None])
def test_private(addresses: list[str] | None) -> None:
    props = {} if addresses is None else {"client_addresses": addresses}
    assert evaluate(PRIVATE, types.STORE_AGENT, config=LAB, **props) == PASSED


@pytest.mark.parametrize("address", ["0.0.0.0", "203.0.113.7", "10.98.0.11", "::", "eth0"])
def test_public(address: str) -> None:
    props: dict[str, Any] = {"client_addresses": ["127.0.0.1", address]}
    result = evaluate(PRIVATE, types.STORE_AGENT, config=LAB, **props)
    assert result.problems == [f"the store's API is bound to '{address}'"]
    assert evaluate(PRIVATE, types.STORE_AGENT, config={**LAB, "allow_public": True}, **props) == PASSED


def test_unknown_address_hides_no_other() -> None:
    assert evaluate(PRIVATE, types.STORE_AGENT, client_addresses=UNKNOWN) == DEFERRED
    assert evaluate(PRIVATE, types.STORE_AGENT, client_addresses=[UNKNOWN, "0.0.0.0"]).problems


def test_gossip() -> None:
    assert evaluate(GOSSIP, types.STORE_AGENT, encrypted=True) == PASSED
    assert evaluate(GOSSIP, types.STORE_AGENT, encrypted=False).problems
    assert evaluate(GOSSIP, types.STORE_AGENT).problems
    assert evaluate(GOSSIP, types.STORE_AGENT, kind="etcd", encrypted=False) == PASSED
    assert evaluate(GOSSIP, types.STORE_AGENT, encrypted=UNKNOWN) == DEFERRED


def agent(name: str, server: Any = True) -> Declared:
    return Declared(types.STORE_AGENT, name, {"server": server})


def test_single_server() -> None:
    assert evaluate_stack(SINGLE, agent("one"), agent("client", False)).names == ["one"]
    assert evaluate_stack(SINGLE, *(agent(name) for name in ("one", "two", "three"))) == PASSED
    assert evaluate_stack(SINGLE, Declared(types.CONTAINER, "t1", {"image": "busybox:1"})) == PASSED
    result = evaluate_stack(SINGLE, agent("unknown", UNKNOWN), agent("one"))
    assert (result.names, result.unknown) == (["one"], True)


@pytest.mark.parametrize("stack", ["dev", "ci"])
def test_the_programs_agents_declare_what_the_rules_ask_for(stack: str, tmp_path: Path) -> None:
    assert types.STORE_AGENT == StoreAgent.TOKEN
    settings = parse(read_stack_file(Path(__file__).parents[2], stack), stack)
    cluster = settings.store.servers > 1
    for item in run_lab(settings, platform_for(settings, tmp_path)).of(types.STORE_AGENT):
        node = settings.nodes[item.name.removeprefix("store-")]
        assert item.inputs["server"] is (node.key in settings.store_nodes)
        assert item.inputs["encrypted"] is cluster
        assert item.inputs["client_addresses"] == ["127.0.0.1", *([] if cluster else [str(node.address)])]


def server(name: str, acl: Any, server: Any = True) -> Declared:
    return Declared(types.STORE_AGENT, name, {"server": server, "acl": acl})


def test_access_lists_of_several_servers() -> None:
    three = [server(name, acl=True) for name in ("one", "two", "three")]
    assert evaluate_stack("store-acl", *three, server("client", acl=True, server=False)) == PASSED
    assert evaluate_stack("store-acl", *three[:2], server("three", acl=False)).names == ["three"]
    assert evaluate_stack("store-acl", *three, server("client", acl=False, server=False)).names == ["client"]
    assert evaluate_stack("store-acl", *three, server("four", acl=UNKNOWN)).unknown


def test_a_single_server_has_no_access_lists() -> None:
    assert evaluate_stack("store-acl", server("one", acl=False), server("client", acl=False, server=False)) == PASSED
