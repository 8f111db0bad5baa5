"""Check, diff and refresh by the rules of the bridged official providers."""

from __future__ import annotations

import random
from typing import Annotated, Any

import pytest
from bundled_plugins.runtime import bridge
from bundled_plugins.runtime.bridge import DEFAULTS
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.resource import Checked, Difference, Kind
from bundled_plugins.runtime.values import UNKNOWN, Properties, Secret
from hypothesis import given
from hypothesis import strategies as st

from conformance.runtime import strategies

pytestmark = pytest.mark.bundled_only("internals")

TOKEN = "x:index:X"
ADD, DELETE, UPDATE = Kind.ADD, Kind.DELETE, Kind.UPDATE
REPLACE = {ADD: Kind.ADD_REPLACE, DELETE: Kind.DELETE_REPLACE, UPDATE: Kind.UPDATE_REPLACE}


class Port(Model):
    """An element of a list and of a set."""

    internal: int
    protocol: Annotated[str | None, Prop(default="tcp")] = None
    options: Annotated[list[str] | None, Prop(unordered=True)] = None
    labels: dict[str, str] | None = None


class Check(Model):
    """A single nested object."""

    tests: list[str] | None = None
    interval: Annotated[str | None, Prop(default="1s", same=lambda old, new: old.rstrip("s") == new.rstrip("s"))] = None
    retries: Annotated[int | None, Prop(default=0)] = None


class Container(Model):
    """One property of every kind."""

    name: Annotated[str | None, Prop(replace=True, autoname=20)] = None
    image: Annotated[str, Prop(replace=True)]
    memory: int | None = None
    hostname: Annotated[str | None, Prop(computed=True)] = None
    restart: Annotated[str | None, Prop(default="no")] = None
    start: Annotated[bool | None, Prop(default=True)] = None
    envs: Annotated[list[str] | None, Prop(replace=True, unordered=True)] = None
    ports: Annotated[list[Port] | None, Prop(unordered=True)] = None
    ordered: list[Port] | None = None
    commands: Annotated[list[str] | None, Prop(replace=True)] = None
    options: dict[str, str] | None = None
    check: Check | None = None


def checked(news: Properties, olds: Properties | None = None) -> Checked:
    return bridge.check(Container, TOKEN, olds or {}, news, lambda limit: f"auto-{limit}")


def differ(old: Properties, new: Properties) -> Difference:
    """From the outputs of ``old`` to the checked ``new``; both get an image."""
    base = {"image": "i", "name": "n"}
    return bridge.diff(Container, checked(base | old).inputs, checked(base | new).inputs)


# check


def test_check_fills_names_and_defaults_at_every_level_and_lists_them() -> None:
    found = checked({"image": "i", "start": False, "memory": None, "ports": [{"internal": 1}], "check": {"tests": []}})
    assert not found.failures
    assert found.inputs == {
        "image": "i",
        "start": False,
        "name": "auto-20",
        "restart": "no",
        "ports": [{"internal": 1, "protocol": "tcp", DEFAULTS: ["protocol"]}],
        "check": {"tests": [], "interval": "1s", "retries": 0, DEFAULTS: ["interval", "retries"]},
        DEFAULTS: ["name", "restart"],
    }


def test_a_generated_name_stays() -> None:
    old = checked({"image": "i"}).inputs | {"name": "auto-old"}
    assert checked({"image": "j"}, old).inputs["name"] == "auto-old"
    given_by_user = old | {DEFAULTS: []}
    assert checked({"image": "j"}, given_by_user).inputs["name"] == "auto-20"


def test_defaults_reach_into_secrets_and_leave_unknowns_alone() -> None:
    found = checked({"image": Secret("i"), "check": Secret({"retries": 1}), "ports": UNKNOWN, "ordered": [UNKNOWN]})
    assert found.inputs["check"] == Secret({"retries": 1, "interval": "1s", DEFAULTS: ["interval"]})
    assert found.inputs["ports"] is UNKNOWN
    assert found.inputs["ordered"] == [UNKNOWN]


def test_refused_inputs_are_not_touched() -> None:
    found = checked({"imag": "i"})
    assert {failure.property for failure in found.failures} == {"image", "imag"}
    assert found.inputs == {"imag": "i"}


# diff


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({}, {}, {}),
        # absent and zero are equal
        ({}, {"memory": 0}, {}),
        ({"memory": 0}, {}, {}),
        ({}, {"options": {}, "ports": [], "commands": []}, {}),
        ({"options": {}, "ports": []}, {}, {}),
        # scalars
        ({}, {"memory": 1}, {"memory": ADD}),
        ({"memory": 1}, {}, {"memory": DELETE}),
        ({"memory": 1}, {"memory": 0}, {"memory": UPDATE}),
        ({"memory": 1}, {"memory": 2}, {"memory": UPDATE}),
        ({"image": "i"}, {"image": "j"}, {"image": REPLACE[UPDATE]}),
        ({"start": True}, {"start": False}, {"start": UPDATE}),
        ({"start": False}, {"start": True}, {"start": UPDATE}),
        # computed: absent means keep
        ({"hostname": "h"}, {}, {}),
        ({"hostname": "h"}, {"hostname": "g"}, {"hostname": UPDATE}),
        ({"hostname": "h"}, {"hostname": ""}, {"hostname": UPDATE}),
        # secrets do not matter, unknowns do
        ({"memory": 1}, {"memory": Secret(1)}, {}),
        ({"memory": 1}, {"memory": UNKNOWN}, {"memory": UPDATE}),
        ({}, {"commands": UNKNOWN}, {"commands": REPLACE[ADD]}),
        ({"image": "i"}, {"image": UNKNOWN}, {"image": REPLACE[UPDATE]}),
        ({"options": {"a": "1"}}, {"options": {"a": UNKNOWN}}, {"options.a": UPDATE}),
        ({"ordered": [{"internal": 1}]}, {"ordered": [UNKNOWN]}, {"ordered[0]": UPDATE}),
        ({"ordered": [{"internal": 1}]}, {"ordered": [{"internal": UNKNOWN}]}, {"ordered[0].internal": UPDATE}),
        ({"ports": [{"internal": 1}]}, {"ports": [{"internal": UNKNOWN}]}, {"ports[0]": UPDATE}),
        # maps
        ({"options": {"a": "1", "b": "2"}}, {"options": {"b": "3", "c d": "4"}},
         {"options.a": DELETE, "options.b": UPDATE, 'options["c d"]': ADD}),
        # lists keep order
        ({"commands": ["a", "b"]}, {"commands": ["b", "a"]},
         {"commands[0]": REPLACE[UPDATE], "commands[1]": REPLACE[UPDATE]}),
        ({"commands": ["a"]}, {"commands": ["a", "b"]}, {"commands[1]": REPLACE[ADD]}),
        ({"commands": ["a", "b"]}, {"commands": ["a"]}, {"commands[1]": REPLACE[DELETE]}),
        ({"ordered": [{"internal": 1}]}, {"ordered": [{"internal": 2}]}, {"ordered[0].internal": UPDATE}),
        # sets do not
        ({"envs": ["a", "b"]}, {"envs": ["b", "a"]}, {}),
        ({"envs": ["a", "b"]}, {"envs": ["b", "c"]}, {"envs[1]": REPLACE[UPDATE]}),
        ({"envs": ["a", "b"]}, {"envs": ["b"]}, {"envs[1]": REPLACE[DELETE]}),
        ({"envs": ["a"]}, {"envs": ["a", "b"]}, {"envs[1]": REPLACE[ADD]}),
        ({"ports": [{"internal": 1}, {"internal": 2}]}, {"ports": [{"internal": 2}, {"internal": 1}]}, {}),
        ({"ports": [{"internal": 1}]}, {"ports": [{"internal": 1, "protocol": "tcp"}]}, {}),
        ({"ports": [{"internal": 1}]}, {"ports": [{"internal": 1, "protocol": "udp"}]}, {"ports[0]": UPDATE}),
        ({"ports": [{"internal": 1, "options": ["a", "b"]}]}, {"ports": [{"internal": 1, "options": ["b", "a"]}]}, {}),
        ({"ports": [{"internal": 1, "labels": {"a": "1", "b": "2"}}]},
         {"ports": [{"labels": {"b": "2", "a": "1"}, "internal": 1}]}, {}),
        # nested objects
        ({"check": {"retries": 1}}, {"check": {"retries": 2}}, {"check.retries": UPDATE}),
        ({"check": {"interval": "5s"}}, {"check": {"interval": "5"}}, {}),
        ({"check": {"interval": "5s"}}, {"check": {"interval": "6s"}}, {"check.interval": UPDATE}),
        ({"check": {"retries": 1}}, {}, {"check": DELETE}),
        ({}, {"check": {"retries": 1}}, {"check": ADD}),
    ],
)  # fmt: skip
def test_differences(old: Properties, new: Properties, paths: dict[str, Kind]) -> None:
    assert differ(old, new).paths == paths


def test_a_state_of_another_shape_is_a_difference_and_no_crash() -> None:
    news = checked(
        {
            "image": "i",
            "ports": [{"internal": 1}],
            "ordered": [{"internal": 1}],
            "options": {"a": "b"},
            "check": {"retries": 1},
        }
    ).inputs
    for odd in ("text", 7, [None], ["text"], {"a": 1}, [["x"]]):
        found = bridge.diff(Container, news | dict.fromkeys(("ports", "ordered", "options", "check"), odd), news)
        assert found.paths


def test_replacing_deletes_first_where_the_user_gave_the_name() -> None:
    assert differ({"image": "i"}, {"image": "j"}).delete_before_replace
    assert not differ({"memory": 1}, {"memory": 2}).delete_before_replace
    old, new = checked({"image": "i"}).inputs, checked({"image": "j"}, checked({"image": "i"}).inputs).inputs
    assert bridge.diff(Container, old, new).replaces
    assert not bridge.diff(Container, old, new).delete_before_replace


containers = st.fixed_dictionaries(
    {"image": st.just("i")},
    optional={
        "name": st.sampled_from(["n", "m"]),
        "memory": st.integers(0, 2),
        "hostname": st.sampled_from(["", "h"]),
        "start": st.booleans(),
        "envs": st.lists(st.sampled_from("abc"), max_size=3, unique=True),
        "ports": st.lists(
            st.fixed_dictionaries(
                {"internal": st.integers(1, 3)},
                optional={
                    "protocol": st.sampled_from(["tcp", "udp"]),
                    "options": st.lists(st.sampled_from("ab"), unique=True),
                },
            ),
            max_size=3,
            unique_by=lambda port: port["internal"],
        ),
        "commands": st.lists(st.sampled_from("ab"), max_size=2),
        "options": st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "1"]), max_size=2),
        "check": st.fixed_dictionaries(
            {}, optional={"retries": st.integers(0, 1), "interval": st.sampled_from(["1s", "2"])}
        ),
    },
)


@given(containers, st.randoms())
def test_a_second_up_changes_nothing(program: Properties, chance: random.Random) -> None:
    first = checked(program).inputs
    second = checked(program, first).inputs
    assert second == first
    outputs = {key: value for key, value in first.items() if key != DEFAULTS}
    for name in ("envs", "ports"):
        if name in outputs:
            outputs[name] = chance.sample(outputs[name], len(outputs[name]))
    assert bridge.diff(Container, outputs, second).paths == {}


@given(containers, containers)
def test_a_difference_goes_away_once_it_is_applied(before: Properties, after: Properties) -> None:
    old = checked(before).inputs
    new = checked(after, old).inputs
    applied = bridge.preview_outputs(Container, old, new)
    assert bridge.diff(Container, applied, new).paths == {}


@given(containers)
def test_a_refresh_that_finds_everything_as_it_was_changes_no_input(program: Properties) -> None:
    inputs = checked(program).inputs
    outputs = {key: value for key, value in inputs.items() if key != DEFAULTS}
    assert bridge.refreshed_inputs(Container, inputs, outputs) == inputs


@given(strategies.known_properties)
def test_no_state_crashes_a_diff(state: Properties) -> None:
    news = checked({"image": "i", "ports": [{"internal": 1}], "check": {}}).inputs
    bridge.diff(Container, state, news)
    bridge.diff(Container, dict.fromkeys(news, state), news)


# previews and refresh


def test_a_preview_promises_inputs_and_what_is_known_of_computed_ones() -> None:
    news = {key: value for key, value in checked({"image": "i"}).inputs.items() if key != DEFAULTS}
    fresh = bridge.preview_outputs(Container, {}, news, ("ip",))
    assert fresh == {
        "image": "i",
        "name": "auto-20",
        "restart": "no",
        "start": True,
        "hostname": UNKNOWN,
        "ip": UNKNOWN,
    }
    kept = bridge.preview_outputs(Container, {"hostname": "h", "ip": "1.2.3.4"}, news, ("ip",))
    assert (kept["hostname"], kept["ip"]) == ("h", "1.2.3.4")


def test_an_update_keeps_the_old_values_that_no_difference_takes_away() -> None:
    olds = {"image": "i", "memory": 0, "envs": [], "commands": ["a"], "check": {"interval": "5s", "retries": 0}}
    kept = bridge.preview_outputs(Container, olds, {"image": "i", "check": {"interval": "5s"}})
    assert kept == {"image": "i", "memory": 0, "envs": [], "check": olds["check"], "hostname": UNKNOWN}


def test_a_refresh_takes_live_values_for_what_the_program_gave() -> None:
    inputs = checked({"image": "i", "memory": 1, "options": {"a": "1"}, "envs": Secret(["x"])}).inputs
    live: dict[str, Any] = {
        "image": "i",
        "memory": 2,
        "options": {"a": "2", "b": "3"},
        "envs": ["y"],
        "restart": "always",
        "hostname": "h",
        "name": "auto-20",
    }
    found = bridge.refreshed_inputs(Container, inputs, live)
    assert found == {
        "image": "i",
        "memory": 2,
        "options": {"a": "2"},
        "envs": Secret(["y"]),
        "restart": "always",
        "name": "auto-20",
        DEFAULTS: ["name", "start"],
    }


def test_an_import_leaves_out_zeros_and_defaults() -> None:
    live = {"image": "i", "name": "n", "memory": 0, "restart": "no", "hostname": "h", "envs": []}
    assert bridge.refreshed_inputs(Container, {}, live) == {"image": "i", "name": "n", "hostname": "h", DEFAULTS: []}


def test_sets_keep_the_order_that_was_known() -> None:
    known = {"envs": ["a", "b"], "commands": ["a", "b"], "ports": [{"internal": 1}, {"internal": 2}]}
    live = {"envs": ["b", "a"], "commands": ["b", "a"], "ports": [{"internal": 2, "protocol": "tcp"}, {"internal": 1}]}
    found = bridge.keep_known_order(Container, known, live)
    assert found == live | {"envs": ["a", "b"], "ports": known["ports"]}
