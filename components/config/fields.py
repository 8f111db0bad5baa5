"""Types of single values: names, addresses, ports. Each states its rule, and describes itself to editors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from components.config import conventions, libvirt_uri
from components.config.section import refusal

OBJECT_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}"
HOSTNAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
CONTAINER_NAME = r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?"
"""Serf names members after containers, so it is a host name where '_' is '-'."""
_DNS_LABEL = r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_ADDRESS = r"([0-9]{1,3}\.){3}[0-9]{1,3}"
_CIDR = rf"{_ADDRESS}/[0-9]{{1,2}}"
_IPV6 = r"[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/[0-9]{1,3}"
_UNUSABLE = {
    IPv4Network("0.0.0.0/8"): "no host addresses",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local",
    IPv4Network("224.0.0.0/3"): "multicast or reserved",
}


def _cidr(value: Any) -> Any:
    if isinstance(value, IPv4Network):
        return value
    try:
        network = IPv4Network(value, strict=False) if isinstance(value, str) and re.fullmatch(_CIDR, value) else None
    except ValueError:
        network = None
    if isinstance(value, str) and re.fullmatch(_IPV6, value):
        reason = "overlay networks with a cluster store carry no IPv6 between nodes"
        raise refusal(f"an IPv4 network in CIDR form: {reason}", "write an IPv4 network, such as 10.20.0.0/24")
    if network is not None and str(network.network_address) == value.split("/")[0]:
        return network
    rule = f"a network address without host bits (here: {network})" if network else "an IPv4 network in CIDR form"
    raise refusal(f"{rule}, such as 10.99.0.0/24", "write the network's own address and prefix length")


def _usable(network: IPv4Network) -> IPv4Network:
    for reserved, reason in _UNUSABLE.items():
        if network.overlaps(reserved):
            raise refusal(f"outside {reserved} ({reason})", "choose a private range, such as 10.x.y.0/24")
    return network


def _address(value: Any) -> Any:
    if isinstance(value, IPv4Address):
        return value
    try:
        if isinstance(value, str):
            return IPv4Address(value)
    except AddressValueError:
        pass
    raise refusal("an IPv4 address, such as 10.99.0.11", "write four numbers 0 to 255 with dots, in quotes")


def as_tuple(value: Any) -> Any:
    """A list as the tuple that a frozen section holds."""
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Pattern:
    """Text that a pattern matches in full."""

    pattern: str
    rule: str
    remedy: str = "change it to that form"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | anchored(self.pattern)

    def _check(self, value: Any) -> Any:
        if isinstance(value, str) and not re.fullmatch(self.pattern, value):
            raise refusal(self.rule, self.remedy)
        return value


@dataclass(frozen=True, eq=False)
class ShortForm:
    """Other forms of a value: converted to the full one before validation, and described to editors beside it."""

    convert: Callable[[Any], Any]
    schemas: tuple[JsonSchemaValue, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.convert, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [*self.schemas, handler(schema)]}


def anchored(pattern: str) -> JsonSchemaValue:
    """The pattern anchored at both ends; a JSON Schema pattern may match anywhere."""
    return {"pattern": f"^({pattern})$"}


Cidr = Annotated[
    IPv4Network,
    BeforeValidator(_cidr),
    AfterValidator(_usable),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"} | anchored(_CIDR)),
]
Address = Annotated[
    IPv4Address,
    BeforeValidator(_address),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"} | anchored(_ADDRESS)),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Mtu = Annotated[int, Field(ge=1280, le=9000)]


_SHORT_NAME = "lower-case letters, digits and inner hyphens, at most 20 characters (default: the stack's name)"
_HOST = "a host name: lower-case letters, digits and inner hyphens, 1 to 63 characters"
_OBJECT = "letters, digits, '_', '.', '-', starting with a letter or digit, at most 63 characters"
_CONTAINER = "a container's name: letters, digits, inner '_' and '-', at most 63 characters"


def _dns_name(longest: int) -> Pattern:
    rule = f"a DNS name: labels of letters, digits, '_' and inner hyphens, with dots, at most {longest} characters"
    return Pattern(rf"(?=.{{1,{longest}}}$){_DNS_LABEL}(\.{_DNS_LABEL})*", rule)


LabName = Annotated[str, Pattern(conventions.LAB_NAME, _SHORT_NAME, "set a short name")]
HostName = Annotated[str, Pattern(HOSTNAME, _HOST, "choose another name, such as docker01")]
ObjectName = Annotated[str, Pattern(OBJECT_NAME, _OBJECT, "choose another name")]
WorkloadName = Annotated[str, Pattern(CONTAINER_NAME, _CONTAINER, "choose another name")]
DomainName = Annotated[str, _dns_name(253)]
UtsName = Annotated[str, _dns_name(63)]
Argument = Annotated[str, Pattern(r"[^\x00]{0,65536}", "text without NUL characters")]
ImageName = Annotated[str, Pattern(r"[a-z0-9][a-zA-Z0-9._/:@-]{0,254}", "an image reference, such as busybox:1.35")]
Line = Annotated[str, Pattern(r"[^\x00-\x1f\x7f]{1,1024}", "one line of text, at most 1024 characters")]
Url = Annotated[str, Pattern(r"https?://[A-Za-z0-9.:\[\]/_-]{1,250}", "a URL, such as http://10.99.0.1:5000")]
Bridge = Annotated[str, Pattern(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}", "an interface name of at most 15 characters")]
Directory = Annotated[str, Pattern(r"/[^\x00-\x1f\x7f]{0,1000}", "an absolute path, such as /var/lib/libvirt/images")]
LibvirtUri = Annotated[
    str,
    BeforeValidator(libvirt_uri.check),
    WithJsonSchema(
        {"type": "string"} | anchored(rf"({'|'.join(map(re.escape, libvirt_uri.SCHEMES))})://[!-~]{{1,500}}")
    ),
]
DockerSocket = Annotated[
    str,
    Pattern(r"unix:///[A-Za-z0-9._/-]{1,100}", "a Docker engine of this machine, such as unix:///var/run/docker.sock"),
]
Sha256 = Annotated[str, Pattern(r"[0-9a-f]{64}", "a SHA-256 checksum: 64 lower-case hex digits")]
ImageSource = Annotated[
    str, Pattern(r"(https?://|(?![A-Za-z][A-Za-z0-9+.-]*:))[^\x00-\x1f\x7f]{1,1024}", "a path, or an http or https URL")
]
