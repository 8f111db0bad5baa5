"""Compose's forms are accepted or answered with what to write, as are renamed keys; secrets are never shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import set_all_config

from components.config import settings as lab_settings
from components.config.compose import SECRET
from components.config.platform import RECORD_ENV
from components.config.settings import Problem, SettingsError, parse
from components.config.spec import (
    AttachmentSpec,
)
from components.config.unknown_keys import COMPOSE, RENAMED
from tests.components.recorder import make_platform


def lab(network: dict[str, Any] | None = None, **workload: Any) -> dict[str, Any]:
    """Two workloads on one network, with changes to the network and the first workload."""
    return {
        "nodes": {"docker01": {}},
        "networks": {"one": {"created_on": "docker01", "subnet": "10.0.0.0/24"} | (network or {})},
        "workloads": {
            "a": {"node": "docker01", "networks": ["one"]} | workload,
            "b": {"node": "docker01", "networks": {"one": {"ipv4_address": "10.0.0.6"}}},
        },
    }


def problems(raw: dict[str, Any]) -> list[Problem]:
    with pytest.raises(SettingsError) as caught:
        parse(raw, "dev")
    return list(caught.value.problems)


ACCEPTED: list[tuple[str, Any, Any]] = [
    ("ports", ["90:80"], [(80, 90, "tcp")]),
    ("ports", ["80", 81], [(80, None, "tcp"), (81, None, "tcp")]),
    ("ports", ["53:53/udp", "53:53/tcp"], [(53, 53, "udp"), (53, 53, "tcp")]),
    ("ports", [{"target": 80, "published": "8080"}], [(80, 8080, "tcp")]),
    ("command", "sh -c 'echo \"a b\" $X'", ("sh", "-c", 'echo "a b" $X')),
    ("command", ["sleep", "5"], ("sleep", "5")),
    ("environment", {"A": "1", "B": ""}, {"A": "1", "B": ""}),
    ("environment", ["A=1=2", "B="], {"A": "1=2", "B": ""}),
    ("environment", {"A": {"secure": "v1:x"}}, {"A": SECRET}),
    ("labels", ["a=b", "flag"], {"a": "b", "flag": ""}),
    ("labels", {"org.example/a": "b"}, {"org.example/a": "b"}),
    ("hostname", "Web.example.org", "Web.example.org"),
    ("dns", "10.99.0.1", (IPv4Address("10.99.0.1"),)),
    ("dns", ["10.99.0.1", "10.99.0.2"], (IPv4Address("10.99.0.1"), IPv4Address("10.99.0.2"))),
    ("dns_search", "lab", ("lab",)),
    ("extra_hosts", ["db:10.9.0.1", "x=10.9.0.2"], {"db": IPv4Address("10.9.0.1"), "x": IPv4Address("10.9.0.2")}),
    ("extra_hosts", {"db": "10.9.0.1"}, {"db": IPv4Address("10.9.0.1")}),
    ("networks", {"one": None}, {"one": AttachmentSpec()}),
]


@pytest.mark.parametrize(("key", "value", "expected"), ACCEPTED, ids=[f"{key}={value}" for key, value, _ in ACCEPTED])
def test_accepted(key: str, value: Any, expected: Any) -> None:
    found = getattr(parse(lab(**{key: value}), "dev").workloads["a"], key)
    assert ([(one.target, one.published, one.protocol) for one in found] if key == "ports" else found) == expected


REFUSED: list[tuple[str, Any, str, str, str]] = [
    ("ports", ["127.0.0.1:90:80"], "ports.0", "no address", 'write "90:80"'),
    ("ports", ["127.0.0.1::80"], "ports.0", "no address", 'write "80"'),
    ("ports", ["[::1]:90:80"], "ports.0", "no address", 'write "90:80"'),
    ("ports", ["3000-3005"], "ports.0", "no range", "one entry for each port"),
    ("ports", ["9090-9091:8080-8081"], "ports.0", "no range", "one entry for each port"),
    ("ports", ["90:http"], "ports.0", "PUBLISHED:TARGET", '"90:80"'),
    ("ports", ["70000:80"], "ports.0", "at most 65535", "65535 or less"),
    ("ports", ["8500:80"], "ports.0", "the lab itself does not use", "8500"),
    ("ports", [{"target": 80, "published": 22}], "ports.0.published", "the lab itself does not use", "22"),
    ("ports", "90:80", "ports", "a list", "write a list"),
    ("command", "sh -c 'x", "command", "No closing quotation", "close the quote"),
    ("environment", {"A": 1}, "environment.A", "text", "put it in quotes"),
    ("environment", {"A": True}, "environment.A", "text", "put it in quotes"),
    ("environment", {"A": None}, "environment.A", "takes nothing from its caller's environment", "write it out"),
    ("environment", ["A"], "environment", '"NAME=VALUE"', "in that form"),
    ("environment", ["A=1", "A=2"], "environment", "each name once (A", "remove one"),
    ("environment", {"a b": "1"}, 'environment."a b"', "a variable's name", "to that form"),
    ("labels", {"overlab.machine": "x"}, "labels.overlab.machine", "own namespace (overlab.)", "another name"),
    ("labels", ["overlab.x=y"], "labels.overlab.x", "own namespace (overlab.)", "another name"),
    ("dns", "resolver.lab", "dns", "an IPv4 address", "in quotes"),
    ("extra_hosts", ["db"], "extra_hosts", '"NAME:VALUE" or "NAME=VALUE"', "in that form"),
    ("extra_hosts", ["db:host-gateway"], "extra_hosts.db", "host-gateway is not offered", "address of the node"),
    ("network_mode", "service:b", "network_mode", "its container's", "write container:b"),
    ("network_mode", "host", "network_mode", "container:NAME", "leave it out and name networks"),
]


@pytest.mark.parametrize(("key", "value", "path", "rule", "remedy"), REFUSED, ids=[f"{r[0]}={r[1]}" for r in REFUSED])
def test_refused(key: str, value: Any, path: str, rule: str, remedy: str) -> None:
    [found] = problems(lab(**{key: value}))
    assert found.path == f"lab.workloads.a.{path}"
    assert rule in found.rule
    assert remedy in found.remedy


def test_a_problem_of_a_short_form_shows_what_is_written() -> None:
    assert [one.value for one in problems(lab(ports=["8500:80"]))] == ['"8500:80"']
    assert [one.value for one in problems(lab(extra_hosts=["db:1.2.3"]))] == ['"db:1.2.3"']


@pytest.mark.parametrize("key", ["ports", "hostname", "dns", "dns_search", "extra_hosts", "networks"])
def test_a_shared_network_stack_has_none_of_it(key: str) -> None:
    value = {"hostname": "x", "dns": "10.9.0.1", "dns_search": "x", "extra_hosts": ["x:10.9.0.1"], "networks": ["one"]}
    raw = lab()
    raw["workloads"]["c"] = {"network_mode": "container:a", "environment": {"A": "b"}, "labels": ["x"]}
    assert parse(raw, "dev").placement["c"] == "docker01"
    raw["workloads"]["c"][key] = value.get(key, ["80"])
    [found] = problems(raw)
    assert (found.path, found.remedy) == (f"lab.workloads.c.{key}", "leave it out, or set it at a")


# -- networks


@pytest.mark.parametrize(
    ("network", "path", "rule"),
    [
        ({"ip_range": "10.0.1.0/28"}, "networks.one.ip_range", "a part of 10.0.0.0/24"),
        ({"ip_range": "10.0.0.8/24"}, "networks.one.ip_range", "without host bits"),
        ({"aux_addresses": {"x": "10.0.1.9"}}, "networks.one.aux_addresses.x", "a host address of 10.0.0.0/24"),
        ({"aux_addresses": {"x": "10.0.0.1"}}, "networks.one.aux_addresses.x", "not its gateway (10.0.0.1)"),
        ({"aux_addresses": {"x": "10.0.0.9", "y": "10.0.0.9"}}, "networks.one.aux_addresses.y", "x is this one"),
        (
            {"aux_addresses": {"x": "10.0.0.6"}},
            "workloads.b.networks.one.ipv4_address",
            "networks.one.aux_addresses.x has it already",
        ),
        ({"ip_range": "10.0.0.6/31"}, "workloads.b.networks.one.ipv4_address", "not its gateway"),
        ({"driver": "bridge"}, "networks.one.driver", "one of 'overlay'"),
    ],
)
def test_a_network_is_refused(network: dict[str, Any], path: str, rule: str) -> None:
    [found] = problems(lab(network))
    assert found.path == f"lab.{path}"
    assert rule in found.rule


@pytest.mark.parametrize("key", ["ip_range", "gateway", "aux_addresses"])
def test_what_needs_a_stated_subnet(key: str) -> None:
    value = {"ip_range": "10.0.0.0/28", "gateway": "10.0.0.1", "aux_addresses": {"x": "10.0.0.9"}}[key]
    raw = lab({"subnet": None, key: value})
    raw["workloads"]["b"]["networks"] = ["one"]
    [found] = problems(raw)
    assert (found.path, found.rule) == (f"lab.networks.one.{key}", "only with a stated subnet")


@pytest.mark.parametrize(
    ("network", "gateway"),
    [
        ({}, "10.0.0.1"),
        ({"ip_range": "10.0.0.0/25"}, "10.0.0.1"),
        # libnetwork asks the range for one: not even .128 is kept free.
        ({"ip_range": "10.0.0.128/25"}, "10.0.0.128"),
        ({"ip_range": "10.0.0.128/25", "gateway": "10.0.0.254"}, "10.0.0.254"),
    ],
)
def test_the_gateway_that_libnetwork_takes(network: dict[str, Any], gateway: str) -> None:
    assert str(parse(lab(network), "dev").networks["one"].gateway_address) == gateway


# -- keys that do not exist

PLACES: dict[str, tuple[Any, ...]] = {
    "LabSpec": (),
    "PlatformSpec": ("platform",),
    "EngineSpec": ("engine",),
    "NetworkSpec": ("networks", "one"),
    "WorkloadSpec": ("workloads", "a"),
    "AttachmentSpec": ("workloads", "b", "networks", "one"),
    "PortSpec": ("workloads", "a", "ports", 0),
    "CheckSpec": ("checks", "k"),
    "HypervisorSpec": ("platform", "hypervisors", "hv1"),
}


@pytest.mark.parametrize(
    ("section", "key", "answer"),
    [
        (section, key, answer)
        for table in (RENAMED, COMPOSE)
        for section, keys in table.items()
        for key, answer in keys.items()
    ],
    ids=str,
)
def test_a_renamed_key_and_one_of_compose_is_answered(section: str, key: str, answer: str) -> None:
    raw = lab(ports=[{"target": 80}])
    raw["engine"] = {}
    raw["checks"] = {"k": {"kind": "ping-ip", "source": "a", "target": "b", "network": "one"}}
    raw["platform"] = {"hypervisors": {"hv1": {"uri": "qemu:///system"}}}
    place: Any = raw
    for part in PLACES[section]:
        place = place[part]
    place[key] = "x"
    [found] = problems(raw)
    assert found.path == ".".join(["lab", *map(str, PLACES[section]), key])
    assert found.remedy in (answer, f"write {answer}")


@pytest.mark.parametrize(
    ("section", "key", "old", "new"),
    [
        ("engine", "install", "golden", "preinstalled"),
        ("platform", "kind", "embedded", "bundled"),
        ("platform", "kind", "native", "system"),
    ],
)
def test_a_renamed_value_is_answered(section: str, key: str, old: str, new: str) -> None:
    [found] = problems(lab() | {section: {key: old}})
    assert (found.path, found.remedy) == (f"lab.{section}.{key}", f"write {new}")


# -- secrets


def test_a_secret_in_the_file_is_a_text_that_is_not_known(tmp_path: Path) -> None:
    raw = lab(environment={"PASSWORD": {"secure": "v1:x"}, "A": "b"})
    (tmp_path / "Pulumi.x.yaml").write_text(json.dumps({"config": {"overlab:lab": raw}}))
    settings = lab_settings.from_stack_file(tmp_path, "x")
    assert settings.workloads["a"].environment == {"PASSWORD": SECRET, "A": "b"}
    assert settings.secret_environment
    assert not parse(lab(environment={"A": "b"}), "dev").secret_environment


@pytest.mark.parametrize(
    "path", ["workloads.a.image", "workloads.a.environment", "workloads.a.labels.x", "machine", "store.image", ""]
)
def test_a_secret_elsewhere_is_refused_once(path: str, tmp_path: Path) -> None:
    raw: Any = {"lab": lab(labels={}) | {"store": {}}}
    place, parts = raw, ["lab", *filter(None, path.split("."))]
    for part in parts[:-1]:
        place = place[part]
    place[parts[-1]] = {"secure": "v1:x"}
    (tmp_path / "Pulumi.x.yaml").write_text(json.dumps({"config": {"overlab:lab": raw["lab"]}}))
    with pytest.raises(SettingsError) as caught:
        lab_settings.from_stack_file(tmp_path, "x")
    found = [problem for problem in caught.value.problems if problem.path == ".".join(parts)]
    assert [one.rule for one in found] == ["no secret: only the values of a workload's environment may be encrypted"]
    assert path == "" or len(caught.value.problems) == 1


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets the configuration of the running program, as the language host does."""
    record = tmp_path / "platform.json"
    record.write_text(make_platform(tmp_path, parse(lab(), "dev")).model_dump_json())
    monkeypatch.setenv(RECORD_ENV, str(record))
    monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
    yield lambda text, *secret: set_all_config({"overlab:lab": text}, list(secret))
    set_all_config({}, [])


def test_the_program_knows_from_pulumi_that_there_are_secrets(configured: Any) -> None:
    raw = lab(environment={"PASSWORD": "hush"})
    configured(json.dumps(raw))
    assert not lab_settings.load()[0].secret_environment
    configured(json.dumps(raw), "overlab:lab")
    settings, _ = lab_settings.load()
    assert settings.secret_environment
    assert settings.workloads["a"].environment == {"PASSWORD": "hush"}


@pytest.mark.parametrize(
    ("secret", "refused"), [({"image": {"secure": "v1:x"}}, True), ({"environment": {"P": {"secure": "v1:x"}}}, False)]
)
def test_the_program_refuses_the_secrets_that_the_command_line_refuses(
    configured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: dict[str, Any], refused: bool
) -> None:
    monkeypatch.setattr(pulumi, "get_root_directory", lambda: str(tmp_path))
    (tmp_path / "Pulumi.dev.yaml").write_text(json.dumps({"config": {"overlab:lab": lab(**secret)}}))
    configured(json.dumps(lab(image="nginx:1.18", environment={"P": "hush"})), "overlab:lab")
    if not refused:
        assert lab_settings.load()[0].secret_environment
        return
    with pytest.raises(pulumi.RunError, match=r"lab\.workloads\.a\.image.*\n.*no secret: only the values") as caught:
        lab_settings.load()
    assert "hush" not in str(caught.value)


def test_no_problem_shows_a_secret(configured: Any) -> None:
    configured(json.dumps(lab(environment={"PASSWORD": "hush\0"}, image={"x": "hush"})), "overlab:lab")
    with pytest.raises(pulumi.RunError, match=r"lab\.workloads\.a\.environment\.PASSWORD") as caught:
        lab_settings.load()
    assert "hush" not in str(caught.value)


def test_a_value_that_is_no_json_ends_the_program_with_a_sentence(configured: Any) -> None:
    configured("{nodes")
    with pytest.raises(pulumi.RunError, match="no structured value"):
        lab_settings.load()


def test_a_container_port_on_two_node_ports_is_refused() -> None:
    """The official provider replaces such a container at every update."""
    raw = {
        "nodes": {"docker01": {}},
        "networks": {"one": {"created_on": "docker01"}},
        "workloads": {"web": {"node": "docker01", "networks": ["one"], "ports": ["80:80", "53:80/udp", "81:80"]}},
    }
    with pytest.raises(SettingsError) as refused:
        parse(raw, "x")
    (problem,) = refused.value.problems
    assert (problem.path, problem.value) == ("lab.workloads.web.ports.2", '"81:80"')
    assert "ports.0 is 80 too" in problem.rule
