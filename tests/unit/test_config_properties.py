"""Whatever stands under ``overlab:lab`` is valid, or refused with a path for every problem: never anything else."""

from __future__ import annotations

import copy
import time
from pathlib import Path as FilePath
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from components.config import settings as lab_settings
from components.config.problems import join_path
from components.config.settings import Problem, Settings, SettingsError
from tests.unit import lab_configs
from tests.unit.lab_configs import ALWAYS_WRONG, HOSTILE_TEXTS, MAYBE_WRONG, Path, Raw, at, leaves, mappings, replaced

EXAMPLES = 250
SPOILED = 39
"""With the valid one of each example: 10,000 configurations."""

QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    # A failure names what was spoiled and how; to make it smaller takes minutes.
    phases=[Phase.explicit, Phase.generate],
)
_LOADER_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
FREE_TEXT = {"command", "image", "uri", "pulumi", "environment", "labels"}
"""Keys below which hostile text may be valid."""


def refusal(raw: object) -> dict[str, Problem] | None:
    """Problems by path; None where there are none. Fails for any other outcome."""
    refused: SettingsError | None = None
    try:
        assert isinstance(lab_settings.parse(raw, "dev"), Settings)
    except SettingsError as error:
        refused = error
    if refused is None:
        return None
    assert refused.problems
    for problem in refused.problems:
        assert problem.path.split(".")[0] == "lab"
        assert problem.rule
        assert problem.remedy
        assert all(len(text) <= 700 for text in (problem.path, problem.value, problem.rule, problem.remedy))
    assert str(refused).replace("\n", "").isprintable()
    return {problem.path: problem for problem in refused.problems}


def reported(problems: dict[str, Problem] | None, path: Path) -> bool:
    """Whether a problem is reported at a path, or at what lies below it or around it."""
    if path[2:3] in (("networks",), ("extra_hosts",)) and isinstance(path[-1], int):
        path = path[:-1]  # reported by name
    place = join_path("lab", *path)
    return any(
        found == place or found.startswith(f"{place}.") or place.startswith(f"{found}.") for found in problems or {}
    )


def by_name(value: Any) -> Any:
    """With mappings in the order of their keys: Pulumi, and so the stack file's reader, keeps no other one."""
    if isinstance(value, dict):
        return {key: by_name(value[key]) for key in sorted(value)}
    return [by_name(part) for part in value] if isinstance(value, list) else value


spoilings = st.lists(
    st.tuples(
        st.sampled_from(["wrong", "hostile", "maybe", "unknown key", "hostile key", "removed"]),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
    ),
    min_size=SPOILED,
    max_size=SPOILED,
)


def spoil(raw: Raw, kind: str, where: int, what: int) -> tuple[Raw, Path | None]:
    """A copy that is spoiled, and the path at which something is surely wrong (None: perhaps nothing is)."""
    if kind in ("unknown key", "hostile key"):
        places = list(mappings(raw))
        place = places[where % len(places)]
        key = HOSTILE_TEXTS[what % len(HOSTILE_TEXTS)] if kind == "hostile key" else "no_such_key"
        named = {("nodes",), ("networks",), ("workloads",), ("checks",), ("platform", "hypervisors")}
        maps = {"networks", "environment", "labels", "extra_hosts", "aux_addresses"}
        collection = place in named or bool(maps & set(place[2:3]))
        value: Any = {} if kind == "hostile key" else ["x"]
        return replaced(raw, (*place, key), value), place if collection else (*place, key)
    places = list(leaves(raw))
    path = places[where % len(places)]
    if kind == "removed":
        found = copy.deepcopy(raw)
        del at(found, path[:-1])[path[-1]]
        return found, None
    if kind == "wrong":
        return replaced(raw, path, ALWAYS_WRONG[what % len(ALWAYS_WRONG)]), path
    if kind == "hostile":
        sure = not FREE_TEXT & {str(part) for part in path}
        return replaced(raw, path, HOSTILE_TEXTS[what % len(HOSTILE_TEXTS)]), path if sure else None
    return replaced(raw, path, MAYBE_WRONG[what % len(MAYBE_WRONG)]), None


@pytest.mark.timeout(300)  # 12 s of CPU time, and other tests run beside it
def test_ten_thousand_configurations(tmp_path: FilePath) -> None:
    """Valid ones come back from YAML as they were; spoiled ones are refused where they are spoiled."""
    checked = 0

    @QUICK
    @given(lab_configs.labs(), spoilings)
    def check(raw: Raw, spoils: list[tuple[str, int, int]]) -> None:
        nonlocal checked
        meant = lab_settings.parse(by_name(raw), "dev")
        text = yaml.dump({"config": {"overlab:lab": raw}}, Dumper=_Quoting, sort_keys=False, allow_unicode=True)
        (tmp_path / "Pulumi.dev.yaml").write_text(text, "utf-8")
        assert lab_settings.read_stack_file(tmp_path, "dev") == raw
        assert lab_settings.from_stack_file(tmp_path, "dev") == meant
        checked += 1
        for kind, where, what in spoils:
            spoiled, wrong = spoil(raw, kind, where, what)
            problems = refusal(spoiled)
            assert wrong is None or reported(problems, wrong), (kind, wrong, problems)
            checked += 1

    check()
    assert checked >= 10_000


class _Quoting(_LOADER_DUMPER):  # type: ignore[misc]  # one of two classes
    """Every text in quotes, so that it is text for every reader."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
_Quoting.ignore_aliases = lambda *_: True


@settings(QUICK, max_examples=60)
@given(lab_configs.labs(), st.data())
def test_every_wrong_value_is_reported_at_once(raw: Raw, data: st.DataObject) -> None:
    paths = [path for path in leaves(raw) if not isinstance(at(raw, path), dict | list)]
    chosen = data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=6, unique=True))
    # In a list that is on its own wrong, whichever entry is reported stands for all.
    spoiled = raw
    for path in chosen:
        spoiled = replaced(spoiled, path, 3.5)
    problems = refusal(spoiled)
    assert all(reported(problems, path) for path in chosen)


LAB: Raw = {
    "underlay": {"cidr": "10.99.0.0/24", "mtu": 1500, "domain": "lab"},
    "machine": {"memory_mib": 4096, "vcpu": 1, "disk_gib": 8},
    "engine": {"heartbeat_s": 10, "ttl_s": 30, "install": "preinstalled", "live_restore": True},
    "store": {"kind": "consul", "servers": 1, "memory_mib": 128},
    "nodes": {"docker01": {}, "docker02": {"address": "10.99.0.50"}, "docker03": {}},
    "networks": {
        "one": {"created_on": "docker01", "subnet": "10.0.0.0/24", "aux_addresses": {"router": "10.0.0.9"}},
        "two": {"created_on": "docker02", "subnet": "10.0.1.0/24", "internal": False, "mtu": 1400},
    },
    "workloads": {
        "a": {
            "node": "docker01",
            "image": "nginx:1.18",
            "memory_mib": 64,
            "networks": {"one": {"ipv4_address": "10.0.0.5"}},
        },
        "b": {"node": "docker02", "dns": "10.99.0.1", "networks": {"one": {"aliases": ["bee"]}, "two": {}}},
        "c": {"node": "docker02", "environment": {"A": "b"}, "networks": ["two"], "ports": ["8080:80"]},
        "d": {"network_mode": "container:a", "image": "nginx:1.18", "memory_mib": 64},
        "e": {"node": "docker02", "networks": ["one"], "ports": [81]},
    },
    "checks": {"k": {"kind": "ping-ip", "source": "a", "target": "b", "network": "one", "timeout_s": 9}},
}
VIOLATIONS: list[tuple[Path, Any, str, set[Path]]] = [
    (("nodes", "docker01", "address"), "10.1.1.1", "lab.nodes.docker01.address", {("underlay",)}),
    (("nodes", "docker01", "address"), "10.99.0.50", "lab.nodes.docker02.address", {("nodes", "docker02")}),
    (("networks", "two", "subnet"), "10.0.0.0/24", "lab.networks.two.subnet", {("networks", "one")}),
    (("networks", "one", "created_on"), "docker09", "lab.networks.one.created_on", set()),
    (("networks", "one", "mtu"), 1501, "lab.networks.one.mtu", {("underlay",)}),
    (("networks", "one", "gateway"), "10.9.9.9", "lab.networks.one.gateway", set()),
    (("networks", "one", "ip_range"), "10.0.1.0/28", "lab.networks.one.ip_range", set()),
    (("networks", "one", "aux_addresses"), {"x": "10.0.0.1"}, "lab.networks.one.aux_addresses.x", set()),
    (
        ("workloads", "a", "networks", "one", "ipv4_address"),
        "10.0.0.9",
        "lab.workloads.a.networks.one.ipv4_address",
        {("networks", "one")},
    ),
    (("engine", "ttl_s"), 20, "lab.engine.ttl_s", set()),
    (("store", "servers"), 5, "lab.store.servers", set()),
    (("store", "node"), "docker09", "lab.store.node", set()),
    (("workloads", "a", "node"), "docker09", "lab.workloads.a.node", set()),
    (("workloads", "c", "networks"), ["two", "three"], "lab.workloads.c.networks.three", set()),
    (("workloads", "d", "network_mode"), "container:zzz", "lab.workloads.d.network_mode", set()),
    (("workloads", "d", "dns"), "10.99.0.1", "lab.workloads.d.dns", set()),
    (("workloads", "c", "ports"), ["2376:80"], "lab.workloads.c.ports.0", set()),
    (("workloads", "e", "ports"), ["8080:81"], "lab.workloads.e.ports.0", {("workloads", "c")}),
    (("checks", "k", "target"), "zzz", "lab.checks.k.target", set()),
    (("checks", "k", "network"), "zzz", "lab.checks.k.network", set()),
]


def unit(path: Path) -> Path:
    """What a problem takes out of the rules between sections: the section, or the entry of a collection."""
    return path[:2] if path[0] in ("nodes", "networks", "workloads", "checks") else path[:1]


@pytest.mark.parametrize(("path", "value", "reported_at", "rests_on"), VIOLATIONS, ids=lambda item: str(item)[:40])
def test_a_wrong_field_silences_no_rule_that_does_not_rest_on_its_section(
    path: Path, value: Any, reported_at: str, rests_on: set[Path]
) -> None:
    raw = copy.deepcopy(LAB)
    if path == ("engine", "ttl_s"):
        raw["engine"]["heartbeat_s"] = 20
    spoiled = replaced(raw, path, value)
    assert reported_at in (refusal(spoiled) or {})
    for other in leaves(raw):
        if isinstance(at(raw, other), dict | list) or unit(other) in {*rests_on, unit(path)}:
            continue
        assert reported_at in (refusal(replaced(spoiled, other, 3.5)) or {}), other


def test_a_section_with_a_problem_takes_no_part_but_its_name_is_known() -> None:
    raw = replaced(LAB, ("networks", "one", "subnet"), "10.0.1.7/24")
    assert set(refusal(raw) or {}) == {"lab.networks.one.subnet"}


@pytest.mark.parametrize("cidr", ["255.255.255.255/32", "10.99.0.50/32", "10.99.0.50/31", "0.0.0.0/0", "0.0.0.0/32"])
def test_networks_without_room(cidr: str) -> None:
    for path in (("underlay", "cidr"), ("networks", "one", "subnet"), ("engine", "address_pools")):
        value: Any = [{"base": cidr, "size": 24}] if path[-1] == "address_pools" else cidr
        assert reported(refusal(replaced(LAB, path, value)), path)


def test_a_collection_that_is_none_makes_no_name_unknown() -> None:
    assert set(refusal(replaced(LAB, ("nodes",), ["docker01", "docker02"])) or {}) == {"lab.nodes"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("nodes",), {f"docker{n}": {} for n in range(1, 20_001)}),
        (("networks",), {f"o{n}": {"created_on": "nowhere", "subnet": "10.0.0.0/24"} for n in range(3000)}),
        (("workloads",), {f"w{n}": {"node": "nowhere", "networks": ["one"]} for n in range(5000)}),
        (("workloads", "a", "networks"), [f"o{n}" for n in range(5000)]),
        (("workloads", "a", "command"), ["x"] * 50_000),
        (("workloads", "a", "command"), "x '" * 100_000),
        (("workloads", "a", "environment"), [f"V{n}=x" for n in range(50_000)]),
        (("workloads", "c", "ports"), [f"{n}:80" for n in range(1, 60_000)]),
        (("checks",), {f"c{n}": {"kind": "http", "source": "x", "target": "y", "network": "z"} for n in range(3000)}),
        (("engine", "address_pools"), [{"base": "172.30.0.0/16", "size": 24}] * 3000),
    ],
    ids=lambda item: ".".join(item) if isinstance(item, tuple) else "",
)
def test_huge_counts_are_checked_in_time(path: Path, value: Any) -> None:
    begun = time.process_time()
    refusal(replaced(LAB, path, value))
    assert time.process_time() - begun < 5
