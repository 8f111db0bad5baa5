"""Malformed property bags never end the plugin and are never its internal error."""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from bundled_plugins.libvirt.cloud_init_disk import CloudInitDiskInputs
from bundled_plugins.libvirt.domain_model import DomainInputs
from bundled_plugins.libvirt.network import NetworkInputs
from bundled_plugins.libvirt.pool import PoolInputs
from bundled_plugins.libvirt.volume import VolumeInputs
from bundled_plugins.runtime.model import Model, shapes
from bundled_plugins.runtime.values import UNKNOWN, Properties, Secret
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.harness import CallFailed, Provider, Refused, running
from conformance.libvirt.conftest import DOMAIN, ISO, NETWORK, POOL, VOLUME

MODELS: dict[str, type[Model]] = {
    NETWORK: NetworkInputs,
    POOL: PoolInputs,
    VOLUME: VolumeInputs,
    ISO: CloudInitDiskInputs,
    DOMAIN: DomainInputs,
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.sampled_from(["10.0.0.0/8", "none", "qemu", "dir", "/", "a;b", "::1"]),
    st.just(UNKNOWN),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3), inner.map(Secret)),
    max_leaves=8,
)


def accepted(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of an input's type, unknown now and then."""
    arguments = [item for item in typing.get_args(annotation) if item is not type(None)]
    origin = typing.get_origin(annotation)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.one_of(texts, st.sampled_from(["none", "dir", "10.0.0.0/8", "::1", "a;b", "pty"])),
        int: st.integers(1, 2**40),
        bool: st.booleans(),
    }
    if annotation in plain:
        value = plain[annotation]
    elif origin is list:
        value = st.lists(accepted(arguments[0]), max_size=2)
    elif origin is dict:
        value = st.dictionaries(st.text("abc", min_size=1), texts, max_size=2)
    elif isinstance(annotation, type):
        value = typed(annotation)
    else:
        value = accepted(arguments[0])
    return st.one_of(value, value, value, st.just(UNKNOWN))


def typed(model: type[Model]) -> st.SearchStrategy[Properties]:
    """Bags with every key right and every value of its type."""
    needed = {f.alias: accepted(f.annotation) for f in model.model_fields.values() if f.alias and f.is_required()}
    others = {f.alias: accepted(f.annotation) for f in model.model_fields.values() if f.alias and not f.is_required()}
    return st.fixed_dictionaries(needed, optional=others)


def bags(model: type[Model]) -> st.SearchStrategy[Properties]:
    """Bags with the model's own keys, often of the right shape and as often not."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name, shape in shapes(model).items():
        value: st.SearchStrategy[Any] = anything
        if shape.model is not None:
            nested = bags(shape.model)
            value = st.one_of(anything, st.lists(nested, max_size=2) if shape.many else nested)
        fields[name] = value
    return st.fixed_dictionaries({}, optional=fields | {"odd key": anything, "__defaults": anything})


@pytest.fixture(scope="module")
def dry_plugin() -> Iterator[Provider]:
    with running("bundled_plugins.libvirt", {"uri": "test:///default"}) as started:
        yield started


fuzzed = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("token", MODELS)
@fuzzed
@given(data=st.data())
def test_check_and_diff_answer_anything(dry_plugin: Provider, token: str, data: st.DataObject) -> None:
    bag = data.draw(st.one_of(bags(MODELS[token]), typed(MODELS[token]), typed(MODELS[token])))
    olds = data.draw(st.one_of(bags(MODELS[token]), typed(MODELS[token])))
    try:
        inputs = dry_plugin.check(token, "it", bag, olds)
    except Refused:
        return
    except CallFailed as failure:
        raise AssertionError(failure.message) from failure
    try:
        dry_plugin.diff(token, "it", "id", olds, olds, inputs)
        dry_plugin.preview(token, "it", inputs)
    except CallFailed as failure:
        raise AssertionError(failure.message) from failure


@pytest.mark.parametrize("token", [NETWORK, POOL, VOLUME])
@settings(fuzzed, max_examples=25)
@given(data=st.data())
def test_create_read_and_delete_survive_anything(dry_plugin: Provider, token: str, data: st.DataObject) -> None:
    """Not even checked inputs and forged ids end the process, whatever the answers are."""
    bag = data.draw(st.one_of(bags(MODELS[token]), typed(MODELS[token])))
    forged = data.draw(texts)
    for call in (
        lambda: dry_plugin.create(token, "it", bag),
        lambda: dry_plugin.read(token, "it", forged, bag, bag),
        lambda: dry_plugin.update(token, "it", forged, bag, bag, bag),
        lambda: dry_plugin.delete(token, "it", forged, bag, bag),
    ):
        with contextlib.suppress(CallFailed):
            call()
    assert dry_plugin.process.poll() is None
    assert dry_plugin.version() == "0.5.4"
