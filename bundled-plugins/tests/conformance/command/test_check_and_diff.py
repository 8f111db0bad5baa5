"""Which inputs are taken and refused, what check fills in, and what a change means."""

from __future__ import annotations

from typing import Any

import pytest
from bundled_plugins.runtime.values import UNKNOWN, Asset, Secret

from conformance.command.conftest import COPY, LOCAL, REMOTE
from conformance.harness import CallFailed, Provider, Refused

FILLED = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}


def _refusals(plugin: Provider, token: str, inputs: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Refused) as caught:
        plugin.check(token, "bad", inputs)
    return {failure.property: failure.reason for failure in caught.value.failures}


@pytest.mark.bundled_only("version")
def test_version(plugin: Provider) -> None:
    assert plugin.version() == "1.2.1"


def test_configuration(plugin: Provider) -> None:
    assert plugin.check_config({"version": "1.2.1"}) == {"version": "1.2.1"}


def test_inputs_come_back_as_they_are(plugin: Provider) -> None:
    inputs = {
        "create": "x",
        "triggers": [1, "a", {"b": None}, Secret("c")],
        "logging": "none",
        "environment": {"__A": "1"},
    }
    assert plugin.check(LOCAL, "same", inputs) == inputs


@pytest.mark.parametrize("token", [REMOTE, COPY])
def test_a_connection_is_completed_and_secret_in_itself_and_in_its_credentials(plugin: Provider, token: str) -> None:
    more = {} if token == REMOTE else {"source": Asset("text", "x", "h"), "remotePath": "/x"}
    checked = plugin.check(
        token,
        "filled",
        {"connection": {"host": "h", "privateKey": "k", "hostKey": None}} | more,
    )
    assert checked == more | {
        "connection": Secret(
            {
                "host": "h",
                "privateKey": Secret("k"),
                **FILLED,
            }
        )
    }


def test_explicit_zeros_stay(plugin: Provider) -> None:
    bag = {"host": "h", "dialErrorLimit": 0, "perDialTimeout": 0}
    assert plugin.check(REMOTE, "zeros", {"connection": bag})["connection"].value == FILLED | bag


def test_unknowns_pass_and_stay(plugin: Provider) -> None:
    inputs = {"connection": UNKNOWN, "create": UNKNOWN, "triggers": [UNKNOWN], "environment": {"A": UNKNOWN}}
    assert plugin.check(REMOTE, "unknown", inputs) == inputs
    partly = plugin.check(REMOTE, "partly", {"connection": {"host": UNKNOWN, "privateKey": UNKNOWN}})
    assert partly["connection"].value == FILLED | {"host": UNKNOWN, "privateKey": UNKNOWN}


@pytest.mark.bundled_only("refusals")
def test_all_refusals_come_at_once_with_their_paths(plugin: Provider) -> None:
    refusals = _refusals(
        plugin,
        REMOTE,
        {
            "create": 3,
            "interpreter": ["sh"],
            "assetPath": ["*"],
            "environment": {"A": 1, "B": "fine"},
            "logging": "all",
            "connection": Secret({"port": 99999, "sshPort": 1, "proxy": {"user": True}, "password": "p", "user": True}),
        },
    )
    assert set(refusals) == {
        "create",
        "interpreter",
        "environment.A",
        "logging",
        "connection.host",
        "connection.port",
        "connection.sshPort",
        "connection.proxy",
        "connection.password",
        "connection.user",
        "assetPath",
    }
    assert refusals["interpreter"] == f"'interpreter' is no property of {REMOTE}; check its spelling"
    for name in ("proxy", "password"):
        assert refusals[f"connection.{name}"] == (
            f"'connection.{name}' is not supported by the bundled plugin for {REMOTE}; "
            "remove it, or use the official plugin"
        )
    assert refusals["connection.host"] == "Missing required property 'connection.host'"
    assert "99999" not in refusals["connection.port"], "what lies in a secret is not shown"


def test_required_inputs(plugin: Provider) -> None:
    assert set(_refusals(plugin, REMOTE, {})) == {"connection"}
    assert set(_refusals(plugin, COPY, {})) == {"connection", "source", "remotePath"}


@pytest.mark.bundled_only("refusals")
def test_functions_are_refused_by_name(plugin: Provider) -> None:
    with pytest.raises(CallFailed, match="the function command:local:run is not supported by the bundled command"):
        plugin.invoke("command:local:run", {"command": "true"})


@pytest.mark.bundled_only("refusals")
def test_copy_file_is_refused_by_name(plugin: Provider) -> None:
    with pytest.raises(
        CallFailed, match="the resource type command:remote:CopyFile is not supported by the bundled command"
    ):
        plugin.check("command:remote:CopyFile", "old", {})


def test_previews_promise_the_inputs_and_no_results(plugin: Provider) -> None:
    inputs = {"create": "x"}
    unknown = dict.fromkeys(("stdout", "stderr"), UNKNOWN)
    assert plugin.preview(LOCAL, "p", inputs) == inputs | unknown
    old = inputs | {"stdout": "o", "stderr": "e"}
    news = inputs | {"create": "y"}
    assert plugin.update(LOCAL, "p", "id", old, inputs, news, preview=True) == news | unknown
    copied = {"connection": Secret({"host": "h"}), "source": Asset("text", "x", "h"), "remotePath": "/x"}
    assert plugin.preview(COPY, "p", copied) == copied


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({}, {"create": "x"}, {"create": "ADD"}),
        ({"create": "x"}, {}, {"create": "DELETE"}),
        ({"environment": {"A": "1", "B": "2"}}, {"environment": {"A": "2", "C": "3"}},
         {"environment.A": "UPDATE", "environment.B": "DELETE", "environment.C": "ADD"}),
        ({"stdin": "x"}, {"stdin": Secret("x")}, {"stdin": "UPDATE"}),
        ({"stdin": Secret({"a": 1})}, {"stdin": Secret({"a": 2})}, {"stdin": "UPDATE"}),
        ({"stdin": Secret("x")}, {"stdin": Secret("x")}, {}),
        ({"create": "x"}, {"create": UNKNOWN}, {"create": "UPDATE"}),
        ({"triggers": [1]}, {"triggers": [1, 2]}, {"triggers[1]": "ADD_REPLACE"}),
        ({"triggers": [1, 2]}, {"triggers": [1]}, {"triggers[1]": "DELETE_REPLACE"}),
        ({"triggers": [1]}, {}, {"triggers": "DELETE_REPLACE"}),
        ({}, {"triggers": [1]}, {"triggers": "ADD_REPLACE"}),
        ({"triggers": [1]}, {"triggers": UNKNOWN}, {"triggers": "UPDATE_REPLACE"}),
        ({"triggers": [{"a": 1}]}, {"triggers": [{"a": UNKNOWN}]}, {"triggers[0].a": "UPDATE_REPLACE"}),
        ({"triggers": [Asset(None, None, "h")]}, {"triggers": [Asset("text", "x", "h")]}, {}),
        ({"triggers": [Asset(None, None, "h")]}, {"triggers": [Asset("text", "x", "i")]},
         {"triggers[0]": "UPDATE_REPLACE"}),
        ({"create": "x"}, {"create": "x", "version": "2", "__internal": 1}, {}),
    ],
)  # fmt: skip
def test_differences(plugin: Provider, old: dict[str, Any], new: dict[str, Any], paths: dict[str, str]) -> None:
    diff = plugin.diff(LOCAL, "d", "id", old | {"stdout": "", "stderr": ""}, old, new)
    assert diff.paths == paths
    assert diff.changed == bool(paths)
    assert not diff.delete_before_replace


def test_read_takes_everything_as_it_is(plugin: Provider) -> None:
    outputs, inputs = {"create": "x", "stdout": "y", "stdin": Secret("s")}, {"create": "x", "stdin": Secret("s")}
    live = plugin.read(LOCAL, "r", "some-id", outputs, inputs)
    assert live is not None
    assert (live.id, live.outputs, live.inputs) == ("some-id", outputs, inputs)
    imported = plugin.read(LOCAL, "r", "any-id")
    assert imported is not None
    assert imported.id == "any-id"
