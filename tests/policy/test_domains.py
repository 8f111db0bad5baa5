"""Domains are replaced one after the other, and stay at their address."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rules import types

from tests.policy.evaluate import GOOD, UNKNOWN, UNSEEN, Declared, judge_one, judge_stack

REPLACED = "domain-replacement"
STATIC = "domain-static-address"

V2 = {"version": 2, "ethernets": {"lab0": {"addresses": ["10.99.0.11/24"], "match": {}}}}
V1 = {"version": 1, "config": [{"type": "physical", "subnets": [{"type": "static", "address": "10.99.0.11/24"}]}]}
DHCP = {"version": 2, "ethernets": {"lab0": {"dhcp4": True, "addresses": ["10.99.0.11/24"]}}}
DHCP_V1 = {"version": 1, "config": [{"type": "physical", "subnets": [{"type": "dhcp"}]}]}


def test_replacement() -> None:
    assert judge_one(REPLACED, Declared(types.DOMAIN, "d", delete_before_replace=True)) == GOOD
    for option in (None, False):
        assert judge_one(REPLACED, Declared(types.DOMAIN, "d", delete_before_replace=option)).problems


def machine(config: Any, uses: str = "cloudinit", **props: Any) -> list[Declared]:
    seed = Declared(types.SEED, "seed", {} if config is None else {"networkConfig": config})
    return [seed, Declared(types.DOMAIN, "d", {"cloudinit": UNKNOWN, **props}, uses={uses: ["seed"]})]


@pytest.mark.parametrize(
    "config", [json.dumps(V2), json.dumps(V1), "network:\n  ethernets: {a: {addresses: [10.0.0.1/8]}}"]
)
def test_static_by_first_boot_data(config: str) -> None:
    assert judge_stack(STATIC, *machine(config)) == GOOD


def test_static_by_the_interface() -> None:
    assert judge_stack(STATIC, *machine(None, networkInterfaces=[{"addresses": ["10.99.0.11"]}])) == GOOD


@pytest.mark.parametrize(
    "config",
    [
        None,
        "",
        json.dumps(DHCP),
        json.dumps(DHCP_V1),
        "{}",
        "[]",
        "no: [yaml",
        '{"ethernets": {"a": {"addresses": ["x"]}}}',
    ],
)
def test_not_static(config: str | None) -> None:
    interfaces = [{"mac": "52:54:00:00:00:01"}]
    # The provider's outputs have unknown addresses where the program states none.
    outputs = {"networkInterfaces": [{"addresses": UNKNOWN}]}
    [seed, domain] = machine(config, networkInterfaces=interfaces)
    domain = Declared(domain.type, domain.name, domain.props, uses=domain.uses, outputs=outputs)
    assert judge_stack(STATIC, seed, domain).names == ["d"]
    assert judge_stack(STATIC, Declared(types.DOMAIN, "d")).names == ["d"]


def test_another_domains_seed_does_not_count() -> None:
    [seed, _] = machine(json.dumps(V2))
    assert judge_stack(STATIC, seed, Declared(types.DOMAIN, "other")).names == ["other"]


def test_unknown_address() -> None:
    assert judge_stack(STATIC, *machine(UNKNOWN)) == UNSEEN
    assert judge_stack(STATIC, *machine(None, networkInterfaces=[{"addresses": UNKNOWN}])) == UNSEEN
    assert judge_stack(STATIC, *machine(json.dumps(V2), networkInterfaces=UNKNOWN)) == UNSEEN
