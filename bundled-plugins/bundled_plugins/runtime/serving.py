"""The lifecycle of a plugin process: bind, print the port, serve, stop when the engine is gone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import NoReturn

import grpc

#: The engine sends and accepts messages of up to 400 MB; gRPC's own default is 4 MB.
MAX_MESSAGE_BYTES = 400 * 1024 * 1024

#: For servers and channels alike.
MESSAGE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)

#: The engine kills the process group 5 s after its SIGINT; all must be over before.
STOP_GRACE_S = 3.0

#: What calls have to answer, when ``on_stop`` has used up the grace time.
LAST_ANSWERS_S = 0.5


def engine_address(argv: Sequence[str]) -> str | None:
    """The engine's ``HOST:PORT``, always the last argument; ``None`` where an engine attaches later.

    Flags (``--logtostderr``, ``-v=N``, ``--tracing URL``) only ever come before it.
    """
    if len(argv) < 2 or argv[-1].startswith("-"):
        return None
    return argv[-1]


def new_server(workers: int = 64) -> tuple[grpc.Server, int]:
    """A server bound to a free port of 127.0.0.1, not started yet, and that port.

    ``workers`` must exceed the engine's ``--parallel`` (4 x CPUs): each long call holds one thread, and the
    engine's Cancel needs a free one.
    """
    server = grpc.server(
        ThreadPoolExecutor(max_workers=workers, thread_name_prefix="rpc"),
        options=(*MESSAGE_OPTIONS, ("grpc.so_reuseport", 0)),
    )
    return server, server.add_insecure_port("127.0.0.1:0")


def serve(
    register: Callable[[grpc.Server], None],
    workers: int = 64,
    on_stop: Callable[[], None] | None = None,
) -> NoReturn:
    """Serve until the engine is gone (end of stdin) or SIGINT/SIGTERM arrives, then end the process.

    ``register`` adds the servicers. The port is the first line written to stdout, after the server accepts.
    ``on_stop`` runs once at the end, before running calls are cut off: it must stop what would outlive the process
    (children, long waits) within ``STOP_GRACE_S``. Without an engine address among the arguments (attach mode)
    nobody holds stdin, so only signals end the process.

    Must be called in the main thread. Handlers that still run after the grace time are abandoned, never joined:
    a call that hangs cannot keep the process alive.
    """
    server, port = new_server(workers)
    register(server)
    wake = _wake_on_signals()
    server.start()
    print(port, flush=True)

    _wait_for_end(wake, watch_stdin=engine_address(sys.argv) is not None)

    deadline = time.monotonic() + STOP_GRACE_S
    if on_stop is not None:
        on_stop()
    grace = max(deadline - time.monotonic(), LAST_ANSWERS_S)
    server.stop(grace).wait(grace)
    _flush_and_exit()


def _wake_on_signals() -> int:
    """Descriptor that becomes readable on SIGINT or SIGTERM, which from now on do nothing else."""

    def noted(_signum: int, _frame: FrameType | None) -> None:
        """Needed only so that the default action does not run; the wakeup descriptor carries the signal."""

    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, noted)
    return readable


def _wait_for_end(wake: int, *, watch_stdin: bool) -> None:
    stdin = sys.__stdin__.fileno() if watch_stdin and sys.__stdin__ is not None else None
    watched = [wake] if stdin is None else [wake, stdin]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if wake in ready:
            return
        if not os.read(ready[0], 65536):
            return


def _flush_and_exit() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the engine has closed its end
            stream.flush()
    os._exit(0)
