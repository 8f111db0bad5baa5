"""Messages to the user through the engine."""

from __future__ import annotations

import contextlib
from typing import Final

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

_SEVERITY: Final = {
    "debug": engine_pb2.DEBUG,
    "info": engine_pb2.INFO,
    "warning": engine_pb2.WARNING,
    "error": engine_pb2.ERROR,
}


class EngineLog:
    """Client of the engine's log. Losing a message never fails an operation."""

    def __init__(self, address: str | None) -> None:
        self._stub = None
        if address:
            self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def write(self, urn: str, severity: str, message: str, *, ephemeral: bool = False) -> None:
        """Show ``message`` at the resource ``urn``; ephemeral = in its status column only."""
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(
            severity=_SEVERITY[severity], urn=urn, message=_utf8(message), ephemeral=ephemeral
        )
        with contextlib.suppress(grpc.RpcError):
            self._stub.Log(request, timeout=5)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
