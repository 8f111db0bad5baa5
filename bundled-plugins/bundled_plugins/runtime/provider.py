"""The engine's ResourceProvider protocol over a :class:`~bundled_plugins.runtime.resource.Plugin`."""
# ruff: noqa: N802  # the calls have the protocol's names

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from bundled_plugins.runtime.answers import (
    autoname,
    check_response,
    diff_response,
    keep_secrets,
    transportable,
)
from bundled_plugins.runtime.engine_log import EngineLog
from bundled_plugins.runtime.errors import PartialFailure, ProviderError
from bundled_plugins.runtime.resource import Operation, Plugin, Resource
from bundled_plugins.runtime.serving import engine_address, serve
from bundled_plugins.runtime.values import Properties, decode, encode, unwrap

WORKERS = 1024
"""More than the engine's parallelism (4 x CPUs), so that Cancel never waits behind long operations.

A thread is started only when all others are busy.
"""


def main(plugin: Plugin) -> None:
    """Serve the plugin until the engine ends it."""
    servicer = ProviderServicer(plugin, EngineLog(engine_address(sys.argv)))
    serve(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server),
        WORKERS,
        on_stop=servicer.stop,
    )


class ProviderServicer(provider_pb2_grpc.ResourceProviderServicer):
    """One plugin process: configured once, then called concurrently."""

    def __init__(self, plugin: Plugin, log: EngineLog) -> None:
        self._plugin = plugin
        self._log = log
        self._resources: dict[str, Resource] = {kind.token: kind() for kind in plugin.resources}
        self._client: Any = None
        self._cancelled = threading.Event()

    # the provider itself

    def Attach(self, request: Any, context: Any) -> Any:
        """An engine attaches to a plugin that it did not start."""
        self._log = EngineLog(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self._plugin.version)

    def CheckConfig(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            checked = self._plugin.check_config(decode(request.olds), decode(request.news))
            return check_response(checked.inputs, checked.failures)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            old, new = decode(request.old_inputs), decode(request.news)
            keys = {key for key in {*old, *new} if key != "version" and not key.startswith("__")}
            changed = sorted(key for key in keys if unwrap(old.get(key)) != unwrap(new.get(key)))
            return provider_pb2.DiffResponse(
                changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
                diffs=changed,
            )

    def Configure(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            self._client = self._plugin.configure(decode(request.args), dict(request.variables))
            return provider_pb2.ConfigureResponse(
                acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
            )

    def Cancel(self, request: Any, context: Any) -> Any:
        self.stop()
        return empty_pb2.Empty()

    def stop(self) -> None:
        """Cancel every running operation, and what it waits for in the plugin."""
        self._cancelled.set()
        try:
            self._plugin.cancel(self._client)
        except Exception:  # noqa: BLE001  # the engine must get its answer, and the process must end
            traceback.print_exc()

    # resources

    def Check(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            resource = self._resource(request)
            operation = self._operation(request, preview=True)
            checked = resource.check(operation, decode(request.olds), decode(request.news), autoname(request))
            return check_response(checked.inputs, checked.failures)

    def Diff(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            difference = self._resource(request).diff(
                self._operation(request, preview=True),
                request.id,
                decode(request.olds),
                decode(request.old_inputs),
                decode(request.news),
            )
            return diff_response(difference)

    def Create(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            resource = self._resource(request)
            inputs = decode(request.properties)
            operation = self._operation(request, preview=request.preview)
            if request.preview:
                outputs = resource.preview_create(operation, inputs)
                return provider_pb2.CreateResponse(properties=encode(keep_secrets(inputs, outputs)))
            with self._partial(context, inputs):
                id_, outputs = resource.create(operation, inputs)
            return provider_pb2.CreateResponse(id=id_, properties=encode(keep_secrets(inputs, outputs)))

    def Read(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            inputs = decode(request.inputs)
            live = self._resource(request).read(
                self._operation(request, preview=False), request.id, decode(request.properties), inputs
            )
            if live is None:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=live.id,
                properties=encode(keep_secrets(inputs, live.outputs)),
                inputs=encode(keep_secrets(inputs, live.inputs)),
            )

    def Update(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            resource = self._resource(request)
            olds, old_inputs, news = decode(request.olds), decode(request.old_inputs), decode(request.news)
            operation = self._operation(request, preview=request.preview)
            if request.preview:
                outputs = resource.preview_update(operation, request.id, olds, old_inputs, news)
            else:
                with self._partial(context, news):
                    outputs = resource.update(operation, request.id, olds, old_inputs, news)
            return provider_pb2.UpdateResponse(properties=encode(keep_secrets(news, outputs)))

    def Delete(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            self._resource(request).delete(
                self._operation(request, preview=False),
                request.id,
                decode(request.properties),
                decode(request.old_inputs),
            )
            return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        with self._errors(context):
            raise ProviderError(self._unsupported("function", request.tok, {}))

    # plumbing

    def _resource(self, request: Any) -> Resource:
        token = request.type or [*request.urn.split("::"), "", "", ""][2].rsplit("$", 1)[-1]
        resource = self._resources.get(token)
        if resource is None:
            raise ProviderError(self._unsupported("resource type", token, self._resources))
        return resource

    def _unsupported(self, what: str, token: str, supported: dict[str, Any]) -> str:
        return (
            f"the {what} {token} is not supported by the bundled {self._plugin.name} plugin "
            f"(it has {', '.join(sorted(supported)) or 'none'}); use the official plugin for it"
        )

    def _operation(self, request: Any, *, preview: bool) -> Operation:
        urn = request.urn
        return Operation(
            urn=urn,
            name=urn.rsplit("::", 1)[-1],
            preview=preview,
            provider=self._client,
            log=lambda severity, message, ephemeral: self._log.write(urn, severity, message, ephemeral=ephemeral),
            cancelled=self._cancelled,
            timeout_s=getattr(request, "timeout", 0.0),
        )

    @contextmanager
    def _errors(self, context: Any) -> Iterator[None]:
        try:
            yield
        except ProviderError as error:
            _abort(context, str(error))
        except Exception as error:
            # context.abort() itself raises a bare Exception, which must pass.
            if context.code() is not None:
                raise
            traceback.print_exc()
            _abort(
                context, f"internal error in the bundled {self._plugin.name} plugin: {type(error).__name__}: {error}"
            )

    @contextmanager
    def _partial(self, context: Any, inputs: Properties) -> Iterator[None]:
        try:
            yield
        except PartialFailure as failure:
            detail = any_pb2.Any()
            detail.Pack(
                provider_pb2.ErrorResourceInitFailed(
                    id=failure.id,
                    properties=encode(keep_secrets(inputs, failure.outputs)),
                    reasons=[transportable(reason) for reason in failure.reasons],
                    inputs=encode(inputs),
                )
            )
            text = transportable(str(failure))
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=text, details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            _abort(context, text)


def _abort(context: Any, text: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, transportable(text))
    raise AssertionError("abort returned")
