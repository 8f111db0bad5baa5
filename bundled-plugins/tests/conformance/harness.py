"""A provider plugin driven as the engine drives it: a separate process, its port on stdout, calls over gRPC.

``running("bundled_plugins.docker", ...)`` starts the plugin and gives a :class:`Provider`, whose methods are the
protocol's calls with plain dicts (see :mod:`bundled_plugins.runtime.values` for secrets, unknowns and assets).
``Provider.resource`` gives a :class:`Managed` resource: ``up``, ``refresh`` and ``destroy`` move it the way the engine
does, keeping its state.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from bundled_plugins.runtime.values import Properties, Value, decode, encode
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc, status_pb2

from conformance import sdk

PLUGINS_ENV = "OVERLAB_TEST_PLUGINS"
"""A directory with ``pulumi-resource-NAME`` files that are tested instead of the bundled plugins."""

ROOT = Path(__file__).resolve().parents[2]
PYTHONPATH = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
START_LIMIT_S = 60
CALL_LIMIT_S = 300


def other_plugins() -> Path | None:
    """The directory that the environment names; None = the bundled plugins are tested."""
    named = os.environ.get(PLUGINS_ENV)
    return Path(named).absolute() if named else None


def plugin_command(module: str) -> list[str]:
    """How to start the plugin of a bundled module, or the other plugin of that name."""
    others = other_plugins()
    if others is None or not module.startswith("bundled_plugins."):
        return [sys.executable, "-m", module]
    file = others / f"pulumi-resource-{module.rsplit('.', 1)[-1]}"
    if not file.is_file():
        raise FileNotFoundError(f"{PLUGINS_ENV}: there is no {file}")
    return [str(file)]


@dataclass(frozen=True)
class Failure:
    """A refused input."""

    property: str
    reason: str


class Refused(Exception):
    """Check or CheckConfig answered failures."""

    def __init__(self, failures: list[Failure]) -> None:
        super().__init__("; ".join(f"{f.property}: {f.reason}" for f in failures))
        self.failures = failures

    def reason(self, property: str) -> str:
        """The reason given for a property; KeyError when it was not refused."""
        return {f.property: f.reason for f in self.failures}[property]


class CallFailed(Exception):
    """A call ended in an error. ``partial`` is set when the plugin reported that the object exists all the same."""

    def __init__(self, code: grpc.StatusCode, message: str, partial: Partial | None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.partial = partial


@dataclass(frozen=True)
class Partial:
    """Details of a half-done Create or Update (or Read)."""

    id: str
    outputs: Properties
    inputs: Properties
    reasons: list[str]


@dataclass(frozen=True)
class Diff:
    """Answer of Diff."""

    changed: bool
    paths: dict[str, str]
    """Detailed diff: property path -> kind name (``UPDATE_REPLACE``, ...)."""
    replaces: list[str]
    delete_before_replace: bool

    @property
    def replace(self) -> bool:
        return self.changed and bool(self.replaces or any(k.endswith("_REPLACE") for k in self.paths.values()))


@dataclass(frozen=True)
class ReadResult:
    """Answer of Read for an object that exists."""

    id: str
    outputs: Properties
    inputs: Properties


def started(*arguments: str) -> subprocess.Popen[bytes]:
    """A Python process of the plugins' project, connected by pipes."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe)


@dataclass(frozen=True)
class Message:
    """One message to the user."""

    severity: str
    urn: str
    text: str
    ephemeral: bool


class Engine(engine_pb2_grpc.EngineServicer):
    """The engine's side of the conversation: records what plugins log."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._server = grpc.server(ThreadPoolExecutor(max_workers=4))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol names it
        severity = engine_pb2.LogSeverity.Name(request.severity).lower()
        self.messages.append(Message(severity, request.urn, request.message, request.ephemeral))
        return empty_pb2.Empty()

    def stop(self) -> None:
        self._server.stop(1).wait(5)


class Provider:
    """A started provider plugin. Calls raise :class:`CallFailed`, checks :class:`Refused`."""

    def __init__(self, package: str, port: int, process: subprocess.Popen[str], engine: Engine) -> None:
        self.package = package
        self.process = process
        self.engine = engine
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{port}",
            options=[
                ("grpc.max_receive_message_length", 400 << 20),
                ("grpc.max_send_message_length", 400 << 20),
                # Errors travel in trailers, of which Go's client takes 16 MB and Python's 8 KB.
                ("grpc.max_metadata_size", 16 << 20),
                ("grpc.absolute_max_metadata_size", 16 << 20),
            ],
        )
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    # the provider itself

    def version(self) -> str:
        return str(self._call("GetPluginInfo", empty_pb2.Empty()).version)

    def check_config(self, news: Properties, olds: Properties | None = None) -> Properties:
        """Checked provider inputs (non-strings as JSON text, as SDKs send them)."""
        urn = self.urn(f"pulumi:providers:{self.package}", "provider")
        return self._checked(
            self._call("CheckConfig", provider_pb2.CheckRequest(urn=urn, olds=encode(olds or {}), news=encode(news)))
        )

    def diff_config(self, old_inputs: Properties, news: Properties) -> Diff:
        request = provider_pb2.DiffRequest(
            urn=self.urn(f"pulumi:providers:{self.package}", "provider"),
            olds=encode(old_inputs),
            old_inputs=encode(old_inputs),
            news=encode(news),
        )
        return _diff(self._call("DiffConfig", request))

    def configure(self, args: Properties | None = None) -> None:
        """Configure with checked inputs; flags as the engine sends them."""
        args = args or {}
        variables = {f"{self.package}:config:{k}": v for k, v in args.items() if isinstance(v, str)}
        self._call(
            "Configure",
            provider_pb2.ConfigureRequest(
                args=encode(args),
                variables=variables,
                acceptSecrets=True,
                acceptResources=True,
                sends_old_inputs=True,
                sends_old_inputs_to_delete=True,
            ),
        )

    def cancel(self) -> None:
        self._call("Cancel", empty_pb2.Empty())

    # resources

    @staticmethod
    def urn(token: str, name: str) -> str:
        return f"urn:pulumi:test::conformance::{token}::{name}"

    def check(self, token: str, name: str, news: Properties, olds: Properties | None = None) -> Properties:
        """Inputs with defaults. ``olds`` are the old inputs; none on create and replace."""
        seed = (name.encode() * 32)[:32]
        response = self._resource_call("Check", token, name, olds=olds or {}, news=news, randomSeed=seed)
        return self._checked(response)

    def diff(self, token: str, name: str, id: str, olds: Properties, old_inputs: Properties, news: Properties) -> Diff:
        return _diff(self._resource_call("Diff", token, name, id=id, olds=olds, old_inputs=old_inputs, news=news))

    def preview(self, token: str, name: str, inputs: Properties) -> Properties:
        """Outputs that a preview of the creation promises."""
        return decode(self._resource_call("Create", token, name, properties=inputs, preview=True).properties)

    def create(self, token: str, name: str, inputs: Properties, timeout: float = 0) -> tuple[str, Properties]:
        """(id, outputs)."""
        response = self._resource_call("Create", token, name, properties=inputs, timeout=timeout)
        return response.id, decode(response.properties)

    def read(
        self, token: str, name: str, id: str, outputs: Properties | None = None, inputs: Properties | None = None
    ) -> ReadResult | None:
        """The live object, None when gone; without outputs and inputs an import."""
        response = self._resource_call("Read", token, name, id=id, properties=outputs or {}, inputs=inputs or {})
        if not response.id:
            return None
        return ReadResult(response.id, decode(response.properties), decode(response.inputs))

    def update(
        self,
        token: str,
        name: str,
        id: str,
        olds: Properties,
        old_inputs: Properties,
        news: Properties,
        **options: Any,
    ) -> Properties:
        """The new outputs. ``options``: ``timeout``, ``preview``."""
        fields = {"id": id, "olds": olds, "old_inputs": old_inputs, "news": news} | options
        return decode(self._resource_call("Update", token, name, **fields).properties)

    def delete(
        self, token: str, name: str, id: str, outputs: Properties, inputs: Properties, timeout: float = 0
    ) -> None:
        self._resource_call("Delete", token, name, id=id, properties=outputs, old_inputs=inputs, timeout=timeout)

    def invoke(self, token: str, args: Properties) -> Properties:
        response = self._call("Invoke", provider_pb2.InvokeRequest(tok=token, args=encode(args)))
        if response.failures:
            raise Refused([Failure(f.property, f.reason) for f in response.failures])
        return decode(getattr(response, "return"))

    def resource(self, token: str, name: str) -> Managed:
        """A resource that does not exist yet."""
        return Managed(self, token, name)

    # plumbing

    def _resource_call(self, method: str, token: str, name: str, **fields: Any) -> Any:
        """A call about one resource; fields that are objects go as structs."""
        encoded = {key: encode(value) if isinstance(value, dict) else value for key, value in fields.items()}
        request = getattr(provider_pb2, f"{method}Request")
        return self._call(method, request(urn=self.urn(token, name), name=name, type=token, **encoded))

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=CALL_LIMIT_S)
        except grpc.RpcError as error:
            raise CallFailed(error.code(), error.details() or "", _partial(error)) from None

    @staticmethod
    def _checked(response: Any) -> Properties:
        if response.failures:
            raise Refused([Failure(f.property, f.reason) for f in response.failures])
        return decode(response.inputs)

    def close(self) -> int:
        """End the process as the engine does; its exit code. Raises when it outlives the engine's patience."""
        if self.process.poll() is None:
            self._stub.Cancel(empty_pb2.Empty(), timeout=5)
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)
            raise AssertionError(f"the {self.package} plugin did not end within 5 s of SIGINT") from None
        finally:
            self._channel.close()


@dataclass
class Managed:
    """One resource and its state, moved as the engine moves it."""

    provider: Provider
    token: str
    name: str
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    last_diff: Diff | None = None
    initialized: bool = True
    """False after a half-done Create or Update: the next ``up`` updates even without a difference."""

    def __getitem__(self, key: str) -> Value:
        return self.outputs[key]

    def up(self, program: Mapping[str, Value], timeout: float = 0) -> str:
        """Bring it to the program's inputs: "create", "same", "update" or "replace"."""
        if not self.id:
            self.inputs = self.provider.check(self.token, self.name, dict(program))
            self._create(timeout)
            return "create"
        news = self.provider.check(self.token, self.name, dict(program), self.inputs)
        diff = self.provider.diff(self.token, self.name, self.id, self.outputs, self.inputs, news)
        self.last_diff = diff
        if diff.replace:
            return self._replace(dict(program), diff, timeout)
        if not diff.changed and self.initialized:
            self.inputs = news
            return "same"
        self._update(news, timeout)
        return "update"

    def plan(self, program: Mapping[str, Value]) -> Diff:
        """What an ``up`` would find different."""
        news = self.provider.check(self.token, self.name, dict(program), self.inputs)
        return self.provider.diff(self.token, self.name, self.id, self.outputs, self.inputs, news)

    def refresh(self) -> bool:
        """Take over the live state; False when the object is gone (the state is then empty)."""
        live = self.provider.read(self.token, self.name, self.id, self.outputs, self.inputs)
        if live is None:
            self._forget()
            return False
        self.id, self.outputs, self.inputs = live.id, live.outputs, live.inputs
        self._fits_the_sdk()
        self.initialized = True
        return True

    def destroy(self, timeout: float = 0) -> None:
        """Delete it; nothing happens when it does not exist."""
        if self.id:
            self.provider.delete(self.token, self.name, self.id, self.outputs, self.inputs, timeout)
            self._forget()

    def _create(self, timeout: float) -> None:
        try:
            self.id, self.outputs = self.provider.create(self.token, self.name, self.inputs, timeout)
            self._fits_the_sdk()
        except CallFailed as failure:
            if failure.partial is not None:
                self.id, self.outputs, self.initialized = failure.partial.id, failure.partial.outputs, False
            raise

    def _update(self, news: Properties, timeout: float) -> None:
        try:
            self.outputs = self.provider.update(
                self.token, self.name, self.id, self.outputs, self.inputs, news, timeout=timeout
            )
            self.inputs, self.initialized = news, True
            self._fits_the_sdk()
        except CallFailed as failure:
            if failure.partial is not None:
                self.outputs, self.initialized = failure.partial.outputs, False
            raise

    def _replace(self, program: Properties, diff: Diff, timeout: float) -> str:
        old_id, old_outputs, old_inputs = self.id, self.outputs, self.inputs
        if diff.delete_before_replace:
            self.destroy(timeout)
        self.inputs = self.provider.check(self.token, self.name, program)
        self._create(timeout)
        if not diff.delete_before_replace:
            self.provider.delete(self.token, self.name, old_id, old_outputs, old_inputs, timeout)
        return "replace"

    def _fits_the_sdk(self) -> None:
        """A program could read every output."""
        wrong = sdk.mismatches(self.outputs, sdk.outputs(self.token))
        assert not wrong, f"{self.token}: the SDK cannot read these outputs: {wrong}"

    def _forget(self) -> None:
        self.id, self.inputs, self.outputs, self.initialized = "", {}, {}, True


@contextmanager
def running(
    module: str,
    config: Properties | None = None,
    *,
    configure: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    prefix: tuple[str, ...] = (),
) -> Iterator[Provider]:
    """The plugin of the module, started; checked and configured with ``config`` unless ``configure`` is False.

    ``env`` is laid over this process's environment; ``prefix`` goes before the command
    (``("ip", "netns", "exec", NAME)``).
    The plugin's stderr is shown when the start fails and echoed to the test's stderr at the end.
    """
    engine = Engine()
    process = subprocess.Popen(
        [*prefix, *plugin_command(module), engine.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd or ROOT,
        env={**os.environ, "PYTHONPATH": PYTHONPATH, **(env or {})},
        start_new_session=True,
    )
    errors = _Drain(process)
    try:
        provider = Provider(module.rsplit(".", 1)[-1], _port(process, errors), process, engine)
        try:
            if configure:
                provider.configure(provider.check_config(config or {}))
            yield provider
        finally:
            provider.close()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
        errors.join()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        engine.stop()
        sys.stderr.write(errors.text())


def until(condition: Callable[[], bool], limit_s: float, seen: Callable[[], str]) -> None:
    """Wait until ``condition`` holds; fail after ``limit_s`` with what was ``seen`` last."""
    start = time.monotonic()
    while not condition():
        elapsed = time.monotonic() - start
        if elapsed > limit_s:
            raise AssertionError(f"not within {elapsed:.1f}/{limit_s:.0f} s: {seen()}")
        time.sleep(0.02)


class _Drain(threading.Thread):
    """Collects a process's stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self._stream = process.stderr
        self._lines: list[str] = []
        self.start()

    def run(self) -> None:
        if self._stream is not None:
            for line in self._stream:
                self._lines.append(line)

    def text(self) -> str:
        return "".join(self._lines)

    def join(self, timeout: float | None = 5) -> None:
        super().join(timeout)


def _port(process: subprocess.Popen[str], errors: _Drain) -> int:
    """The port from the first line of stdout."""
    lines: queue.Queue[str] = queue.Queue()
    stdout = process.stdout
    if stdout is None:
        raise AssertionError("the plugin was started without a pipe for its stdout")
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=START_LIMIT_S)
    except queue.Empty:
        raise AssertionError(f"the plugin printed no port within {START_LIMIT_S} s; stderr:\n{errors.text()}") from None
    if not line.strip().isdigit():
        process.wait(5)
        errors.join()
        raise AssertionError(f"the plugin's first line is {line!r}, not a port; stderr:\n{errors.text()}")
    return int(line)


def _diff(response: Any) -> Diff:
    kind = provider_pb2.PropertyDiff.Kind
    return Diff(
        changed=response.changes == provider_pb2.DiffResponse.DIFF_SOME,
        paths={path: kind.Name(diff.kind) for path, diff in response.detailedDiff.items()},
        replaces=list(response.replaces),
        delete_before_replace=response.deleteBeforeReplace,
    )


def _partial(error: Any) -> Partial | None:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                failed = provider_pb2.ErrorResourceInitFailed()
                if detail.Unpack(failed):
                    return Partial(failed.id, decode(failed.properties), decode(failed.inputs), list(failed.reasons))
    return None
