"""The pack: its rules, its configuration per environment, its requirements, its cost."""

from __future__ import annotations

import ast
import json
import re
import sys
import time
from collections.abc import Iterator
from importlib.metadata import requires
from ipaddress import IPv4Network
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pulumi_policy import EnforcementLevel, PolicyConfigSchema, StackValidationArgs, StackValidationPolicy
from rules import ALL, types
from rules.pack import policies
from rules.rule import Parameters, Resource, ResourceRule, Stack, StackRule

from components.config import conventions
from components.config.settings import SettingsError, parse, read_stack_file
from components.docker_engine import DockerEngine
from components.machine import Machine
from components.node_container import ContainerUnderlay, NodeContainer
from components.store import Membership
from tests.policy.evaluate import Declared, linked
from tests.policy.previewing import PACK, ROOT

STACKS = [path.stem for path in sorted(PACK.glob("*.json"))]
LEVELS = {"advisory", "mandatory", "disabled", "remediate"}
OWN_REQUIREMENTS = {"pulumi": "pulumi", "pulumi_policy": "pulumi-policy", "yaml": "pyyaml"}


def test_rules_have_unique_names_reasons_and_remedies() -> None:
    assert len({rule.name for rule in ALL}) == len(ALL)
    for rule in ALL:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.name)
        assert rule.reason.endswith(".")
        assert len(rule.remedy) > 10
        assert all("default" in schema and "description" in schema for schema in rule.parameters.values())


def test_policies_carry_what_the_rules_say() -> None:
    for rule, policy in zip(ALL, policies(ALL), strict=True):
        redacts = isinstance(rule, ResourceRule) and rule.redacts_secrets
        assert policy.name == rule.name
        assert policy.enforcement_level is (EnforcementLevel.REMEDIATE if redacts else rule.level)
        schema = policy.config_schema or PolicyConfigSchema({})
        assert set(schema.properties) == set(rule.parameters)


def configuration(stack: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((PACK / f"{stack}.json").read_text())
    return content


def test_the_environments() -> None:
    assert STACKS == ["ci", "dev", "site"]


@pytest.mark.parametrize("stack", STACKS)
def test_configuration_names_rules_levels_and_parameters_that_exist(stack: str) -> None:
    """The engine itself takes unknown names without a word."""
    known = {rule.name: set(rule.parameters) for rule in ALL}
    for name, value in configuration(stack).items():
        assert set(value) - {"enforcementLevel"} <= known[name]
        assert value.get("enforcementLevel", "advisory") in LEVELS


@pytest.mark.parametrize("stack", STACKS)
def test_configuration_states_the_stacks_own_network_wherever_one_is_asked_for(stack: str) -> None:
    try:
        lab = parse(read_stack_file(ROOT, stack), stack).underlay.cidr
    except SettingsError as error:
        pytest.skip(f"no stack {stack} to compare with: {error}")
    asking = {rule.name for rule in ALL if "lab_networks" in rule.parameters}
    stated = {name: value["lab_networks"] for name, value in configuration(stack).items() if "lab_networks" in value}
    assert set(stated) == asking
    assert all([IPv4Network(text) for text in networks] == [lab] for networks in stated.values())


def test_only_dev_may_leave_a_subnet_to_the_engines() -> None:
    softened = {
        stack: {name for name, value in configuration(stack).items() if _softer(name, value)} for stack in STACKS
    }
    assert softened == {"ci": set(), "dev": {"overlay-subnet-stated"}, "site": set()}


def _softer(name: str, value: dict[str, Any]) -> bool:
    [rule] = [rule for rule in ALL if rule.name == name]
    return rule.level is EnforcementLevel.MANDATORY and value.get("enforcementLevel", "mandatory") != "mandatory"


def test_requirements_are_all_that_is_imported_at_the_versions_of_the_lock() -> None:
    required = dict(re.findall(r"^([a-z-]+)==(\S+)$", (PACK / "requirements.in").read_text(), re.MULTILINE))
    imported = {name for file in PACK.rglob("*.py") for name in _imports(file.read_text())}
    assert {OWN_REQUIREMENTS[name] for name in imported} == set(required)
    locked = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert required == {name: locked[name] for name in required}


def requirements(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Name -> version and hashes."""
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\;]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
    return {name: (version, frozenset(hashes.split())) for name, version, hashes in found}


def test_requirements_are_complete_and_verified_as_those_of_the_program() -> None:
    text = (PACK / "requirements.txt").read_text()
    pinned, locked = requirements(text), requirements((ROOT / "requirements.lock").read_text())
    assert len(pinned) == text.count("==")
    assert pinned == {name: locked[name] for name in pinned}
    waiting = list(OWN_REQUIREMENTS.values())
    while waiting:
        name = canonicalize_name(waiting.pop())
        assert name in pinned
        needs = [Requirement(one) for one in requires(name) or ()]
        waiting += [one.name for one in needs if one.marker is None or one.marker.evaluate({"extra": ""})]


def _imports(text: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
    return found - set(sys.stdlib_module_names) - {"rules"}


def test_facts_that_the_pack_may_not_import_are_the_programs() -> None:
    known = (types.ENGINE, types.MACHINE, types.MEMBERSHIP, types.NODE_CONTAINER, types.CONTAINER_UNDERLAY)
    of_components = (DockerEngine.TOKEN, Machine.TOKEN, Membership.TOKEN, NodeContainer.TOKEN, ContainerUnderlay.TOKEN)
    assert known == of_components
    [ended] = [rule for rule in ALL if rule.name == "engine-end-of-life"]
    assert conventions.ENGINE_VERSION in ended.parameters["ended"]["default"]


def many(nodes: int) -> Stack:
    """A stack of so many nodes, each with its machine, engine, gate and workload, on one overlay."""
    declared = [
        Declared(types.CONTAINER, "store", {"name": "consul", "image": "consul:1.8"}, parent=types.STORE_AGENT),
        Declared(
            types.NETWORK,
            "ov",
            {"name": "ov", "driver": "overlay", "ipamConfigs": [{"subnet": "10.200.0.0/16"}]},
            needs=["store", *(f"joined{index}" for index in range(nodes))],
        ),
    ]
    for index in range(nodes):
        address = f"10.{index >> 8}.{index & 255}.11"
        connection = {"host": address, "hostKey": "k"}
        network = {
            "name": f"local{index}",
            "driver": "bridge",
            "ipamConfigs": [{"subnet": f"10.{index >> 8}.{index & 255}.0/24"}],
        }
        declared += [
            Declared(types.MACHINE, f"machine{index}", {"address": address}),
            Declared(
                types.DOMAIN,
                f"domain{index}",
                {"name": f"d{index}"},
                parent=types.MACHINE,
                child_of=f"machine{index}",
            ),
            Declared(
                types.ENGINE,
                f"engine{index}",
                {"address": address, "cluster_store": "consul://10.0.0.1:8500", "cluster_advertise": "lab0:2376"},
            ),
            Declared(types.COMMAND, f"dockerd{index}", {"connection": connection}, needs=[f"domain{index}"]),
            Declared(
                types.DOCKER_PROVIDER, f"docker{index}", {"host": f"ssh://root@{address}"}, needs=[f"dockerd{index}"]
            ),
            Declared(types.NETWORK, f"local{index}", network),
            Declared(
                types.COMMAND,
                f"joined{index}",
                {"connection": connection},
                needs=["store", f"dockerd{index}"],
                parent=types.MEMBERSHIP,
            ),
            Declared(
                types.CONTAINER,
                f"t{index}",
                {"name": f"t{index}", "image": "busybox:1.35", "networksAdvanced": [{"name": "ov"}]},
                needs=[f"joined{index}", "ov"],
            ),
        ]
    kept: list[Stack] = []

    def keep(stack: Stack, _: Parameters) -> Iterator[tuple[Resource, str]]:
        kept.append(stack)
        return iter(())

    [policy] = policies([StackRule("keep", "Keeps.", "none", keep)])
    assert isinstance(policy, StackValidationPolicy)
    policy.validate(StackValidationArgs(linked(declared)), lambda message, urn: None)
    return kept[0]


def _seconds(rule: StackRule, stack: Stack) -> float:
    defaults = {name: schema["default"] for name, schema in rule.parameters.items()}
    best = float("inf")
    for _ in range(3):
        fresh = Stack(stack.resources)
        start = time.process_time()
        list(rule.predicate(fresh, defaults))
        best = min(best, time.process_time() - start)
    return best


def test_no_stack_rule_is_quadratic() -> None:
    """Four times the nodes take about four times as long; a quadratic rule takes sixteen times."""
    small, large = many(150), many(600)
    for rule in ALL:
        if isinstance(rule, StackRule):
            short, long = _seconds(rule, small), _seconds(rule, large)
            assert long < max(9 * short, 0.02), f"{rule.name}: {short:.4f} s for 150 nodes, {long:.4f} s for 600"
