"""A session on a node: it prints its facts, then runs the script that it is sent."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from components import checks
from components.checks import EXTERNAL
from overlab.core.process import end_child

OPEN_LIMIT_S = 120
_FACTS_END = '{"facts": "end"}'
_SCRIPT_END = "# overlab-script-end"
_LAST_OUTPUT_LIMIT_S = 10


_RUN_SCRIPT = f"""\
echo '{_FACTS_END}'
script=$(mktemp) || exit 70
trap 'rm -f "$script"' EXIT
cat >"$script"
[ "$(tail -n 1 "$script")" = '{_SCRIPT_END}' ] || exit 0
sh "$script"
"""


def session_command(facts_script: str) -> list[str]:
    """What a session runs. A script that arrives incomplete is not run."""
    return ["sh", "-c", f"{facts_script}{_RUN_SCRIPT}", "overlab-test"]


@dataclass(frozen=True)
class ProcessResult:
    """How a script ended. ``code`` is None where it was stopped at its limit."""

    code: int | None
    stdout: str
    stderr: str


@dataclass
class Session:
    """A command that runs :func:`session_command` somewhere, over ssh for one. One thread at a time."""

    node: str
    command: Sequence[str]
    facts: checks.Facts = field(default_factory=checks.Facts)
    problem: str = ""
    """Why the node was not reached; empty where it was."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def unreached(self) -> str:
        """``problem`` in a sentence."""
        where = "the underlay cannot be entered" if self.node == EXTERNAL else f"{self.node} was not reached"
        return f"{where}: {self.problem}" if self.problem else ""

    def open(self, limit_s: float = OPEN_LIMIT_S) -> None:
        """Connect, and read the node's facts. What goes wrong is in ``problem``."""
        try:
            self._process = _start(self.command)
        except OSError as error:
            self.problem = f"{self.command[0]}: {error}"
            return
        timer = threading.Timer(limit_s, self._give_up, [f"it was reached, but reported nothing within {limit_s:g} s"])
        timer.start()
        try:
            self._read_facts(self._process)
        finally:
            timer.cancel()

    def _give_up(self, reason: str) -> None:
        self.problem = reason
        self.close()

    def _read_facts(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        lines: list[str] = []
        while line := _line(process.stdout):
            text = line.decode(errors="replace").rstrip("\n")
            if text == _FACTS_END:
                self.facts = checks.parse_facts(lines)
                return
            lines.append(text)
        ended = _finish(process, b"", _LAST_OUTPUT_LIMIT_S)
        self.problem = self.problem or ended.stderr.strip() or f"the connection ended with exit code {ended.code}"

    def run(self, script: str, limit_s: float) -> ProcessResult:
        """Run a script there, to its end or the limit, and close the session."""
        assert self._process is not None
        return _finish(self._process, f"{script}\n{_SCRIPT_END}\n".encode(), limit_s)

    def close(self) -> None:
        """End the connection, if it is open; threads that wait for it continue. From any thread."""
        if self._process is not None:
            end_child(self._process)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # Unbuffered: what is read line by line must leave nothing behind for communicate().
    pipe = subprocess.PIPE
    return subprocess.Popen(list(command), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)


def _line(stream: IO[bytes]) -> bytes:
    """The next line; empty at the end, also where another thread closed the stream."""
    try:
        return stream.readline()
    except ValueError:
        return b""


def _finish(process: subprocess.Popen[bytes], data: bytes, limit_s: float) -> ProcessResult:
    """Feed, and read everything; what came before a limit is kept."""
    code: int | None
    try:
        out, err = process.communicate(data, timeout=limit_s)
        code = process.returncode
    except subprocess.TimeoutExpired as expired:
        end_child(process)
        out, err, code = expired.stdout or b"", expired.stderr or b"", None
    except ValueError:  # closed meanwhile, by another thread
        out, err, code = b"", b"", None
    return ProcessResult(code, out.decode(errors="replace"), err.decode(errors="replace"))
