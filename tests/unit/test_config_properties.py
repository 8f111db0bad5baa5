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
FREE_TEXT = {"command", "image", "uri", "pulumi"}
"""Keys below which hostile text may be meant."""


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


def told(problems: dict[str, Problem] | None, path: Path) -> bool:
    """Whether a problem is told at a path, or at what lies below it or around it."""
    if path[2:3] == ("networks",) and isinstance(path[-1], int):
        path = path[:-1]  # told by name
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
        collection = place in named or place[2:] == ("networks",)
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
    judged = 0

    @QUICK
    @given(lab_configs.labs(), spoilings)
    def judge(raw: Raw, spoils: list[tuple[str, int, int]]) -> None:
        nonlocal judged
        meant = lab_settings.parse(by_name(raw), "dev")
        text = yaml.dump({"config": {"overlab:lab": raw}}, Dumper=_Quoting, sort_keys=False, allow_unicode=True)
        (tmp_path / "Pulumi.dev.yaml").write_text(text, "utf-8")
        assert lab_settings.read_stack_file(tmp_path, "dev") == raw
        assert lab_settings.from_stack_file(tmp_path, "dev") == meant
        judged += 1
        for kind, where, what in spoils:
            spoiled, wrong = spoil(raw, kind, where, what)
            problems = refusal(spoiled)
            assert wrong is None or told(problems, wrong), (kind, wrong, problems)
            judged += 1

    judge()
    assert judged >= 10_000


class _Quoting(_LOADER_DUMPER):  # type: ignore[misc]  # one of two classes
    """Every text in quotes, so that it is text for every reader."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
_Quoting.ignore_aliases = lambda *_: True


@settings(QUICK, max_examples=60)
@given(lab_configs.labs(), st.data())
def test_every_wrong_value_is_told_at_once(raw: Raw, data: st.DataObject) -> None:
    paths = [path for path in leaves(raw) if not isinstance(at(raw, path), dict | list)]
    chosen = data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=6, unique=True))
    # In a list that is on its own wrong, whichever entry is told stands for all.
    spoiled = raw
    for path in chosen:
        spoiled = replaced(spoiled, path, 3.5)
    problems = refusal(spoiled)
    assert all(told(problems, path) for path in chosen)


LAB: Raw = {
    "underlay": {"cidr": "10.99.0.0/24", "mtu": 1500, "domain": "lab"},
    "machine": {"memory_mib": 4096, "vcpu": 1, "disk_gib": 8},
    "engine": {"heartbeat_s": 10, "ttl_s": 30, "install": "preinstalled", "live_restore": True},
    "store": {"kind": "consul", "servers": 1, "memory_mib": 128},
    "nodes": {"docker01": {}, "docker02": {"address": "10.99.0.50"}, "docker03": {}},
    "networks": {
        "one": {"created_on": "docker01", "subnet": "10.0.0.0/24", "gateway": "10.0.0.1", "mtu": 1400},
        "two": {"created_on": "docker02", "subnet": "10.0.1.0/24", "internal": False},
    },
    "workloads": {
        "a": {"node": "docker01", "image": "x", "memory_mib": 64, "networks": {"one": {"ipv4_address": "10.0.0.5"}}},
        "b": {"node": "docker02", "image": "x", "memory_mib": 64, "networks": {"one": {"aliases": ["bee"]}, "two": {}}},
        "c": {"node": "docker02", "image": "x", "networks": ["two"], "ports": [{"target": 80, "published": 8080}]},
        "d": {"network_mode": "container:a", "image": "x", "memory_mib": 64},
    },
    "checks": {"k": {"kind": "ping-ip", "source": "a", "target": "b", "network": "one", "timeout_s": 9}},
}
VIOLATIONS: list[tuple[Path, Any, str, set[Path]]] = [
    (("underlay", "cidr"), "10.99.0.7/24", "lab.underlay.cidr", set()),
    (("nodes", "docker01", "address"), "10.1.1.1", "lab.nodes.docker01.address", {("underlay", "cidr")}),
    (("nodes", "docker01", "address"), "10.99.0.50", "lab.nodes.docker02.address", {("nodes", "docker02", "address")}),
    (("networks", "one", "subnet"), "10.0.1.0/24", "lab.networks.two.subnet", {("networks", "two", "subnet")}),
    (("networks", "one", "created_on"), "docker09", "lab.networks.one.created_on", set()),
    (("networks", "one", "mtu"), 1501, "lab.networks.one.mtu", {("underlay", "mtu")}),
    (("networks", "one", "gateway"), "10.9.9.9", "lab.networks.one.gateway", {("networks", "one", "subnet")}),
    (("engine", "ttl_s"), 20, "lab.engine.ttl_s", {("engine", "heartbeat_s")}),
    (("store", "servers"), 5, "lab.store.servers", set()),
    (("store", "node"), "docker09", "lab.store.node", set()),
    (("workloads", "a", "node"), "docker09", "lab.workloads.a.node", set()),
    (("workloads", "c", "networks"), ["two", "three"], "lab.workloads.c.networks.three", set()),
    (("workloads", "d", "network_mode"), "container:zzz", "lab.workloads.d.network_mode", set()),
    (
        ("workloads", "c", "ports"),
        [{"target": 80, "published": 2376}],
        "lab.workloads.c.ports.0.published",
        {("workloads", "c", "node")},
    ),
    (("checks", "k", "target"), "zzz", "lab.checks.k.target", set()),
    (("checks", "k", "network"), "zzz", "lab.checks.k.network", set()),
]


@pytest.mark.parametrize(("path", "value", "told_at", "rests_on"), VIOLATIONS, ids=lambda item: str(item)[:40])
def test_a_wrong_field_silences_no_rule_that_does_not_rest_on_it(
    path: Path, value: Any, told_at: str, rests_on: set[Path]
) -> None:
    raw = copy.deepcopy(LAB)
    if path == ("engine", "ttl_s"):
        raw["engine"]["heartbeat_s"] = 20
    spoiled = replaced(raw, path, value)
    assert told_at in (refusal(spoiled) or {})
    for other in leaves(raw):
        if isinstance(at(raw, other), dict | list) or other == path or other in rests_on or other[: len(path)] == path:
            continue
        assert told_at in (refusal(replaced(spoiled, other, 3.5)) or {}), other


def test_a_network_with_host_bits_takes_part_as_what_was_meant() -> None:
    raw = replaced(LAB, ("underlay", "cidr"), "10.0.0.9/24")
    assert {"lab.underlay.cidr", "lab.networks.one.subnet", "lab.nodes.docker02.address"} <= set(refusal(raw) or {})


def test_the_other_overlays_of_a_list_with_one_wrong_name_are_judged() -> None:
    raw = replaced(LAB, ("workloads", "c", "networks"), ["two", "not a name", "three"])
    assert set(refusal(raw) or {}) == {'lab.workloads.c.networks."not a name"', "lab.workloads.c.networks.three"}


@pytest.mark.parametrize("cidr", ["255.255.255.255/32", "10.99.0.50/32", "10.99.0.50/31", "0.0.0.0/0", "0.0.0.0/32"])
def test_networks_without_room(cidr: str) -> None:
    for path in (("underlay", "cidr"), ("networks", "one", "subnet"), ("engine", "address_pools")):
        value: Any = [{"base": cidr, "size": 24}] if path[-1] == "address_pools" else cidr
        assert told(refusal(replaced(LAB, path, value)), path)


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
        (("checks",), {f"c{n}": {"kind": "http", "source": "x", "target": "y", "overlay": "z"} for n in range(3000)}),
        (("engine", "address_pools"), [{"base": "172.30.0.0/16", "size": 24}] * 3000),
    ],
    ids=lambda item: ".".join(item) if isinstance(item, tuple) else "",
)
def test_huge_counts_are_judged_in_time(path: Path, value: Any) -> None:
    begun = time.process_time()
    refusal(replaced(LAB, path, value))
    assert time.process_time() - begun < 5
