"""Published ports are for the lab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rules import ports, types

from components.config.settings import parse, read_stack_file
from components.config.stores import RESERVED_PORTS
from tests.components.recorder import run_lab
from tests.policy.evaluate import PASSED, UNKNOWN, Evaluation, evaluate
from tests.policy.platform import platform_for
from tests.policy.previewing import PACK, ROOT

LAB = {"lab_networks": ["10.99.0.0/24"]}


def published(config: dict[str, Any] | None = None, **port: Any) -> Evaluation:
    return evaluate("port-published", config=LAB if config is None else config, ports=[{"internal": 80.0, **port}])


@pytest.mark.parametrize("port", [{"ip": "10.99.0.11"}, {"ip": "127.0.0.1"}, {"ip": "10.99.0.11", "external": 8080.0}])
def test_published_on_the_lab_network(port: dict[str, Any]) -> None:
    assert published(**port) == PASSED


@pytest.mark.parametrize("port", [{}, {"ip": "0.0.0.0"}, {"ip": "::"}, {"ip": "10.98.0.11"}, {"ip": "203.0.113.1"}])
def test_published_beyond_it(port: dict[str, Any]) -> None:
    assert len(published(**port).problems) == 1


def test_without_configuration_every_private_address_is_the_labs() -> None:
    assert published({}, ip="192.168.1.5") == PASSED
    assert published({}, ip="8.8.8.8").problems


@pytest.mark.parametrize("external", [2375, 2376, 8500, 8301, 7946, 4789])
def test_port_of_the_labs_own(external: int) -> None:
    assert f"node port {external} " in published(ip="10.99.0.11", external=float(external)).text


def test_reserved_ports_are_those_that_the_settings_refuse() -> None:
    assert set(ports.RESERVED_PORTS) == RESERVED_PORTS


def test_any_address_where_nodes_have_only_the_lab() -> None:
    anywhere = {**LAB, "any_address": True}
    assert published(anywhere) == PASSED
    assert evaluate("port-published", config=anywhere, publishAllPorts=True) == PASSED
    assert published(anywhere, ip="203.0.113.1").problems
    assert published(anywhere, external=2376.0).problems


@pytest.mark.parametrize("stack", ["dev", "ci", "site"])
def test_it_is_allowed_only_because_the_programs_nodes_have_no_other_network(stack: str, tmp_path: Path) -> None:
    assert json.loads((PACK / f"{stack}.json").read_text())["port-published"]["any_address"] is True
    settings = parse(read_stack_file(ROOT, stack), stack)
    lab = run_lab(settings, platform_for(settings, tmp_path))
    domains = lab.of(types.DOMAIN)
    networks = {f"{network.name}_id" for network in lab.of(types.UNDERLAY)}
    assert len(networks) == (0 if settings.underlay.bridge else len(settings.hypervisors))
    assert len(domains) == len(settings.nodes)
    for domain in domains:
        [interface] = domain.inputs["networkInterfaces"]
        assert interface.get("bridge") == settings.underlay.bridge
        assert settings.underlay.bridge or interface["networkId"] in networks


def test_publishing_everything_binds_every_address() -> None:
    assert evaluate("port-published", config=LAB, publishAllPorts=True).problems
    assert evaluate("port-published", config=LAB, publishAllPorts=False) == PASSED


def test_unknown_address_hides_no_reserved_port() -> None:
    result = published(ip=UNKNOWN, external=2376.0)
    assert result.unknown
    assert "2376" in result.text
