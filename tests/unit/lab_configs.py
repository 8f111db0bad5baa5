"""Hypothesis strategies: valid values of ``overlab:lab``, and ways to break them."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[Any, ...]
Raw = dict[str, Any]

_names = st.text("abcdefgh01_", min_size=1, max_size=8).map(lambda text: f"n{text}x")
_numbers = st.sets(st.integers(1, 240), min_size=1, max_size=6)


@st.composite
def labs(draw: st.DrawFn) -> Raw:
    """A lab that is valid."""
    stem = draw(st.sampled_from(["docker", "node-", "n", "web0x"]))
    nodes = [f"{stem}{number:02d}" for number in sorted(draw(_numbers))]
    raw: Raw = {
        "underlay": {"cidr": f"10.{draw(st.integers(60, 99))}.0.0/24"},
        "nodes": {node: draw(st.sampled_from([None, {}, {"machine": {"memory_mib": 4096}}])) for node in nodes},
        "machine": {"memory_mib": 4096},
    }
    raw |= draw(st.fixed_dictionaries({}, optional=_SECTIONS))
    _place(draw, raw)
    if raw.get("engine", {}).get("install") == "apt":
        # The bundled platform's nodes reach no repository.
        raw["platform"] = raw.get("platform", {}) | {"kind": "system"}
    servers = draw(st.sampled_from([count for count in (1, 3, 5) if count <= len(nodes)]))
    clustered = {"servers": servers, "acl": draw(st.booleans())}
    raw["store"] = clustered if servers > 1 else {"node": draw(st.sampled_from([None, *nodes]))}
    raw["networks"] = {
        name: {"created_on": draw(st.sampled_from(nodes))} | draw(_network(index))
        for index, name in enumerate(sorted(draw(st.sets(_names, max_size=4))))
    }
    raw["workloads"] = _workloads(draw, nodes, raw["networks"]) if raw["networks"] else {}
    raw["checks"] = _checks(draw, raw["workloads"])
    return raw


def _place(draw: st.DrawFn, raw: Raw) -> None:
    """Sometimes on named hypervisors, with a bridge between them."""
    names = draw(st.sampled_from([[], ["hv1"], ["hv1", "b-2"]]))
    if not names:
        return
    several = {name: {"uri": f"qemu+ssh://root@{name}/system"} for name in names}
    raw["platform"] = {key: value for key, value in raw.get("platform", {}).items() if key != "uri"} | {
        "hypervisors": several
    }
    raw["underlay"]["bridge"] = "br0"
    raw["nodes"] = {
        key: (node or {}) | {"hypervisor": draw(st.sampled_from(names))} for key, node in raw["nodes"].items()
    }


_SECTIONS: Any = {
    "name": st.sampled_from(["lab", "a-b", "x" * 20]),
    "engine": st.fixed_dictionaries(
        {},
        optional={
            "version": st.sampled_from(["20.10", "20.10.5"]),
            "install": st.sampled_from(["preinstalled", "packages", "apt"]),
            "live_restore": st.booleans(),
            "heartbeat_s": st.integers(1, 19),
            "ttl_s": st.integers(20, 3600),
            "address_pools": st.just([{"base": "172.30.0.0/16", "size": 24}]),
        },
    ),
    "platform": st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from(["auto", "system"]),
            "uri": st.sampled_from(["qemu:///system", "qemu+ssh://root@h/system"]),
            "image": st.sampled_from(["/srv/ä b.qcow2", "https://example.net/x.qcow2"]),
        },
    ),
}


def _network(index: int) -> st.SearchStrategy[Raw]:
    prefix = f"172.20.{index}"
    with_subnet = st.fixed_dictionaries(
        {"subnet": st.just(f"{prefix}.0/24")},
        optional={
            "gateway": st.just(f"{prefix}.254"),
            "ip_range": st.just(f"{prefix}.128/25"),
            "aux_addresses": st.just({"router": f"{prefix}.9"}),
            "internal": st.booleans(),
        },
    )
    return with_subnet | st.fixed_dictionaries({}, optional={"mtu": st.integers(1280, 1500)})


_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_variables = st.dictionaries(st.sampled_from(["A", "b_1", "LC_ALL"]), _text, max_size=3)
_OWN_STACK: Raw = {
    "hostname": st.sampled_from(["web", "Web.example.org"]),
    "dns": st.sampled_from(["10.99.0.1", ["10.99.0.1", "192.0.2.53"]]),
    "dns_search": st.sampled_from(["lab", ["lab", "a.example"]]),
    "extra_hosts": st.sampled_from([["db:192.0.2.1", "x_y=192.0.2.2"], {"db": "192.0.2.1"}]),
    "ports": st.sampled_from([["90:80", "81", 82, "53:53/udp"], [{"target": 80, "published": "90"}, {"target": 81}]]),
}
"""Keys of a workload with its own network stack; ports are published once."""


def _workloads(draw: st.DrawFn, nodes: list[str], networks: Raw) -> Raw:
    found: Raw = {}
    for name in sorted(draw(st.sets(_names, max_size=5))):
        on = draw(st.lists(st.sampled_from(list(networks)), min_size=1, unique=True))
        found[name] = {"node": draw(st.sampled_from(nodes))} | draw(
            st.fixed_dictionaries(
                {"networks": st.sampled_from([on, dict.fromkeys(on), {overlay: {} for overlay in on}])},
                optional=({} if found else _OWN_STACK)
                | {
                    "image": st.sampled_from(["busybox:1.35", "docker.io/nginx:1.18", "busybox@sha256:00"]),
                    "command": st.lists(_text) | st.sampled_from(["sleep 5", "sh -c 'echo \"$HOME\"'"]),
                    "environment": _variables | _variables.map(lambda one: [f"{key}={one[key]}" for key in one]),
                    "labels": st.sampled_from([{"org.example/x": ""}, ["a=b=c", "flag"]]),
                    "http_port": st.integers(1, 65535),
                    "memory_mib": st.integers(6, 64),
                },
            )
        )
        if all(networks[network].get("internal") for network in on):
            found[name].pop("ports", None)  # an internal network publishes nothing
    shared: bool = draw(st.booleans())
    if found and shared:
        found["shares0"] = {"network_mode": f"container:{next(iter(found))}"}
    return found


def _checks(draw: st.DrawFn, workloads: Raw) -> Raw:
    has_probe_tools = [name for name, spec in workloads.items() if "networks" in spec]
    if len(has_probe_tools) < 2 or not draw(st.booleans()):
        return {}
    source, target = draw(st.permutations(has_probe_tools))[:2]
    overlay = draw(st.sampled_from(list(workloads[target]["networks"])))
    return {"c1": {"kind": "ping-ip", "source": source, "target": target, "network": overlay, "expect": "fail"}}


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of everything in a value, the root apart."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from leaves(inner, (*path, key))


def mappings(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of every mapping in a value, the root too."""
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            yield from mappings(inner, (*path, key))


def at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def replaced(raw: Raw, path: Path, value: Any) -> Raw:
    """A copy with another value at a path."""
    found = copy.deepcopy(raw)
    at(found, path[:-1])[path[-1]] = value
    return found


_bottomless: list[Any] = []
_bottomless.append(_bottomless)
_bomb: Any = ["lol"]
for _ in range(40):
    _bomb = [_bomb] * 10
_deep: Any = 0
for _ in range(5000):
    _deep = {"a": _deep}

HOSTILE_TEXTS = (
    "",
    " ",
    "\0",
    "a\nb: c",
    "\x1b[2J\x07",
    "\u202eabc",
    "\ud800",
    "x\u2028y",
    "$(reboot)",
    "`id`; rm -rf /",
    "'; DROP TABLE nodes; --",
    "]]></domain><domain>",
    "{{ 7*7 }}",
    "../../etc/passwd",
    "-oProxyCommand=id",
    "ｄｏｃｋｅｒ０１",
    "ドッカー",
    "é" * 64,
    "A" * 64 + "!",
    "9" * 5000 + "!",
    "x" * 100_000,
    "%s%n{}{0}",
)
"""Wrong wherever a lab has text, but in a command's argument, a path and a URI."""

ALWAYS_WRONG: tuple[Any, ...] = (
    -1,
    0,
    3.5,
    float("nan"),
    float("inf"),
    2**31,
    10**30,
    10**5000,
    b"bytes",
    datetime.date(2001, 1, 1),
    {1: 2},
    {None: {}},
    {("a",): 1},
    {"a": {"b": [1]}},
    {"\n": {}},
    {"a\0": None},
    [[[[]]]],
    [None],
    [{}, 1],
    object(),
    _bottomless,
    _bomb,
    _deep,
)
"""Wrong at every place of a lab."""

MAYBE_WRONG: tuple[Any, ...] = (
    None,
    True,
    False,
    1,
    64,
    65535,
    {},
    [],
    "true",
    "1",
    "10.0.0.0/8",
    "10.0.0.0/0",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "10.70.0.0/32",
    "10.70.0.0/31",
    "127.0.0.0/24",
    "224.0.0.0/24",
    "10.70.0.77/24",
    "10.70.0.5",
    "docker01",
    "docker99999999999999999999",
    "a" * 63,
    "a" * 64,
    ["a", "a"],
    ["docker01"],
    {"docker01": None},
    {"created_on": "docker01"},
)
"""Right at some places."""
