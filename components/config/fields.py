"""The forms of single values: names, addresses, ports. Each is checked in words of our own and described to editors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from components.config.partial import PARTIAL

LAB_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
OBJECT_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_CIDR = re.compile(r"([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}")
_ADDRESS = re.compile(r"([0-9]{1,3}\.){3}[0-9]{1,3}")


def _cidr(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, IPv4Network):
        return value
    try:
        meant = IPv4Network(value, strict=False) if isinstance(value, str) and _CIDR.fullmatch(value) else None
    except ValueError:
        meant = None
    if meant is None:
        raise PydanticCustomError("cidr", "an IPv4 network in CIDR form, such as 10.99.0.0/24")
    if str(meant.network_address) != value.split("/")[0] and info.context != PARTIAL:
        rule = "a network address without host bits (here: {fixed})"
        raise PydanticCustomError("cidr", rule, {"fixed": str(meant)})
    return meant


def _address(value: Any) -> Any:
    if isinstance(value, IPv4Address):
        return value
    try:
        if isinstance(value, str):
            return IPv4Address(value)
    except AddressValueError:
        pass
    raise PydanticCustomError("address", "an IPv4 address, such as 10.99.0.11")


def as_tuple(value: Any) -> Any:
    """A list as the tuple that a frozen spec holds."""
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Pattern:
    """Text of a form: refused in words of our own, and described to editors."""

    pattern: re.Pattern[str]
    rule: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | _editors_pattern(self.pattern)

    def _check(self, value: Any) -> Any:
        if isinstance(value, str) and not self.pattern.fullmatch(value):
            raise PydanticCustomError("form", self.rule)
        return value


def _editors_pattern(pattern: re.Pattern[str]) -> JsonSchemaValue:
    # The whole text: in JSON Schema a pattern may match anywhere.
    return {"pattern": f"^({pattern.pattern})$"}


Cidr = Annotated[
    IPv4Network,
    BeforeValidator(_cidr),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"} | _editors_pattern(_CIDR)),
]
Address = Annotated[
    IPv4Address,
    BeforeValidator(_address),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"} | _editors_pattern(_ADDRESS)),
]
LabName = Annotated[
    str, Pattern(LAB_NAME, "the lab's name: lower-case letters, digits and inner hyphens, at most 20 characters")
]
HostName = Annotated[
    str, Pattern(HOSTNAME, "a host name: lower-case letters, digits and inner hyphens, 1 to 63 characters")
]
ObjectName = Annotated[
    str,
    Pattern(OBJECT_NAME, "a Docker name: letters, digits, '_', '.', '-', starting with a letter or digit, at most 63"),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Argument = Annotated[str, Pattern(re.compile(r"[^\x00]{0,65536}"), "an argument: text without NUL characters")]
NetworkMode = Annotated[
    str,
    Pattern(
        re.compile(r"container:[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}"), "container:NAME, where NAME is a workload of this lab"
    ),
]
ImageName = Annotated[
    str, Pattern(re.compile(r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}"), "an image reference, such as busybox:1.35")
]
Line = Annotated[str, Pattern(re.compile(r"[^\x00-\x1f\x7f]{1,1024}"), "one line of text, at most 1024 characters")]
Url = Annotated[
    str, Pattern(re.compile(r"https?://[A-Za-z0-9.:\[\]/_-]{1,250}"), "a URL, such as http://10.99.0.1:5000")
]
Bridge = Annotated[
    str,
    Pattern(
        re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}"), "a Linux interface name of at most 15 characters, such as br0"
    ),
]
Directory = Annotated[
    str, Pattern(re.compile(r"/[^\x00-\x1f\x7f]{0,1000}"), "an absolute path, such as /var/lib/libvirt/images")
]
LibvirtUri = Annotated[
    str, Pattern(re.compile(r"[a-z][a-z0-9+]*://[!-~]{1,500}"), "a libvirt URI, such as qemu:///system")
]
