"""The protocol, spoken with a toy provider in a separate process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from bundled_plugins.runtime.answers import MAX_ERROR_CHARS, _top, keep_secrets
from bundled_plugins.runtime.values import UNKNOWN, Properties, Secret, encode, unwrap, walk
from hypothesis import HealthCheck, given, settings
from pulumi.runtime.proto import plugin_pb2, provider_pb2

from conformance.harness import CallFailed, Engine, Failure, Provider, Refused, running, until
from conformance.runtime import strategies
from conformance.runtime.toy import CROWD, TOKEN

pytestmark = pytest.mark.bundled_only("internals")

URN = Provider.urn(TOKEN, "thing")


@pytest.fixture(scope="module")
def toy() -> Iterator[Provider]:
    with running("conformance.runtime.toy") as provider:
        yield provider


@pytest.fixture
def own_toy() -> Iterator[Provider]:
    with running("conformance.runtime.toy") as provider:
        yield provider


def _message(toy: Provider, mode: str) -> str:
    with pytest.raises(CallFailed) as caught:
        toy.create(TOKEN, "thing", {"mode": mode})
    assert caught.value.code is grpc.StatusCode.UNKNOWN
    return caught.value.message


# the provider


def test_version_and_configuration(toy: Provider) -> None:
    assert toy.version() == "1.2.3"
    response = toy._call("Configure", provider_pb2.ConfigureRequest(args=encode({})))
    assert response.acceptSecrets
    assert response.supportsPreview
    with pytest.raises(Refused) as caught:
        toy.check_config({"bad": 1})
    assert caught.value.failures == [Failure("bad", "is bad")]
    with pytest.raises(CallFailed, match="cannot be configured"):
        toy.configure({"fail": True})


def test_configurations_differ_by_what_the_provider_sees(toy: Provider) -> None:
    assert not toy.diff_config({"a": 1, "version": "1"}, {"a": Secret(1), "version": "2", "__internal": {}}).changed
    diff = toy.diff_config({"a": 1}, {"a": 2})
    assert diff.changed
    assert not diff.replace


# check, diff, preview


def test_failures_name_their_places(toy: Provider) -> None:
    with pytest.raises(Refused) as caught:
        toy.check(TOKEN, "thing", {"word": 1, "parts": [{"word": "a"}, {"wrod": "b"}], "extra": 1})
    assert {failure.property for failure in caught.value.failures} == {
        "word",
        "parts[1].word",
        "parts[1].wrod",
        "extra",
    }


def test_generated_names_are_stable_and_short_enough(toy: Provider) -> None:
    first = toy.check(TOKEN, "a-rather-long-name-of-a-thing", {"mode": "named"})["word"]
    assert first == toy.check(TOKEN, "a-rather-long-name-of-a-thing", {"mode": "named"})["word"]
    assert first.startswith("a-rather-lon-")
    assert len(first) == 20


@pytest.mark.parametrize(
    ("mode", "proposed", "expected"),
    [("PROPOSE", "wanted", "wanted"), ("ENFORCE", "forced", "forced"), ("DISABLE", "", None)],
)
def test_the_engines_naming_is_honored(toy: Provider, mode: str, proposed: str, expected: str | None) -> None:
    options = provider_pb2.CheckRequest.AutonamingOptions
    request = provider_pb2.CheckRequest(
        urn=URN,
        news=encode({"mode": "named"}),
        autonaming=options(mode=options.Mode.Value(mode), proposed_name=proposed),
    )
    if expected is None:
        with pytest.raises(CallFailed, match="autonaming is disabled"):
            toy._call("Check", request)
    else:
        assert toy._call("Check", request).inputs.fields["word"].string_value == expected


def test_a_difference_names_kinds_and_top_level_keys(toy: Provider) -> None:
    diff = toy.diff(
        TOKEN, "thing", "id", {}, {"word": "a", "part": {"word": "b"}}, {"word": "c", "part": {"word": "d"}}
    )
    assert diff.paths == {"word": "UPDATE", "part.word": "UPDATE_REPLACE"}
    assert diff.replaces == ["part"]
    same = toy.diff(TOKEN, "thing", "id", {}, {"word": "a"}, {"word": "a"})
    assert not same.changed
    assert not same.paths


@pytest.mark.parametrize(
    ("path", "top"),
    [("a", "a"), ("a.b", "a"), ("a[0].b", "a"), ('["b c"]', "b c"), ('["b.c"].d', "b.c"), ('["b\\"]c"][0]', 'b"]c')],
)
def test_top_level_key_of_a_path(path: str, top: str) -> None:
    assert _top(path) == top


def test_a_preview_makes_nothing_and_has_no_id(toy: Provider) -> None:
    inputs = {"mode": "fail", "word": Secret("s")}
    assert toy.preview(TOKEN, "thing", inputs) == inputs | {"made": UNKNOWN}
    assert toy._resource_call("Create", TOKEN, "thing", properties=inputs, preview=True).id == ""
    assert toy.update(TOKEN, "thing", "id", {}, {}, inputs, preview=True) == inputs | {"made": UNKNOWN}


# secrets


def test_what_was_secret_comes_back_secret(toy: Provider) -> None:
    inputs: Properties = {
        "mode": "plain",
        "word": Secret("s"),
        "part": {"word": Secret("s"), "open": "o"},
        "parts": [{"word": Secret("s")}, {"word": "o"}],
    }
    _, outputs = toy.create(TOKEN, "thing", inputs)
    assert outputs == inputs | {"made": "thing"}
    assert toy.update(TOKEN, "thing", "id", {}, {}, inputs) == inputs | {"made": "thing"}
    live = toy.read(TOKEN, "thing", "id", inputs, inputs)
    assert live is not None
    assert live.outputs == inputs | {"seen": True}
    assert live.inputs == inputs


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.known_properties)
def test_any_bag_survives_create_and_read(toy: Provider, properties: Properties) -> None:
    bag = {"anything": properties}
    _, outputs = toy.create(TOKEN, "thing", bag)
    assert outputs == _outermost(bag) | {"made": "thing"}
    live = toy.read(TOKEN, "thing", "id", bag, bag)
    assert live is not None
    assert live.inputs == _outermost(bag)


def _outermost(bag: Properties) -> Any:
    """The bag without secrets inside secrets, which need no separate mark."""
    return walk(bag, lambda node: Secret(unwrap(node.value)) if isinstance(node, Secret) else node)


def test_a_secret_stays_one_in_a_list_that_has_another_order() -> None:
    kept = keep_secrets({"a": ["x", Secret("y")], "b": {"c": [Secret("z")]}}, {"a": ["y", "x"], "b": {"c": [], "d": 1}})
    assert kept == {"a": Secret(["y", "x"]), "b": {"c": Secret([]), "d": 1}}


# errors


def test_an_error_is_the_users_text_and_nothing_else(toy: Provider) -> None:
    assert _message(toy, "fail") == "refused thing"


def test_a_bug_is_reported_as_an_internal_error(toy: Provider) -> None:
    assert _message(toy, "bug") == "internal error in the bundled toy plugin: KeyError: 'in action'"
    with pytest.raises(CallFailed, match="internal error in the bundled toy plugin: KeyError: 'in diff'"):
        toy.diff(TOKEN, "thing", "id", {}, {}, {"mode": "bug"})


def test_a_long_error_loses_its_middle(toy: Provider) -> None:
    message = _message(toy, "long")
    assert message.startswith("startxxx")
    assert message.endswith("x? end")
    assert "characters left out" in message
    assert len(message) < MAX_ERROR_CHARS + 100


def test_a_half_done_create_keeps_id_outputs_and_secrets(toy: Provider) -> None:
    inputs = {"mode": "partial", "word": Secret("s")}
    with pytest.raises(CallFailed) as caught:
        toy.create(TOKEN, "thing", inputs)
    partial = caught.value.partial
    assert partial is not None
    assert (partial.id, partial.reasons) == ("half-id", ["first reason", "second reason ?"])
    assert partial.outputs == inputs | {"made": "thing"}
    assert partial.inputs == inputs
    assert caught.value.message == "first reason; second reason ?"

    with pytest.raises(CallFailed) as caught:
        toy.update(TOKEN, "thing", "the-id", {}, {}, inputs)
    assert caught.value.partial is not None


@pytest.mark.parametrize("method", ["Check", "Diff", "Create", "Read", "Update", "Delete"])
def test_unsupported_types_are_refused_by_name(toy: Provider, method: str) -> None:
    request: Any = {
        "Check": provider_pb2.CheckRequest,
        "Diff": provider_pb2.DiffRequest,
        "Create": provider_pb2.CreateRequest,
        "Read": provider_pb2.ReadRequest,
        "Update": provider_pb2.UpdateRequest,
        "Delete": provider_pb2.DeleteRequest,
    }[method]
    for urn in ("urn:pulumi:s::p::a:b:Parent$toy:index:Other::n", "nonsense", ""):
        with pytest.raises(CallFailed) as caught:
            toy._call(method, request(urn=urn))
        assert "is not supported by the bundled toy plugin (it has toy:index:Thing)" in caught.value.message
    with pytest.raises(CallFailed, match="the resource type toy:index:Other is not supported"):
        toy._call(method, request(urn="urn:pulumi:s::p::a:b:Parent$toy:index:Other::n"))


def test_the_type_is_found_in_the_urn_of_a_child(toy: Provider) -> None:
    request = provider_pb2.CreateRequest(urn=f"urn:pulumi:s::p::a:b:Parent${TOKEN}::child", properties=encode({}))
    assert toy._call("Create", request).id == "the-id"


def test_bags_with_unsupported_signatures_are_errors_of_one_call(toy: Provider) -> None:
    odd = encode({"word": {"4dabf18193072939515e22adb298388d": "no such kind"}})
    for method, request in (
        ("Check", provider_pb2.CheckRequest(urn=URN, news=odd)),
        ("Create", provider_pb2.CreateRequest(urn=URN, properties=odd)),
        ("DiffConfig", provider_pb2.DiffRequest(urn=URN, news=odd)),
    ):
        with pytest.raises(CallFailed, match="unsupported signature"):
            toy._call(method, request)
    assert toy.version() == "1.2.3"


# reading, logs


def test_read_of_what_is_gone_is_empty(toy: Provider) -> None:
    response = toy._call("Read", provider_pb2.ReadRequest(id="gone", urn=URN))
    assert response == provider_pb2.ReadResponse()
    imported = toy.read(TOKEN, "thing", "some-id")
    assert imported is not None
    assert (imported.id, imported.inputs) == ("some-id", {})


def test_functions_are_refused_by_name(toy: Provider) -> None:
    with pytest.raises(CallFailed, match="the function toy:index:other is not supported by the bundled toy plugin"):
        toy.invoke("toy:index:other", {})


def test_messages_reach_the_engine_at_their_resource(toy: Provider) -> None:
    toy.create(TOKEN, "logging", {"mode": "log"})
    found = [m for m in toy.engine.messages if m.urn == Provider.urn(TOKEN, "logging")]
    assert [(m.severity, m.text, m.ephemeral) for m in found] == [
        ("warning", "careful ?", False),
        ("info", "for now", True),
    ]


def test_an_attached_engine_gets_the_messages(own_toy: Provider) -> None:
    engine = Engine()
    try:
        own_toy._call("Attach", plugin_pb2.PluginAttach(address=engine.address))
        own_toy.create(TOKEN, "logging", {"mode": "log"})
        assert [message.text for message in engine.messages] == ["careful ?", "for now"]
        assert own_toy.engine.messages == []
    finally:
        engine.stop()


def test_a_lost_engine_does_not_fail_an_operation(own_toy: Provider) -> None:
    own_toy.engine.stop()
    own_toy.create(TOKEN, "logging", {"mode": "log"})


# time


def test_the_time_limit_reaches_the_operation(toy: Provider) -> None:
    _, outputs = toy.create(TOKEN, "thing", {"mode": "limit"}, timeout=7)
    assert outputs["remaining"] == 7
    _, outputs = toy.create(TOKEN, "thing", {"mode": "limit"})
    assert outputs["remaining"] == 60


def test_cancel_ends_what_waits_and_answers_though_the_plugin_is_broken(own_toy: Provider) -> None:
    caught: list[CallFailed] = []

    def create() -> None:
        try:
            own_toy.create(TOKEN, "thing", {"mode": "wait"})
        except CallFailed as error:
            caught.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    until(lambda: bool(own_toy.engine.messages), 10, lambda: "no message")
    own_toy.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert caught[0].message == "cancelled"
    assert own_toy.version() == "1.2.3", "Cancel comes at the end of healthy runs too"


def test_calls_run_at_the_same_time_and_cancel_gets_through(own_toy: Provider) -> None:
    with ThreadPoolExecutor(CROWD) as executor:
        made = executor.map(lambda number: own_toy.create(TOKEN, f"n{number}", {"mode": "crowd"}), range(CROWD))
        assert {outputs["made"] for _, outputs in made} == {f"n{number}" for number in range(CROWD)}


def test_unimplemented_calls_answer_unimplemented(toy: Provider) -> None:
    with pytest.raises(CallFailed) as caught:
        toy._call("GetSchema", provider_pb2.GetSchemaRequest())
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED
