"""Secrets: never in an input that Pulumi stores and shows in plain text."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy.proxy import UnknownValueError

from .rule import Parameters, Resource, ResourceRule

_NAMES = {
    "accesskey",
    "apikey",
    "clientsecret",
    "gossipkey",
    "keymaterial",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "privatekeypassphrase",
    "secret",
    "secretkey",
    "token",
}
"""Properties that hold a secret, in lower case, without separators."""
_VARIABLE = re.compile(
    r"(?:^|_)(?:PASS|PASSWD|PASSWORD|PASSPHRASE|TOKEN|SECRET|(?:PRIVATE|API|ACCESS|SECRET|ENCRYPT|GOSSIP)_?KEY)=(.+)$",
    re.IGNORECASE | re.DOTALL,
)
_IN_TEXT = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    ("a gossip key", re.compile(r"""(?:-encrypt[= ]["']?|"encrypt"\s*:\s*")[A-Za-z0-9+/]{22,}={0,2}""")),
    ("a password in a URL", re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*:[^\s/@'\"]+@")),
    (
        "a token",
        re.compile(
            r"\bCONSUL_HTTP_TOKEN=[^\s'\"$]+"
            r"|\b(?:Bearer|X-Consul-Token:)\s+[A-Za-z0-9._-]{16,}"
            r"|\b(?:token|default|agent|master|initial_management|management|SecretID)\"?\s*[:=]\s*\"?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-"
        ),
    ),
)
_ASSET_TEXT = "text"
_PROVIDER = "pulumi:providers:"


def plaintext_secret(resource: Resource, _: Parameters) -> Iterator[str]:
    """Secrets by the name of their property or variable, or by their form, anywhere in the properties.

    The message has the place, never the value.
    """
    yield from _walk(resource.props, resource, "")


def _walk(value: Any, resource: Resource, path: str) -> Iterator[str]:
    """Of what is unknown only that is deferred which would be a secret by its name: the rest is evaluated again."""
    if isinstance(value, str):
        yield from (f"{path} holds {what} in plain text" for what, look in _IN_TEXT if look.search(value))
        if resource.type.startswith(_PROVIDER):
            yield from _walk_json(value, resource, path)
    elif isinstance(value, Mapping):
        for key in value:
            try:
                entry = value[key]
            except UnknownValueError as error:
                if _is_secret_name(str(key)):
                    resource.unknown.append(error)
                continue
            yield from _entry(str(key), entry, resource, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for index in range(len(value)):
            with contextlib.suppress(UnknownValueError):
                yield from _item(value[index], resource, f"{path}[{index}]")
    elif hasattr(value, _ASSET_TEXT):
        yield from _walk(getattr(value, _ASSET_TEXT), resource, path)


def _walk_json(text: str, resource: Resource, path: str) -> Iterator[str]:
    """A provider's lists and objects are sent as JSON text."""
    if text.startswith(("[", "{")):
        with contextlib.suppress(ValueError):
            yield from _walk(json.loads(text), resource, path)


def _entry(key: str, value: Any, resource: Resource, path: str) -> Iterator[str]:
    """A property, or a variable of a mapping such as ``environment``."""
    if isinstance(value, str) and value and _is_secret_name(key):
        yield f"{path} is a secret in plain text"
    else:
        yield from _walk(value, resource, path)


def _item(value: Any, resource: Resource, path: str) -> Iterator[str]:
    """An item of a list; ``NAME=value`` is a variable."""
    name = value.partition("=")[0] if isinstance(value, str) else ""
    if re.fullmatch(r"\w+", name) and _VARIABLE.search(value):
        yield f"{path} ({name}) is a secret in plain text"
    else:
        yield from _walk(value, resource, path)


def _is_secret_name(key: str) -> bool:
    return re.sub(r"[^a-z]", "", key.lower()) in _NAMES or bool(_VARIABLE.search(f"{key}=something"))


RULES = (
    ResourceRule(
        name="secret-inputs",
        reason="An input that is no Pulumi secret stands in plain text in the state, in previews and in logs.",
        remedy="wrap it: pulumi.Output.secret(value), or take it from a secret of the stack's configuration",
        types=(),
        predicate=plaintext_secret,
        redacts_secrets=True,
    ),
)
