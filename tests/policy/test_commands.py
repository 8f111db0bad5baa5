"""Remote commands reach the machine they mean, and leave nothing behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rules import types

from tests.policy.evaluate import GOOD, UNKNOWN, UNSEEN, Declared, judge, judge_stack

HOST_KEY = "command-host-key"
CLEANUP = "command-cleanup"
KEY = "ssh-ed25519 AAAA"
NODE = "10.99.0.11"


@pytest.mark.parametrize("type_", types.REMOTE)
def test_host_key(type_: str) -> None:
    good = {"host": "h", "hostKey": KEY}
    assert judge(HOST_KEY, type_, connection=good) == GOOD
    assert judge(HOST_KEY, type_, connection={**good, "proxy": {"host": "p", "hostKey": KEY}}) == GOOD
    assert "connection.hostKey" in judge(HOST_KEY, type_, connection={"host": "h"}).text
    assert "connection.hostKey" in judge(HOST_KEY, type_, connection={"host": "h", "hostKey": ""}).text
    assert "connection.proxy.hostKey" in judge(HOST_KEY, type_, connection={**good, "proxy": {"host": "p"}}).text
    assert judge(HOST_KEY, type_, connection={"host": "h", "hostKey": UNKNOWN}) == UNSEEN


def command(needs: list[str], host: str = NODE, type_: str = types.COMMAND, **props: Any) -> Declared:
    return Declared(type_, "command", {"connection": {"host": host}, **props}, needs=needs)


SEED = Declared(
    types.SEED, "seed", {"networkConfig": json.dumps({"ethernets": {"lab0": {"addresses": [f"{NODE}/24"]}}})}
)
DOMAIN = Declared(types.DOMAIN, "domain", {"name": "d"}, uses={"cloudinit": ["seed"]})
BETWEEN = Declared(types.COMMAND, "between", {"connection": {"host": NODE}, "delete": "true"}, needs=["domain"])


@pytest.mark.parametrize("type_", [types.COMMAND, types.COPY])
def test_inside_a_machine(type_: str) -> None:
    assert judge_stack(CLEANUP, SEED, DOMAIN, command(["domain"], type_=type_)) == GOOD
    assert judge_stack(CLEANUP, SEED, DOMAIN, BETWEEN, command(["between"], type_=type_)) == GOOD


def test_with_a_delete_of_its_own() -> None:
    assert judge_stack(CLEANUP, command([], delete="rm -f /x")) == GOOD
    assert judge_stack(CLEANUP, command([], delete=UNKNOWN)) == UNSEEN


def test_left_behind() -> None:
    assert "no machine of this stack" in judge_stack(CLEANUP, SEED, DOMAIN, command([])).text
    assert "no machine of this stack" in judge_stack(CLEANUP, command([], delete="")).text
    assert "198.51.100.1 is none" in judge_stack(CLEANUP, SEED, DOMAIN, command(["domain"], "198.51.100.1")).text


def test_unknown_place() -> None:
    assert judge_stack(CLEANUP, SEED, DOMAIN, command(["domain"], UNKNOWN)) == UNSEEN
    seed = Declared(types.SEED, "seed", {"networkConfig": UNKNOWN})
    assert judge_stack(CLEANUP, seed, DOMAIN, command(["domain"], "198.51.100.1")) == UNSEEN
    assert judge_stack(CLEANUP, seed, DOMAIN, command([])).problems
