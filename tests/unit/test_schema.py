"""The editors' schema accepts what the settings accept, and refuses what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings

from overlab.config import schema
from tests.unit import lab_configs
from tests.unit.lab_configs import Raw, replaced
from tests.unit.test_config_properties import LAB, refusal

PROJECT = Path(__file__).parents[2]
STACKS = sorted(PROJECT.glob("Pulumi.*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Any:
    document = schema.document()
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def wrapped(raw: Any) -> dict[str, Any]:
    return {"config": {"overlab:lab": raw}}


def test_the_file_is_current() -> None:
    assert schema.is_current(), "run: overlab schema"


@pytest.mark.parametrize("path", STACKS, ids=[path.name for path in STACKS])
def test_the_shipped_stacks_follow_it_and_name_it(path: Path, validator: Any) -> None:
    text = path.read_text("utf-8")
    assert list(validator.iter_errors(yaml.safe_load(text))) == []
    [named] = [line for line in text.splitlines() if line.startswith("# yaml-language-server: $schema=")]
    assert (path.parent / named.partition("=")[2]).resolve() == PROJECT / schema.FILE


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(raw=lab_configs.labs())
def test_it_takes_every_valid_lab(raw: Raw) -> None:
    jsonschema.Draft202012Validator(schema.document()).validate(wrapped(raw))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("netwrk",), {}),
        (("underlay", "cidr"), "10.0.0.0"),
        (("underlay", "mtu"), 9001),
        (("underlay", "mode"), "bridged"),
        (("machine", "memory_mib"), "4096"),
        (("nodes", "Docker_1"), {}),
        (("nodes", "docker01"), []),
        (("nodes", "docker02", "adress"), "10.99.0.9"),
        (("store", "servers"), 2),
        (("engine", "version"), "23.0"),
        (("networks", "one"), {"driver": "weave"}),
        (("networks", "-x"), {"created_on": "docker01"}),
        (("workloads", "a", "networks"), ["one", "one"]),
        (("workloads", "a", "networks"), {"one": {"alias": "x"}}),
        (("workloads", "a", "ports"), [{"target": 0}]),
        (("workloads", "a", "ports"), ["127.0.0.1:90:80"]),
        (("workloads", "a", "environment"), {"A": 1}),
        (("workloads", "a", "environment"), {"A": {"secure": 1}}),
        (("workloads", "a", "labels"), {"overlab.x": "y"}),
        (("workloads", "a", "share_with"), "b"),
        (("workloads", "a", "image"), "-evil"),
        (("checks", "k", "kind"), "telnet"),
        (("platform",), {"uri": "nothing"}),
    ],
    ids=lambda item: ".".join(map(str, item)) if isinstance(item, tuple) else "",
)
def test_it_refuses_what_the_settings_refuse(path: Any, value: Any, validator: Any) -> None:
    raw = replaced(LAB, path, value)
    assert list(validator.iter_errors(wrapped(raw)))
    assert refusal(raw)


def test_another_key_of_the_project_is_refused_and_those_of_others_are_not(validator: Any) -> None:
    assert list(validator.iter_errors({"config": {"overlab:lb": {}}}))
    assert not list(validator.iter_errors({"config": {"aws:region": "x"}, "encryptionsalt": "v1:x"}))


def described(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = schema.document()["$defs"][name]["properties"]
    return properties


def test_every_setting_is_described_and_has_its_default() -> None:
    for name, part in schema.document()["$defs"].items():
        for key, setting in part["properties"].items():
            assert "$ref" in str(setting) or setting.get("description"), f"{name}.{key} has no docstring"
    assert described("UnderlaySpec")["cidr"]["default"] == "10.99.0.0/24"
    assert described("MachineSpec")["memory_mib"]["minimum"] == 512
    assert described("EngineSpec")["install"]["enum"] == ["preinstalled", "packages", "apt"]
