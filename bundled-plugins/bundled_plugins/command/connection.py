"""The ``connection`` input: where to log in and how."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.values import Secret, Unknown, Value

#: Filled in by check, in the proxy too.
DEFAULTS: Final = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}

_CREDENTIALS: Final = ("password", "privateKey", "privateKeyPassword")


class Endpoint(Model):
    """One SSH server and the way to log in to it."""

    model_config = ConfigDict(frozen=True)

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: str = "root"
    password: Annotated[str | None, Field(repr=False)] = None
    private_key: Annotated[str | None, Field(repr=False)] = None
    private_key_password: Annotated[str | None, Field(repr=False)] = None
    agent_socket_path: str | None = None
    host_key: str | None = None
    """``TYPE BASE64`` as in authorized_keys. None = any host key is accepted."""
    dial_error_limit: int = 10
    """Failed attempts that are allowed; negative = any number."""
    per_dial_timeout: Annotated[int, Field(ge=0)] = 15
    """Seconds for the TCP connection; 0 = no limit of ours."""

    @property
    def agent_socket(self) -> str | None:
        """The agent to ask: the stated one, else the user's."""
        return self.agent_socket_path or os.environ.get("SSH_AUTH_SOCK") or None

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.user}@{self.address}"


class Connection(Endpoint):
    """An SSH server, reached directly or through a bastion."""

    proxy: Endpoint | None = None

    @property
    def identity(self) -> str:
        """Equal for connections that one SSH connection can serve: all but the limits of dialling. Holds secrets."""
        limits = {"dial_error_limit", "per_dial_timeout"}
        proxy = "" if self.proxy is None else self.proxy.model_dump_json(exclude=limits)
        return self.model_dump_json(exclude={*limits, "proxy"}) + proxy


def checked(value: Value) -> Value:
    """The connection as check returns it: defaults filled in, a secret as a whole and in its credentials."""
    bare = value.value if isinstance(value, Secret) else value
    if not isinstance(bare, dict):
        return value
    filled = _filled(bare)
    if isinstance(filled.get("proxy"), dict):
        filled["proxy"] = _filled(filled["proxy"])
    return Secret(filled)


def _filled(endpoint: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in endpoint.items() if value is not None}
    for name in _CREDENTIALS:
        if name in given and not isinstance(given[name], Secret | Unknown):
            given[name] = Secret(given[name])
    return DEFAULTS | given
