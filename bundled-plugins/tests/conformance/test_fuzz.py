"""Malformed property bags at every resource, function and configuration of every bundled provider.

A bag has the model's own keys, with values of the right shape, hostile ones of the right type, and junk. Whatever it
is, the answer is a refusal, a difference or an error of that one call: never the plugin's internal error where the
inputs were taken, and never an exception that the protocol does not know.
"""

from __future__ import annotations

import random
import typing
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from bundled_plugins.command.provider import CommandPlugin
from bundled_plugins.docker import provider as docker_provider
from bundled_plugins.docker.provider import DockerPlugin
from bundled_plugins.libvirt import provider as libvirt_provider
from bundled_plugins.libvirt.provider import LibvirtPlugin
from bundled_plugins.runtime.engine_log import EngineLog
from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.provider import ProviderServicer
from bundled_plugins.runtime.resource import Plugin
from bundled_plugins.runtime.values import UNKNOWN, Archive, Asset, Secret, encode
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2

pytestmark = pytest.mark.bundled_only("internals")

CASES = 2000
"""In all, shared among the targets."""

PLUGINS: dict[str, Callable[[], Plugin]] = {"command": CommandPlugin, "docker": DockerPlugin, "libvirt": LibvirtPlugin}
CONFIGURATIONS: dict[str, type[Model]] = {
    "docker": docker_provider.ProviderInputs,
    "libvirt": libvirt_provider.ProviderInputs,
}
RESOURCES = [(name, kind) for name, plugin in PLUGINS.items() for kind in plugin().resources]
PER_TARGET = CASES // (len(RESOURCES) + len(PLUGINS)) + 1

SIGNATURE = "4dabf18193072939515e22adb298388d"
TEXTS = (
    *["", " ", "a", "none", "dir", "qemu", "host", "bridge", "overlay", "tcp", "no", "always", "/", "/dev/null"],
    *["10.0.0.0/8", "10.0.0.1/33", "::1", "fe80::/129", "300.1.1.1", "unix:///x", "ssh://h", "tcp://[", "://", "%zz"],
    *["container:x", "x=y", "=", "1h", "-1s", "9" * 400 + "s", "1e400", "0x10", "{}", "[1", "null", '{"a":1}', "[[]]"],
    *["a\nb", "a\0b", "\x1b[2J", "\u202e", "\ud800", "é" * 64, "a" * 300, "x" * 70_000, "<a>&\"'", "$(id)", "../.."],
)
NUMBERS = (0, 1, -1, 2, 80, 65536, 2**31, -(2**31), 2**53, -(2**53), 0.5, 1e308, float("inf"), float("nan"))
JUNK = (
    *[None, True, False, UNKNOWN, [], {}, [[]], {"": ""}, [None], [UNKNOWN, 1], {"a": UNKNOWN}, [{"a": [{}]}]],
    *[Secret(None), Secret(UNKNOWN), Secret("s3cret"), Secret([{"a": 1}]), Secret(Secret(1))],
    *[Asset("text", "x", ""), Asset("path", "/no/such", "h"), Asset(None, None, "h"), Archive("assets", {}, "")],
    {SIGNATURE: "no such kind"},
    {SIGNATURE: ""},
    {SIGNATURE: 5},
    {SIGNATURE: "1b47061264138c4ac30d75fd1eb44270"},
    {SIGNATURE: "d0e6a833031e9bbcd3f4e8bde6ca49a4", "secret": "x", "dependencies": 1},
    {SIGNATURE: "0def7320c3a5731c473e5ecbe6d01bc7", "assets": {"a": 1}},
    {SIGNATURE: "5cf8f73096256a8f31e491e813e4eb8e"},
)


class Bags:
    """Property bags from one seed."""

    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)

    def of(self, model: type[Model]) -> dict[str, Any]:
        bag: dict[str, Any] = {}
        for field in model.model_fields.values():
            choice = self._chance.random()
            if choice < 0.15:
                bag[field.alias or ""] = self.junk()
            elif choice < 0.6 or field.is_required():
                bag[field.alias or ""] = self._like(field.annotation)
        if self._chance.random() < 0.1:
            bag[self._chance.choice(["odd key", "", "__defaults", "__internal", SIGNATURE, "a.b[0]", "name"])] = (
                self.junk()
            )
        return bag

    def typed(self, model: type[Model]) -> dict[str, Any]:
        """Nothing but what the types allow."""
        fields = model.model_fields.values()
        return {
            f.alias or "": self._like(f.annotation) for f in fields if f.is_required() or self._chance.random() < 0.4
        }

    def junk(self) -> Any:
        return self._chance.choice((*JUNK, self._chance.choice(TEXTS), self._chance.choice(NUMBERS)))

    def _like(self, annotation: Any) -> Any:
        arguments = [item for item in typing.get_args(annotation) if item is not type(None)]
        origin = typing.get_origin(annotation)
        if self._chance.random() < 0.05:
            return self._chance.choice([UNKNOWN, Secret(self._like(annotation))])
        if annotation is str:
            return self._chance.choice(TEXTS)
        if annotation in (int, float):
            return self._chance.choice(NUMBERS[:10])
        if annotation is bool:
            return self._chance.random() < 0.5
        if origin is list:
            return [self._like(arguments[0]) for _ in range(self._chance.randrange(3))]
        if origin is dict:
            return {self._chance.choice(TEXTS[:30]): self._like(arguments[1]) for _ in range(self._chance.randrange(3))}
        if isinstance(annotation, type) and issubclass(annotation, Model):
            return self.of(annotation) if self._chance.random() < 0.3 else self.typed(annotation)
        if origin is typing.Literal:
            return self._chance.choice(arguments)
        return self._like(self._chance.choice(arguments)) if arguments else self.junk()


class Aborted(Exception):
    """The call ended in an error of the protocol."""


class Context:
    """What gRPC hands to a call."""

    def __init__(self) -> None:
        self._code: grpc.StatusCode | None = None
        self.text = ""

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def abort(self, code: grpc.StatusCode, text: str) -> None:
        assert text
        text.encode("utf-8")
        self._code = code
        self.text = text
        raise Aborted(text)

    def set_trailing_metadata(self, metadata: Any) -> None:
        for _, value in metadata:
            assert isinstance(value, bytes)


def answer(call: Callable[[Any, Any], Any], request: Any) -> Any:
    """The response, as it comes over the wire; None where the call ended in an error that is the bag's own."""
    context = Context()
    try:
        response = call(request, context)
    except Aborted:
        assert "internal error" not in context.text or "unsupported signature" in context.text, context.text
        return None
    return type(response).FromString(response.SerializeToString())


def wire(bag: dict[str, Any]) -> struct_pb2.Struct:
    return struct_pb2.Struct.FromString(encode(bag).SerializeToString())


def taken(response: Any) -> bool:
    """Whether a check took the inputs. Each refusal has place and reason."""
    for failure in response.failures:
        assert failure.reason
        assert len(failure.reason) <= 2100
        assert "s3cret" not in failure.reason
    return not response.failures


@pytest.fixture(scope="module")
def servicers() -> dict[str, ProviderServicer]:
    return {name: ProviderServicer(plugin(), EngineLog(None)) for name, plugin in PLUGINS.items()}


@pytest.mark.parametrize(("name", "kind"), RESOURCES, ids=lambda item: getattr(item, "token", item))
def test_check_diff_and_preview(servicers: dict[str, ProviderServicer], name: str, kind: Any) -> None:
    servicer, urn = servicers[name], f"urn:pulumi:s::p::{kind.token}::it"
    took = 0
    for seed in range(PER_TARGET):
        bags = Bags(f"{kind.token} {seed}")
        draw = bags.typed if seed % 2 else bags.of
        news, olds = wire(draw(kind.model)), wire(bags.of(kind.model))
        checked = answer(servicer.Check, provider_pb2.CheckRequest(urn=urn, type=kind.token, olds=olds, news=news))
        if checked is None or not taken(checked):
            continue
        took += 1
        inputs = checked.inputs
        for state in (olds, inputs, wire({})):
            diff = provider_pb2.DiffRequest(id="x", urn=urn, olds=state, old_inputs=state, news=inputs)
            answer(servicer.Diff, diff)
        answer(servicer.Create, provider_pb2.CreateRequest(urn=urn, properties=inputs, preview=True))
        update = provider_pb2.UpdateRequest(id="x", urn=urn, olds=olds, old_inputs=olds, news=inputs, preview=True)
        answer(servicer.Update, update)
        again = provider_pb2.CheckRequest(urn=urn, type=kind.token, olds=inputs, news=inputs)
        assert taken(answer(servicer.Check, again)), "what was taken once is taken again"
    assert took, "not one bag got past check: diff and preview were not tried"


@pytest.mark.parametrize("name", PLUGINS)
def test_configurations(servicers: dict[str, ProviderServicer], name: str) -> None:
    model = CONFIGURATIONS.get(name, Model)
    for seed in range(PER_TARGET):
        bags = Bags(f"{name} {seed}")
        news, olds = wire(bags.of(model)), wire(bags.typed(model))
        urn = f"urn:pulumi:s::p::pulumi:providers:{name}::it"
        checked = answer(servicers[name].CheckConfig, provider_pb2.CheckRequest(urn=urn, olds=olds, news=news))
        if checked is not None and taken(checked):
            diff = provider_pb2.DiffRequest(id="x", urn=urn, olds=olds, old_inputs=olds, news=checked.inputs)
            answer(servicers[name].DiffConfig, diff)


def test_two_thousand_cases_are_tried() -> None:
    assert PER_TARGET * (len(RESOURCES) + len(PLUGINS)) >= CASES
