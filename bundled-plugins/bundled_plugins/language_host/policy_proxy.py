"""The Analyzer between the engine and a policy pack.

A pack reads its project, stack and config from its environment only, and the engine sends them by a call after the
pack has started. So the engine talks to this proxy, which starts the pack once it has them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import grpc
from pulumi.runtime.proto import analyzer_pb2

from bundled_plugins.runtime.serving import MESSAGE_OPTIONS, new_server

_SERVICE = analyzer_pb2.DESCRIPTOR.services_by_name["Analyzer"]

#: Importing a large pack on a slow machine takes tens of seconds.
PACK_START_TIMEOUT_S = 300.0

_LAST_ANSWERS_S = 2.0


class PackError(Exception):
    """The pack does not serve; the text holds the reason."""


#: Starts the pack with these variables added to its environment and gives the port it serves on. Raises ``PackError``.
StartPack = Callable[[dict[str, str]], int]

#: How the pack ended, ``None`` while it runs.
PackEnd = Callable[[], str | None]


class PolicyProxy:
    """Serves the engine at ``port`` from the start, starts the pack on ConfigureStack, forwards the rest as raw bytes.

    Any call that needs the pack starts it: an engine that sends no ConfigureStack gets a pack without a stack.
    """

    def __init__(self, start_pack: StartPack, pack_end: PackEnd) -> None:
        self._start_pack = start_pack
        self._pack_end = pack_end
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._server, self.port = new_server()
        self._server.add_generic_rpc_handlers((self._handler(),))
        self._server.start()

    def stop(self) -> None:
        """Answers under way are sent first, within a limit: one may hold the reason for the end."""
        self._server.stop(_LAST_ANSWERS_S).wait()
        if self._channel is not None:
            self._channel.close()

    def _handler(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        answers: dict[str, Callable[[bytes, grpc.ServicerContext], bytes]] = {
            method.name: partial(self._forward, _path(method.name)) for method in _SERVICE.methods
        }
        answers |= {"Handshake": _nothing, "ConfigureStack": self._configure_stack, "Cancel": self._cancel}
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(answer, _unchanged, _unchanged)
            for name, answer in answers.items()
        }
        return grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers)

    def _cancel(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return b"" if self._channel is None else self._forward(_path("Cancel"), request, context, unimplemented=b"")

    def _configure_stack(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        stack = analyzer_pb2.AnalyzerStackConfigureRequest.FromString(request)
        self._pack(stack_environment(stack), context)
        # Packs of this age learn all from their environment and do not implement the call.
        return self._forward(_path("ConfigureStack"), request, context, unimplemented=b"")

    def _forward(
        self, method: str, request: bytes, context: grpc.ServicerContext, *, unimplemented: bytes | None = None
    ) -> bytes:
        call: grpc.Future[bytes] = self._pack({}, context).unary_unary(method, _unchanged, _unchanged).future(request)
        context.add_callback(lambda: _give_up(call))
        try:
            return call.result()
        except grpc.FutureCancelledError:
            context.abort(grpc.StatusCode.CANCELLED, "cancelled by the engine")
        except grpc.RpcError as error:
            if unimplemented is not None and error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return unimplemented
            context.abort(error.code(), self._pack_end() or error.details() or "")

    def _pack(self, environment: dict[str, str], context: grpc.ServicerContext) -> grpc.Channel:
        with self._lock:
            if self._channel is None:
                try:
                    port = self._start_pack(environment)
                except PackError as error:
                    _refuse(context, str(error))
                self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=MESSAGE_OPTIONS)
            return self._channel


def stack_environment(stack: analyzer_pb2.AnalyzerStackConfigureRequest) -> dict[str, str]:
    """What ``pulumi.policy`` reads at its start, config with its secrets in clear."""
    environment = {
        "PULUMI_PROJECT": stack.project,
        "PULUMI_STACK": stack.stack,
        "PULUMI_DRY_RUN": "true" if stack.dry_run else "false",
        "PULUMI_CONFIG": json.dumps(dict(stack.config)),
    }
    if stack.organization:
        environment["PULUMI_ORGANIZATION"] = stack.organization
    return environment


def _path(method: str) -> str:
    return f"/{_SERVICE.full_name}/{method}"


def _nothing(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    """An empty message, of any type."""
    return b""


def _give_up(call: grpc.Future[bytes]) -> None:
    call.cancel()


def _unchanged(message: bytes) -> bytes:
    return message


def _refuse(context: grpc.ServicerContext, text: str) -> NoReturn:
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
    raise AssertionError("abort always raises")
