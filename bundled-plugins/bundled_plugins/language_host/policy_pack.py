"""RunPlugin: policy packs written in Python, which the engine starts through the language host."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from io import BufferedReader

import grpc
from pulumi.runtime.proto import language_pb2

from bundled_plugins.language_host.interpreter import interpreter_for
from bundled_plugins.language_host.output import Output
from bundled_plugins.language_host.policy_proxy import PACK_START_TIMEOUT_S, PackError, PolicyProxy
from bundled_plugins.language_host.process import Child, Children, describe_exit

Responses = Iterator[language_pb2.RunPluginResponse]


class PolicyPack:
    """One policy pack: the proxy that the engine talks to, and the pack's process once the stack is known."""

    def __init__(self, request: language_pb2.RunPluginRequest, children: Children) -> None:
        """Raises ``OptionError`` when no interpreter can be had."""
        self._directory = request.info.program_directory
        self._pwd = request.pwd
        self._arguments = list(request.args)
        given = dict(variable.partition("=")[::2] for variable in request.env)
        # pulumi_policy writes its port into a buffer that it never flushes.
        self._environment = {**os.environ, **given, "PYTHONUNBUFFERED": "1"}
        self._interpreter = interpreter_for(request.info)
        self._children = children
        self._output = Output()
        self._lock = threading.Lock()
        self._stopped = False
        self._child: Child | None = None

    def run(self, context: grpc.ServicerContext) -> Responses:
        """What the engine reads: first the proxy's port, then all that the pack prints."""
        context.add_callback(self._output.close)
        proxy = PolicyProxy(self._start, self._end)
        try:
            yield language_pb2.RunPluginResponse(stdout=f"{proxy.port}\n".encode())
            yield from _responses(self._output)
            if self._child is not None and context.is_active():
                yield language_pb2.RunPluginResponse(exitcode=self._child.wait())
        finally:
            # The pack first: a proxy that waits for its port then knows that none will come.
            self._stop()
            proxy.stop()

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
        if self._child is not None:
            self._child.stop()
            self._children.discard(self._child)

    def _start(self, stack: dict[str, str]) -> int:
        with self._lock:
            if self._stopped:
                raise PackError(f"policy pack {self._directory} is not started: the engine has gone")
            self._child = child = self._launch(stack)
        self._children.add(child)
        port: Future[int] = Future()
        # stderr first: it holds the reason why a pack never writes its port.
        self._output.pump("stderr", child.stderr)
        threading.Thread(target=self._read_stdout, args=(child.stdout, port), name="pack", daemon=True).start()
        try:
            return port.result(PACK_START_TIMEOUT_S)
        except TimeoutError:
            raise PackError(
                f"policy pack {self._directory} does not serve: it has run for {PACK_START_TIMEOUT_S:.0f} s "
                "without writing its port; what it printed is shown above"
            ) from None

    def _launch(self, stack: dict[str, str]) -> Child:
        try:
            return Child(
                self._interpreter,
                ["module", "pulumi.policy", *self._arguments, self._directory],
                directory=self._pwd,
                environment={**self._environment, **stack},
                piped=True,
            )
        except OSError as error:
            raise PackError(f"cannot start policy pack {self._directory}: {error}") from error

    def _read_stdout(self, pipe: BufferedReader, port: Future[int]) -> None:
        """Find the port in the first line that is a number; show all other lines."""
        with pipe:
            for line in pipe:
                if not port.done() and line.strip().isdigit():
                    port.set_result(int(line))
                else:
                    self._output.put("stdout", line)
        self._output.drain()
        if not port.done():
            port.set_exception(PackError(f"{self._ended()} before it served; what it printed is shown above"))
        self._output.close()

    def _ended(self) -> str:
        assert self._child is not None
        return f"policy pack {self._directory} {describe_exit(self._child.wait())}"

    def _end(self) -> str | None:
        if self._child is None or self._child.running:
            return None
        return f"{self._ended()}; what it printed is shown above"


def _responses(output: Output) -> Responses:
    for stream, chunk in output:
        if stream == "stdout":
            yield language_pb2.RunPluginResponse(stdout=chunk)
        else:
            yield language_pb2.RunPluginResponse(stderr=chunk)
