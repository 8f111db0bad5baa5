"""Remote commands reach the machine they mean, and leave nothing behind."""

from __future__ import annotations

from typing import Any

import pytest
from rules import types

from tests.policy.evaluate import DEFERRED, PASSED, UNKNOWN, Declared, evaluate, evaluate_stack

HOST_KEY = "command-host-key"
CLEANUP = "command-cleanup"
KEY = "ssh-ed25519 AAAA"
NODE = "10.99.0.11"


@pytest.mark.parametrize("type_", types.REMOTE)
def test_host_key(type_: str) -> None:
    good = {"host": "h", "hostKey": KEY}
    assert evaluate(HOST_KEY, type_, connection=good) == PASSED
    assert evaluate(HOST_KEY, type_, connection={**good, "proxy": {"host": "p", "hostKey": KEY}}) == PASSED
    assert "connection.hostKey" in evaluate(HOST_KEY, type_, connection={"host": "h"}).text
    assert "connection.hostKey" in evaluate(HOST_KEY, type_, connection={"host": "h", "hostKey": ""}).text
    assert "connection.proxy.hostKey" in evaluate(HOST_KEY, type_, connection={**good, "proxy": {"host": "p"}}).text
    assert evaluate(HOST_KEY, type_, connection={"host": "h", "hostKey": UNKNOWN}) == DEFERRED


def command(needs: list[str], host: str = NODE, type_: str = types.COMMAND, **props: Any) -> Declared:
    return Declared(type_, "command", {"connection": {"host": host}, **props}, needs=needs)


MACHINE = Declared(types.MACHINE, "docker01", {"address": NODE})
DOMAIN = Declared(types.DOMAIN, "domain", {"name": "d"}, parent=types.MACHINE, child_of="docker01")
BETWEEN = Declared(types.COMMAND, "between", {"connection": {"host": NODE}, "delete": "true"}, needs=["domain"])


@pytest.mark.parametrize("type_", [types.COMMAND, types.COPY])
def test_on_a_machine_of_the_stack(type_: str) -> None:
    assert evaluate_stack(CLEANUP, MACHINE, DOMAIN, command(["domain"], type_=type_)) == PASSED
    assert evaluate_stack(CLEANUP, MACHINE, DOMAIN, BETWEEN, command(["between"], type_=type_)) == PASSED


def test_on_a_node_container_of_the_stack() -> None:
    node = Declared(types.NODE_CONTAINER, "docker01", {"address": NODE})
    container = Declared(types.CONTAINER, "c", {"name": "c"}, parent=types.NODE_CONTAINER, child_of="docker01")
    assert evaluate_stack(CLEANUP, node, container, command(["c"])) == PASSED
    assert "198.51.100.1 is none" in evaluate_stack(CLEANUP, node, container, command(["c"], "198.51.100.1")).text
    workload = Declared(types.CONTAINER, "c", {"name": "c"})
    assert "no machine of this stack" in evaluate_stack(CLEANUP, workload, command(["c"])).text


def test_with_a_delete_of_its_own() -> None:
    assert evaluate_stack(CLEANUP, command([], delete="rm -f /x")) == PASSED
    assert evaluate_stack(CLEANUP, command([], delete=UNKNOWN)) == DEFERRED


def test_no_cleanup() -> None:
    assert "no machine of this stack" in evaluate_stack(CLEANUP, MACHINE, DOMAIN, command([])).text
    assert "no machine of this stack" in evaluate_stack(CLEANUP, command([], delete="")).text
    assert "198.51.100.1 is none" in evaluate_stack(CLEANUP, MACHINE, DOMAIN, command(["domain"], "198.51.100.1")).text


def test_unknown_place() -> None:
    assert evaluate_stack(CLEANUP, MACHINE, DOMAIN, command(["domain"], UNKNOWN)) == DEFERRED
    machine = Declared(types.MACHINE, "docker01", {"address": UNKNOWN})
    assert evaluate_stack(CLEANUP, machine, DOMAIN, command(["domain"], "198.51.100.1")) == DEFERRED
    assert evaluate_stack(CLEANUP, machine, DOMAIN, command([])).problems
