"""Values in the forms of a Compose file: the short ones, and what Compose takes and a lab does not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from components.config.fields import (
    CONTAINER_NAME,
    Address,
    Argument,
    DomainName,
    Pattern,
    Port,
    ShortForm,
    anchored,
    as_tuple,
)
from components.config.section import refusal

SECRET = "[secret]"
"""Stands for a value that is encrypted in the stack file, where only the file is read."""

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_PORT = r"((?P<published>[0-9]{1,5}):)?(?P<target>[0-9]{1,5})(/(?P<protocol>tcp|udp))?"


def port(value: Any) -> Any:
    """``"90:80"``, ``"80"``, ``80`` and ``"53:53/udp"`` as a mapping."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"target": value}
    if not isinstance(value, str):
        return value
    if found := re.fullmatch(_PORT, value):
        return {
            key: part if key == "protocol" else int(part) for key, part in found.groupdict().items() if part is not None
        }
    *address, published, target = ["", *value[:100].rsplit(":", 2)]
    if any(address):
        rest = f"{published}:{target}" if published else target
        raise refusal("no address: a port is published on every address of the node", f'write "{rest}"')
    if re.fullmatch(r"[0-9:/a-z]*[0-9]-[0-9][0-9:/a-z-]*", value[:100]):
        raise refusal("a single port, no range", 'write one entry for each port, such as "8000:80" and "8001:81"')
    rule = '"PUBLISHED:TARGET" or "TARGET" with port numbers, and /udp at its end for UDP'
    raise refusal(rule, 'write it in that form, such as "90:80"')


def command(value: Any) -> Any:
    """A list as it is, or text that is split as a shell splits it; no shell runs and nothing is expanded."""
    if not isinstance(value, str):
        return as_tuple(value)
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise refusal(f"words as a shell splits them ({error})", "close the quote, or write a list") from None


def pairs(separators: str, *, lone: str | None = None) -> Callable[[Any], Any]:
    """Makes a mapping of a list of ``NAME<separator>VALUE``. ``lone`` is the value of a name without one."""
    form = re.compile(f"([^{separators}]*)(?:[{separators}](.*))?", re.DOTALL)

    def convert(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        found: dict[str, str] = {}
        for entry in value:
            match = form.fullmatch(entry) if isinstance(entry, str) else None
            name, text = match.groups(lone) if match else (None, None)
            if name is None or text is None:
                forms = " or ".join(f'"NAME{separator}VALUE"' for separator in separators)
                raise refusal(f"a list of {forms}, or a mapping", "write every entry in that form")
            if name in found:
                raise refusal(f"each name once ({name[:80]} is repeated)", "remove one of the two")
            found[name] = text
        return found

    return convert


def attachments(value: Any) -> Any:
    """``[a, b]`` as ``{a: {}, b: {}}``."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return value
    if len(set(value)) < len(value):
        raise refusal("each network once", "remove the repetition")
    return {name: {} for name in value}


def _one_or_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else as_tuple(value)


def is_encrypted(value: object) -> bool:
    """Whether a value is one that Pulumi keeps encrypted: ``{secure: v1:...}``."""
    return isinstance(value, Mapping) and set(value) == {"secure"} and isinstance(value["secure"], str)


def _variable(value: Any) -> Any:
    if value is None:
        raise refusal(
            "a value: a lab takes nothing from its caller's environment", 'write it out; nothing at all is ""'
        )
    return SECRET if is_encrypted(value) else value


def _network_mode(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("service:"):
        raise refusal("container:NAME: the name of a workload is its container's", f"write container:{value[8:][:63]}")
    return value


def _host_address(value: Any) -> Any:
    if value == "host-gateway":
        raise refusal("an IPv4 address; host-gateway is not offered", "write the address of the node")
    return value


_NETWORK_MODE = "container:NAME, where NAME is a workload of this lab"
_VARIABLE_NAME = "a variable's name: letters, digits, '_', '.', '-', not starting with a digit"
_LABEL = "letters, digits, '_', '.', '/', '-', not in the lab's own namespace (overlab.)"
_ENCRYPTED = {
    "type": "object",
    "properties": {"secure": _TEXT},
    "required": ["secure"],
    "additionalProperties": False,
}

PORT_FORMS = ShortForm(port, (_TEXT | anchored(re.sub("[?]P<[a-z]+>", "", _PORT)), {"type": "integer"}))
ATTACHMENT_FORMS = ShortForm(lambda value: {} if value is None else value, ({"type": "null"},))
NAMES = ShortForm(attachments, (_TEXTS | {"uniqueItems": True},))

Command = Annotated[tuple[Argument, ...], ShortForm(command, (_TEXT,))]
Published = Annotated[
    Port,
    ShortForm(
        lambda value: int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,5}", value) else value,
        (_TEXT | anchored("[0-9]{1,5}"),),
    ),
]
NetworkMode = Annotated[
    str,
    Pattern(f"container:{CONTAINER_NAME}", _NETWORK_MODE, "write container:NAME, or leave it out and name networks"),
    BeforeValidator(_network_mode),
]
_VariableName = Annotated[str, Pattern(r"[A-Za-z_][A-Za-z0-9_.-]{0,254}", _VARIABLE_NAME)]
_Variable = Annotated[Argument, ShortForm(_variable, (_ENCRYPTED,))]
Environment = Annotated[dict[_VariableName, _Variable], ShortForm(pairs("="), (_TEXTS,))]
_Label = Annotated[str, Pattern(r"(?!overlab\.)[a-zA-Z0-9][a-zA-Z0-9_./-]{0,254}", _LABEL, "choose another name")]
Labels = Annotated[dict[_Label, Argument], ShortForm(pairs("=", lone=""), (_TEXTS,))]
DnsServers = Annotated[tuple[Address, ...], ShortForm(_one_or_list, (_TEXT,))]
DnsSearch = Annotated[tuple[DomainName, ...], ShortForm(_one_or_list, (_TEXT,))]
_Host = Annotated[Address, BeforeValidator(_host_address)]
ExtraHosts = Annotated[dict[DomainName, _Host], ShortForm(pairs(":="), (_TEXTS,))]
