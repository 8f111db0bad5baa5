"""How a plugin process starts and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from bundled_plugins.runtime.serving import MESSAGE_OPTIONS, engine_address

from conformance.harness import started

pytestmark = pytest.mark.bundled_only("internals")

#: Serves /test/echo, which answers its request, and /test/hang, which never answers.
PLUGIN = """
import sys, time
import grpc
from bundled_plugins.runtime.serving import serve

def hang(request, context):
    print("hanging", file=sys.stderr, flush=True)
    while True:
        time.sleep(3600)

def register(server):
    unary = grpc.unary_unary_rpc_method_handler
    handlers = {"echo": unary(lambda request, context: request), "hang": unary(hang)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))

serve(register, workers=2, on_stop=lambda: print("stopping", file=sys.stderr, flush=True))
"""


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], grpc.Channel]]:
    with started("-c", PLUGIN, *arguments) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=MESSAGE_OPTIONS) as channel:
                yield process, channel
        finally:
            process.kill()


def ended(process: subprocess.Popen[bytes], limit_s: float) -> str:
    """The process ends by itself with exit code 0; what it wrote to stderr."""
    start = time.monotonic()
    assert process.wait(limit_s) == 0, f"after {time.monotonic() - start:.1f} s"
    assert process.stderr is not None
    return process.stderr.read().decode()


def call(channel: grpc.Channel, method: str, request: bytes) -> grpc.Future[bytes]:
    return channel.unary_unary(f"/test/{method}", _same, _same).future(request)


def _same(message: bytes) -> bytes:
    return message


def test_messages_beyond_the_default_limit_pass() -> None:
    with served("127.0.0.1:1") as (_, channel):
        message = os.urandom(1024) * 6000
        assert call(channel, "echo", message).result(20) == message


def test_end_of_stdin_ends_the_process_in_spite_of_a_hanging_call() -> None:
    with served("127.0.0.1:1") as (process, channel):
        hanging = call(channel, "hang", b"")
        assert process.stderr is not None
        assert process.stderr.readline() == b"hanging\n"
        assert process.stdin is not None
        process.stdin.write(b"noise is not the end")
        process.stdin.flush()
        assert call(channel, "echo", b"still here").result(5) == b"still here"

        process.stdin.close()

        assert ended(process, 20) == "stopping\n"
        with pytest.raises(grpc.RpcError):
            hanging.result(5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signal_ends_the_process_without_a_traceback(number: signal.Signals) -> None:
    with served("127.0.0.1:1") as (process, _):
        process.send_signal(number)
        assert ended(process, 10) == "stopping\n"


def test_attached_plugin_does_not_mind_its_stdin() -> None:
    with served() as (process, channel):
        assert process.stdin is not None
        process.stdin.close()
        for _ in range(5):
            assert call(channel, "echo", b"alive").result(5) == b"alive"
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        ended(process, 10)


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        (["plugin", "127.0.0.1:77"], "127.0.0.1:77"),
        (["plugin", "--logtostderr", "-v=9", "--tracing", "file:/tmp/t", "127.0.0.1:77"], "127.0.0.1:77"),
        (["plugin"], None),
        (["plugin", "--logtostderr"], None),
    ],
)
def test_engine_address_is_the_last_argument(arguments: list[str], address: str | None) -> None:
    assert engine_address(arguments) == address
