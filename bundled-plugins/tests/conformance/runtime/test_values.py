"""The wire form of property values."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from bundled_plugins.runtime import values as codec
from bundled_plugins.runtime.values import (
    UNKNOWN,
    Archive,
    Asset,
    Properties,
    Secret,
    Unknown,
    decode,
    encode,
    has_secret,
    has_unknown,
    unwrap,
    walk,
)
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc

from conformance.runtime import strategies

pytestmark = pytest.mark.bundled_only("internals")

SIGNATURE = "4dabf18193072939515e22adb298388d"
KINDS = [codec._SECRET, codec._ASSET, codec._ARCHIVE, codec._REFERENCE, codec._OUTPUT, "no such kind", ""]

#: What a confused or hostile peer could send: signatures anywhere, with anything beside them.
wild = st.recursive(
    strategies.scalars | st.sampled_from(sorted(codec._UNKNOWNS)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([SIGNATURE, "value", "hash", "text", "path", "assets", "secret", "id", "urn", "other"]),
            inner | st.sampled_from(KINDS),
            max_size=4,
        )
    ),
    max_leaves=15,
)


def _struct(data: Any) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update({"key": data})
    return struct


@given(strategies.properties)
def test_what_is_encoded_reads_back(properties: Properties) -> None:
    assert decode(encode(properties)) == properties


@given(strategies.properties)
def test_and_survives_the_wire(properties: Properties) -> None:
    data = encode(properties).SerializeToString()
    assert decode(struct_pb2.Struct.FromString(data)) == properties


@given(wild)
def test_no_bag_crashes_the_decoder_and_what_it_gives_is_stable(data: Any) -> None:
    try:
        properties = decode(_struct(data))
    except ValueError as error:
        if "unsupported signature" not in str(error):
            raise
    else:
        assert decode(encode(properties)) == properties


def test_decoding_leaves_the_message_alone() -> None:
    struct = _struct({SIGNATURE: codec._SECRET})
    before = struct.SerializeToString(deterministic=True)
    assert decode(struct) == {"key": Secret(None)}
    assert struct.SerializeToString(deterministic=True) == before


def test_signatures_are_the_sdks_own() -> None:
    assert {codec._SIGNATURE, codec._SECRET, codec._ASSET, codec._ARCHIVE, codec._REFERENCE, codec._OUTPUT} == {
        rpc._special_sig_key,
        rpc._special_secret_sig,
        rpc._special_asset_sig,
        rpc._special_archive_sig,
        rpc._special_resource_sig,
        rpc._special_output_value_sig,
    }
    assert codec._UNKNOWN_STRING == rpc.UNKNOWN


@pytest.mark.parametrize("text", sorted(codec._UNKNOWNS))
def test_every_kind_of_unknown_is_the_unknown(text: str) -> None:
    assert decode(_struct({"a": [text]})) == {"key": {"a": [UNKNOWN]}}


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ({SIGNATURE: codec._OUTPUT}, UNKNOWN),
        ({SIGNATURE: codec._OUTPUT, "value": "x", "dependencies": ["urn"]}, "x"),
        ({SIGNATURE: codec._OUTPUT, "value": "x", "secret": True}, Secret("x")),
        ({SIGNATURE: codec._OUTPUT, "secret": True}, Secret(UNKNOWN)),
        ({SIGNATURE: codec._REFERENCE, "urn": "urn:x", "id": "i"}, "i"),
        ({SIGNATURE: codec._REFERENCE, "urn": "urn:x"}, "urn:x"),
        ({SIGNATURE: codec._ASSET, "text": "t", "hash": "h"}, Asset("text", "t", "h")),
        ({SIGNATURE: codec._ASSET, "hash": "h"}, Asset(None, None, "h")),
        ({SIGNATURE: codec._ASSET, "text": "", "path": "p", "hash": "h"}, Asset("path", "p", "h")),
        ({SIGNATURE: codec._ASSET, "text": ""}, Asset("text", "", "")),
        ({SIGNATURE: codec._ARCHIVE, "path": "p"}, Archive("path", "p", "")),
        (
            {
                SIGNATURE: codec._ARCHIVE,
                "assets": {"a": {SIGNATURE: codec._ASSET, "path": "p", "hash": "h"}},
                "hash": "i",
            },
            Archive("assets", {"a": Asset("path", "p", "h")}, "i"),
        ),
    ],
)
def test_special_values(wire: dict[str, Any], value: object) -> None:
    assert decode(_struct(wire)) == {"key": value}


@pytest.mark.parametrize("number", [0, 3, -7, 2**53, 1e300, 0.5, float("inf")])
def test_whole_numbers_are_integers(number: float) -> None:
    found = decode(_struct(number))["key"]
    assert found == number
    assert isinstance(found, int) == float(number).is_integer()


def test_booleans_are_no_numbers() -> None:
    assert decode(encode({"a": True, "b": 1})) == {"a": True, "b": 1}
    assert decode(encode({"a": True}))["a"] is True


def test_lone_surrogates_do_not_stop_a_message() -> None:
    assert decode(encode({"a": "x\udcff"})) == {"a": "x?"}


@pytest.mark.parametrize("value", [b"bytes", object(), {1, 2}, bytearray(b"x")])
def test_what_is_no_value_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="is no property value"):
        encode({"a": value})


def test_unknown_is_one_and_has_no_truth() -> None:
    assert Unknown() is UNKNOWN
    assert copy.deepcopy([UNKNOWN])[0] is UNKNOWN
    assert copy.copy(UNKNOWN) is UNKNOWN
    with pytest.raises(TypeError):
        bool(UNKNOWN)


def test_a_secret_does_not_show_itself() -> None:
    assert "hunter2" not in f"{Secret('hunter2')!r} {Secret('hunter2')} {[Secret('hunter2')]}"


@given(strategies.values)
def test_unwrapped_is_free_of_secrets_and_otherwise_the_same(value: Any) -> None:
    bare = unwrap(value)
    assert not has_secret(bare)
    assert has_unknown(bare) == has_unknown(value)
    assert unwrap(bare) == bare
    assert walk(value, lambda node: node) == value


@given(strategies.known_values)
def test_known_values_hold_no_unknown(value: Any) -> None:
    assert not has_unknown(value)
    assert has_unknown([{"a": Secret([value, UNKNOWN])}])
