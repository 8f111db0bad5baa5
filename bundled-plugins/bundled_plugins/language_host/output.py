"""What a child prints, on its way to the engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BufferedReader
from queue import SimpleQueue
from typing import Literal

Stream = Literal["stdout", "stderr"]

_CHUNK_BYTES = 65536

#: A grandchild may hold the pipes open after the child's end.
_DRAIN_S = 2.0


class Output:
    """Chunks of a child's stdout and stderr in the order of their arrival, until closed."""

    def __init__(self) -> None:
        self._chunks: SimpleQueue[tuple[Stream, bytes] | None] = SimpleQueue()
        self._pumps: list[threading.Thread] = []

    def put(self, stream: Stream, chunk: bytes) -> None:
        self._chunks.put((stream, chunk))

    def pump(self, stream: Stream, pipe: BufferedReader) -> None:
        """Pass on what comes from ``pipe``, as it comes, until its end; in a separate thread, which closes it."""
        pump = threading.Thread(target=self._copy, args=(stream, pipe), name=f"pump-{stream}", daemon=True)
        self._pumps.append(pump)
        pump.start()

    def drain(self) -> None:
        """Wait, but not long, until the pumps have passed on all."""
        for pump in self._pumps:
            pump.join(_DRAIN_S)

    def close(self) -> None:
        """End the iteration after what was put before; may be called more than once."""
        self._chunks.put(None)

    def _copy(self, stream: Stream, pipe: BufferedReader) -> None:
        with pipe:
            while chunk := pipe.read1(_CHUNK_BYTES):
                self.put(stream, chunk)

    def __iter__(self) -> Iterator[tuple[Stream, bytes]]:
        while (chunk := self._chunks.get()) is not None:
            yield chunk
