"""What a command printed: captured in full, and shown line by line while it runs."""

from __future__ import annotations

import codecs
import contextlib
import queue
import threading
from typing import Final, Literal

from bundled_plugins.command.masking import Mask
from bundled_plugins.runtime.resource import LogFunction

Stream = Literal["stdout", "stderr"]
Logging = Literal["stdout", "stderr", "stdoutAndStderr", "none"]

#: Of what a failed command printed, so much of the end is quoted in the error.
QUOTED_BYTES: Final = 64 * 1024

#: Lines waiting to be shown; what comes faster than the engine takes it is not shown (it is captured all the same).
_BACKLOG: Final = 1000
_FLUSH_S: Final = 2.0


class Capture:
    """Both streams of one command. ``feed`` is called by one thread."""

    def __init__(self, display: Display | None = None) -> None:
        self._display = display
        self._streams: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
        self._both: list[bytes] = []

    def feed(self, stream: Stream, data: bytes) -> None:
        self._streams[stream].append(data)
        self._both.append(data)
        if self._display is not None:
            self._display.feed(stream, data)

    @property
    def stdout(self) -> str:
        """As text, without one trailing newline."""
        return _text(self._streams["stdout"])

    @property
    def stderr(self) -> str:
        """As text, without one trailing newline."""
        return _text(self._streams["stderr"])

    def quoted(self) -> str:
        """Both streams as they came, for an error; only the end of a long output."""
        data = b"".join(self._both)
        text = data[-QUOTED_BYTES:].decode("utf-8", "replace")
        left_out = len(data) - QUOTED_BYTES
        return f"[{left_out} bytes left out]...{text}" if left_out > 0 else text


def _text(chunks: list[bytes]) -> str:
    return b"".join(chunks).decode("utf-8", "replace").removesuffix("\n")


class Display:
    """Shows the lines of a running command in the resource's status column.

    Lines of any length; the command never waits for the display.
    """

    def __init__(self, log: LogFunction, mask: Mask, logging: Logging) -> None:
        self._log = log
        self._mask = mask
        self._shown: dict[Stream, _Lines] = {}
        if logging in ("stdout", "stdoutAndStderr"):
            self._shown["stdout"] = _Lines()
        if logging in ("stderr", "stdoutAndStderr"):
            self._shown["stderr"] = _Lines()
        self._waiting: queue.Queue[str | None] = queue.Queue(_BACKLOG)
        self._thread: threading.Thread | None = None

    def feed(self, stream: Stream, data: bytes) -> None:
        lines = self._shown.get(stream)
        if lines is not None:
            for line in lines.feed(data):
                self._show(line)

    def close(self) -> None:
        """Show what is left, waiting for it a short time at most."""
        for lines in self._shown.values():
            if rest := lines.rest():
                self._show(rest)
        if self._thread is not None:
            try:
                self._waiting.put(None, timeout=_FLUSH_S)
            except queue.Full:
                return
            self._thread.join(_FLUSH_S)

    def _show(self, line: str) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._send, name="display", daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Full):  # the lines that wait matter no less than this one
            self._waiting.put_nowait(line)

    def _send(self) -> None:
        while (line := self._waiting.get()) is not None:
            self._log("info", self._mask(line), True)


class _Lines:
    """Cuts a stream of bytes into lines of text."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial: list[str] = []

    def feed(self, data: bytes) -> list[str]:
        first, *others = self._decoder.decode(data).split("\n")
        self._partial.append(first)
        if not others:
            return []
        complete = ["".join(self._partial), *others[:-1]]
        self._partial = [others[-1]]
        return complete

    def rest(self) -> str:
        return "".join(self._partial) + self._decoder.decode(b"", final=True)


_ESCAPES: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def go_quote(text: str) -> str:
    """The text as Go's ``%q`` prints it."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
