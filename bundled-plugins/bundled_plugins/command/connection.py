"""The ``connection`` input: where to log in and how."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.values import Secret, Unknown, Value

#: Filled in by check.
DEFAULTS: Final = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}

CREDENTIALS: Final = ("privateKey", "privateKeyPassword")


class Connection(Model):
    """One SSH server and how to log in to it."""

    model_config = ConfigDict(frozen=True)
    unsupported = ("agentSocketPath", "password", "proxy")

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: str = "root"
    private_key: Annotated[str | None, Field(repr=False)] = None
    private_key_password: Annotated[str | None, Field(repr=False)] = None
    host_key: str | None = None
    """``TYPE BASE64`` as in authorized_keys. None = any host key is accepted."""
    dial_error_limit: int = 10
    """Failed attempts that are allowed; negative = any number."""
    per_dial_timeout: Annotated[int, Field(ge=0)] = 15
    """Seconds for the TCP connection; 0 = no limit of ours."""

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def identity(self) -> str:
        """Equal for connections that one SSH connection can serve: all but the limits of dialing. Holds secrets."""
        return self.model_dump_json(exclude={"dial_error_limit", "per_dial_timeout"})

    def __str__(self) -> str:
        return f"{self.user}@{self.address}"


def with_defaults(value: Value) -> Value:
    """The connection as check returns it: defaults filled in, a secret as a whole and in its credentials."""
    plain = value.value if isinstance(value, Secret) else value
    if not isinstance(plain, dict):
        return value
    given = {key: item for key, item in plain.items() if item is not None}
    for name in CREDENTIALS:
        if name in given and not isinstance(given[name], Secret | Unknown):
            given[name] = Secret(given[name])
    return Secret(DEFAULTS | given)
