"""One session on a node: it tells what it has, then runs the script that it is sent. And the ground's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components import checks
from overlab.checks import present

GROUND_SCRIPT = Path(checks.__file__).parents[1] / "templates" / "ground_checks.py"
OPEN_LIMIT_S = 120
_LINE_LIMIT = 4 << 20
_LAST_LINE = "# overlab-script-end"
SSH_FAILED = 255

# A script that was cut off on its way is not run.
ON_NODE = f"""\
{present.SCRIPT}
echo {present.END}
script=$(mktemp) || exit 70
trap 'rm -f "$script"' EXIT
cat >"$script"
[ "$(tail -n 1 "$script")" = '{_LAST_LINE}' ] || exit 0
sh "$script"
"""


@dataclass(frozen=True)
class Ended:
    """How a script ended. ``code`` is None where it was cut off at its limit."""

    code: int | None
    stdout: str
    stderr: str


@dataclass
class Session:
    """A command that runs :data:`ON_NODE` on a node (over ssh, or wherever it leads)."""

    node: str
    command: Sequence[str]
    told: present.Told = field(default_factory=present.Told)
    problem: str = ""
    """Why the node was not reached; empty where it was."""
    _process: asyncio.subprocess.Process | None = None

    async def open(self, limit_s: float = OPEN_LIMIT_S) -> None:
        """Connect, and hear what the node tells. What goes wrong is in ``problem``."""
        try:
            self._process = await _start(self.command)
            lines = await asyncio.wait_for(self._hear(self._process), limit_s)
        except OSError as error:
            self.problem = f"{self.command[0]}: {error}"
        except TimeoutError:
            self.problem = f"it was reached, but told nothing within {limit_s:g} s"
            await self.close()
        else:
            self.told = present.parse(lines)

    async def _hear(self, process: asyncio.subprocess.Process) -> list[str]:
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[str] = []
        async for line in process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            if text == present.END:
                return lines
            lines.append(text)
        said = (await process.stderr.read()).decode(errors="replace").strip()
        code = await process.wait()
        self.problem = said or f"the connection ended with exit code {code}"
        return lines

    async def run(self, script: str, limit_s: float) -> Ended:
        """Run a script there, to its end or the limit, and close the session."""
        assert self._process is not None
        return await _finish(self._process, f"{script}\n{_LAST_LINE}\n".encode(), limit_s)

    async def close(self) -> None:
        """End the connection if it is still there."""
        if self._process is not None:
            await _end(self._process)


async def on_ground(prefix: Sequence[str], tasks: list[dict[str, Any]], limit_s: float) -> Ended:
    """Run the ground's checks at the hypervisor's end of the lab network: ``prefix`` enters it."""
    process = await _start([*prefix, sys.executable, "-I", str(GROUND_SCRIPT)])
    try:
        return await _finish(process, json.dumps(tasks).encode(), limit_s)
    finally:
        await _end(process)


async def _start(command: Sequence[str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, limit=_LINE_LIMIT)


async def _finish(process: asyncio.subprocess.Process, data: bytes, limit_s: float) -> Ended:
    """Feed, and read everything; what came before a limit is kept."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = bytearray(), bytearray()
    reading = asyncio.gather(_drain(process.stdout, out), _drain(process.stderr, err), _feed(process.stdin, data))
    try:
        await asyncio.wait_for(reading, limit_s)
        code: int | None = await process.wait()
    except TimeoutError:
        await _end(process)
        code = None
    return Ended(code, out.decode(errors="replace"), err.decode(errors="replace"))


async def _drain(stream: asyncio.StreamReader, into: bytearray) -> None:
    while chunk := await stream.read(1 << 16):
        into.extend(chunk)


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
        stream.close()
        await stream.wait_closed()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
