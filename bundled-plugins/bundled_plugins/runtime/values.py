"""Property values as the engine sends them, and their wire form.

``decode`` turns a protobuf ``Struct`` into plain Python (dict, list, str, bool, int, float, None) plus the
special values below; ``encode`` is its inverse. Whole numbers become ``int`` (the wire knows only doubles).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from google.protobuf import struct_pb2

Value = Any
"""None | bool | int | float | str | list | dict | Unknown | Secret | Asset | Archive."""
Properties = dict[str, Value]

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
_ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
_REFERENCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_ASSET_KINDS: Final[tuple[Literal["text", "path", "uri"], ...]] = ("text", "path", "uri")
_ARCHIVE_PLACES: Final[tuple[Literal["path", "uri"], ...]] = ("path", "uri")
_UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS: Final = frozenset(
    {
        _UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


class Unknown:
    """A value that a preview cannot know yet. There is one instance: :data:`UNKNOWN`."""

    _instance: Unknown | None = None

    def __new__(cls) -> Unknown:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("the truth of an unknown value was asked for")

    def __deepcopy__(self, _memo: object) -> Unknown:
        return self


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, repr=False)
class Secret:
    """A value that must stay encrypted in the state; unwrap to use, wrap again to return."""

    value: Value

    def __repr__(self) -> str:
        return "Secret(...)"


@dataclass(frozen=True)
class Asset:
    """A file-like value. ``content`` is None where the engine sends only the hash."""

    kind: Literal["text", "path", "uri"] | None
    content: str | None
    hash: str


@dataclass(frozen=True)
class Archive:
    """A directory-like value; ``assets`` values are :class:`Asset` or :class:`Archive`."""

    kind: Literal["assets", "path", "uri"] | None
    content: str | dict[str, Value] | None
    hash: str


def decode(struct: struct_pb2.Struct) -> Properties:
    """Plain properties of a wire struct."""
    return {key: _decode(value) for key, value in struct.fields.items()}


def _decode(value: struct_pb2.Value) -> Value:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "struct_value":
        return _decode_object(value.struct_value)
    return None


def _decode_object(struct: struct_pb2.Struct) -> Value:
    fields = struct.fields
    signature = fields[_SIGNATURE].string_value if _SIGNATURE in fields else ""
    if not signature or signature in _UNKNOWNS:
        return decode(struct)
    if signature == _SECRET:
        return Secret(_decode(fields["value"]) if "value" in fields else None)
    if signature == _OUTPUT:
        inner = _decode(fields["value"]) if "value" in fields else UNKNOWN
        return Secret(inner) if "secret" in fields and fields["secret"].bool_value else inner
    if signature == _REFERENCE:
        return next((_decode(fields[name]) for name in ("id", "urn") if name in fields), UNKNOWN)
    hash_ = fields["hash"].string_value if "hash" in fields else ""
    if signature == _ASSET:
        # The official plugins' states hold an empty text beside a path.
        stated = [kind for kind in _ASSET_KINDS if kind in fields]
        kind = next((kind for kind in stated if fields[kind].string_value), stated[0] if stated else None)
        return Asset(kind, fields[kind].string_value if kind else None, hash_)
    if signature == _ARCHIVE:
        if "assets" in fields:
            return Archive("assets", decode(fields["assets"].struct_value), hash_)
        for place in _ARCHIVE_PLACES:
            if place in fields:
                return Archive(place, fields[place].string_value, hash_)
        return Archive(None, None, hash_)
    raise ValueError(f"property value with the unsupported signature {signature}")


def encode(properties: Mapping[str, Value]) -> struct_pb2.Struct:
    """Wire struct of plain properties."""
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        struct.fields[key].CopyFrom(_encode(value))
    return struct


def _encode(value: Value) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(value, Unknown):
        return struct_pb2.Value(string_value=_UNKNOWN_STRING)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=float(value))
    if isinstance(value, str):
        text = value if value.isascii() else value.encode("utf-8", "replace").decode()  # lone surrogates cannot travel
        return struct_pb2.Value(string_value=text)
    if isinstance(value, Secret):
        return _signed(_SECRET, {"value": value.value})
    if isinstance(value, Asset):
        return _signed(_ASSET, {"hash": value.hash} | ({value.kind: value.content} if value.kind else {}))
    if isinstance(value, Archive):
        return _signed(_ARCHIVE, {"hash": value.hash} | ({value.kind: value.content} if value.kind else {}))
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=encode(value))
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_encode(item) for item in value]))
    raise TypeError(f"a {type(value).__name__} is no property value")


def _signed(signature: str, fields: dict[str, Value]) -> struct_pb2.Value:
    return struct_pb2.Value(struct_value=encode({_SIGNATURE: signature} | fields))


def walk(value: Value, replace: Callable[[Value], Value]) -> Value:
    """The value rebuilt bottom-up with ``replace`` applied to every node."""
    if isinstance(value, dict):
        value = {key: walk(item, replace) for key, item in value.items()}
    elif isinstance(value, list):
        value = [walk(item, replace) for item in value]
    elif isinstance(value, Secret):
        value = Secret(walk(value.value, replace))
    return replace(value)


def unwrap(value: Value) -> Value:
    """The value without any :class:`Secret` around or inside it."""
    return walk(value, lambda node: node.value if isinstance(node, Secret) else node)


def has_unknown(value: Value) -> bool:
    """Whether an unknown is anywhere in the value."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    if isinstance(value, Secret):
        return has_unknown(value.value)
    return isinstance(value, Unknown)


def has_secret(value: Value) -> bool:
    """Whether a secret is anywhere in the value."""
    if isinstance(value, dict):
        return any(has_secret(item) for item in value.values())
    if isinstance(value, list):
        return any(has_secret(item) for item in value)
    return isinstance(value, Secret)
