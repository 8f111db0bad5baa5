"""Domains are replaced one after the other, and stay at their address."""

from __future__ import annotations

from typing import Any

import pytest
from rules import types

from tests.policy.evaluate import DEFERRED, PASSED, UNKNOWN, Declared, evaluate_one, evaluate_stack

REPLACED = "domain-replacement"
STATIC = "domain-static-address"


def test_replacement() -> None:
    assert evaluate_one(REPLACED, Declared(types.DOMAIN, "d", delete_before_replace=True)) == PASSED
    for option in (None, False):
        assert evaluate_one(REPLACED, Declared(types.DOMAIN, "d", delete_before_replace=option)).problems


def machine(address: Any = "10.99.0.11", **props: Any) -> list[Declared]:
    component = Declared(types.MACHINE, "docker01", {} if address is None else {"address": address})
    return [component, Declared(types.DOMAIN, "d", props, parent=types.MACHINE, child_of="docker01")]


def test_static_by_the_machine_component() -> None:
    assert evaluate_stack(STATIC, *machine()) == PASSED


def test_static_by_the_interface() -> None:
    domain = Declared(types.DOMAIN, "d", {"networkInterfaces": [{"addresses": ["10.99.0.11"]}]})
    assert evaluate_stack(STATIC, domain) == PASSED


@pytest.mark.parametrize("address", [None, "", "dhcp"])
def test_not_static(address: str | None) -> None:
    # The provider's outputs have unknown addresses where the program states none.
    outputs = {"networkInterfaces": [{"addresses": UNKNOWN}]}
    [component, domain] = machine(address, networkInterfaces=[{"mac": "52:54:00:00:00:01"}])
    domain = Declared(domain.type, "d", domain.props, outputs=outputs, parent=domain.parent, child_of="docker01")
    assert evaluate_stack(STATIC, component, domain).names == ["d"]
    assert evaluate_stack(STATIC, Declared(types.DOMAIN, "d")).names == ["d"]


def test_another_machines_address_does_not_count() -> None:
    assert evaluate_stack(STATIC, *machine(), Declared(types.DOMAIN, "other")).names == ["other"]


def test_a_node_container_is_static_by_its_component() -> None:
    def node(address: str) -> list[Declared]:
        component = Declared(types.NODE_CONTAINER, "docker01", {"address": address})
        return [component, Declared(types.CONTAINER, "c", parent=types.NODE_CONTAINER, child_of="docker01")]

    assert evaluate_stack(STATIC, *node("10.99.0.11")) == PASSED
    assert evaluate_stack(STATIC, *node("dhcp")).names == ["c"]
    assert evaluate_stack(STATIC, Declared(types.CONTAINER, "workload")) == PASSED


def test_unknown_address() -> None:
    assert evaluate_stack(STATIC, *machine(UNKNOWN)) == DEFERRED
    assert evaluate_stack(STATIC, *machine(None, networkInterfaces=[{"addresses": UNKNOWN}])) == DEFERRED
    assert evaluate_stack(STATIC, *machine(networkInterfaces=UNKNOWN)) == DEFERRED
