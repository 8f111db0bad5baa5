"""``command:remote:CopyToRemote``: copies a file or a text to another machine."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Annotated, Any

import paramiko
from pydantic import AfterValidator, Field

from bundled_plugins.command import connection, sessions
from bundled_plugins.command.client import Running, running
from bundled_plugins.command.commands import InputDiffResource
from bundled_plugins.command.connection import Connection
from bundled_plugins.command.copying import Copier
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import Model
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Asset, Properties


def _copyable(source: Any) -> Any:
    if isinstance(source, Asset) and source.kind in ("path", "text", None):
        return source
    given = type(source).__name__ if not isinstance(source, Asset) else "Asset with a URL"
    raise ValueError(
        f"a source of type {given} is not supported by the bundled plugin for CopyToRemote; give a FileAsset or a "
        "StringAsset, or use the official plugin"
    )


class CopyInputs(Model):
    """Inputs of ``command:remote:CopyToRemote``."""

    connection: Connection
    source: Annotated[Any, AfterValidator(_copyable)]
    remote_path: Annotated[str, Field(min_length=1)]
    triggers: list[Any] | None = None


class CopyToRemote(InputDiffResource):
    """Copies when the source's hash or the path changes; never deletes, and never reads the remote file."""

    token = "command:remote:CopyToRemote"
    model = CopyInputs

    def complete(self, inputs: Properties) -> Properties:
        return inputs | {"connection": connection.with_defaults(inputs["connection"])}

    def preview_create(self, op: Operation, inputs: Properties) -> Properties:
        return inputs

    def create(self, op: Operation, inputs: Properties) -> tuple[str, Properties]:
        _copy(op, inputs)
        return secrets.token_hex(4), inputs

    def preview_update(
        self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties
    ) -> Properties:
        return news

    def update(self, op: Operation, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Properties:
        old, new = CopyInputs.parse(old_inputs), CopyInputs.parse(news)
        if (old.source.hash, old.remote_path) != (new.source.hash, new.remote_path):
            _copy(op, news)
        return news

    def delete(self, op: Operation, id: str, outputs: Properties, inputs: Properties) -> None:
        """The remote file stays."""


def _copy(op: Operation, inputs: Properties) -> None:
    parsed = CopyInputs.parse(inputs)
    if parsed.source.content is None:
        raise ProviderError("the source's contents did not arrive, only its hash: is `source` under ignoreChanges?")
    with running(op, inputs) as run, _sftp(run, parsed.connection) as sftp:
        copier = Copier(sftp, run.stop)
        if parsed.source.kind == "text":
            copier.text(parsed.source.content, parsed.remote_path)
        else:
            copier.file(parsed.source.content, parsed.remote_path)


@contextlib.contextmanager
def _sftp(run: Running, target: Connection) -> Iterator[paramiko.SFTPClient]:
    with sessions.channel(run, target) as channel, run.stop.closing(channel.close):
        try:
            channel.invoke_subsystem("sftp")
            sftp = paramiko.SFTPClient(channel)
        except sessions.BROKEN as error:
            raise ProviderError(
                f"failed to open an SFTP session on {target}: {sessions.reason(error)}; "
                "the server needs an sftp subsystem (Subsystem sftp internal-sftp)"
            ) from error
        yield sftp
