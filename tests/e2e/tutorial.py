"""The tutorial as a test: its console blocks, run on a lab, and what they print compared with the page in shape.

``python -m tests.e2e.tutorial STACK`` runs it on a lab that is up, without what touches that lab's own containers;
see ``--help``.

A block that is fenced as ``console`` has lines ``$ command`` (continued after a backslash), each followed by its
output. ``console changes`` marks a block that touches the lab's own containers. In an output, for what differs from run
to run:

* ``<id>``, ``<mac>`` and the other words of :data:`SHAPES`. ``<id:net>`` is the same everywhere that it has this name.
* ``...`` for the rest of a line; alone on a line, for any number of lines.

Blanks compare as one blank. A command must end with exit code 0, unless the next one of its block is ``echo $?``.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from components.config.settings import parse as parse_settings
from components.config.settings import read_stack_file
from components.machine import Machine
from components.node_container import NodeContainer

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "tutorial.md"
STACK_OF_PAGE = "dev"
LIMIT_S = 150
CHANGES_LIMIT_S = 1800

SHAPES = {
    "id": r"[0-9a-f]{10,64}",
    "mac": r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}",
    "ip": r"\d{1,3}(?:\.\d{1,3}){3}",
    "n": r"\d+(?:\.\d+)?",
    "ms": r"\d+(?:\.\d+)? ms",
    "port": r"\d{1,5}",
    "index": r"\d+",
    "veth": r"veth[0-9a-f]{7}",
    "ago": r"(?:Less than a second|An? \w+|About an? \w+|\d+ \w+)",
}
"""What a word in angle brackets stands for. Any other word in angle brackets is itself."""

_WORD = re.compile(rf"<({'|'.join(SHAPES)})(?::([a-z][a-z0-9_]*))?>|(\.\.\.)|([ \t]+)")
_ANY_LINES = r"(?:[^\n]*\n)*?"
_EXIT_CODE = "echo $?"


@dataclass(frozen=True)
class Step:
    """A command of the page and what it prints there."""

    section: str
    line: int
    """Of the page, from 1."""
    command: str
    expected: tuple[str, ...]
    changes: bool = False
    may_fail: bool = False


@dataclass
class Shapes:
    """Compares outputs; remembers what named shapes stood for."""

    bound: dict[str, str] = field(default_factory=dict)

    def mismatch(self, expected: tuple[str, ...], printed: str) -> str | None:
        """Why the output is not of the expected shape, or None where it is (what was named is then bound)."""
        text = normal(printed)
        found = re.fullmatch(self._pattern(expected), text)
        if found:
            self.bound |= found.groupdict()
            return None
        good = next(n for n in range(len(expected), -1, -1) if self._begins(expected[:n], text))
        if good == len(expected):
            return "more was printed than the page has"
        return f"no line for: {self._known(expected[good])}"

    def _begins(self, expected: tuple[str, ...], text: str) -> bool:
        return re.match(self._pattern(expected), text) is not None

    def _known(self, line: str) -> str:
        return re.sub(r"<(\w+):(\w+)>", lambda found: self.bound.get(f"{found[1]}_{found[2]}", found[0]), line)

    def _pattern(self, expected: tuple[str, ...]) -> str:
        named: set[str] = set()
        first, *others = _parted(expected)
        parts = ["".join(self._line(line, named) for line in first)]
        for number, part in enumerate(others, 1):
            # Where a part is found first, there it is: no other place is tried, however long the output.
            group = "(?>" if number < len(others) else "(?:"
            parts.append(f"{group}{_ANY_LINES}{''.join(self._line(line, named) for line in part)})")
        return "".join(parts)

    def _line(self, line: str, named: set[str]) -> str:
        line, parts, end = line.rstrip(), [], 0
        for found in _WORD.finditer(line):
            parts.append(re.escape(line[end : found.start()]))
            parts.append(self._word(found, named))
            end = found.end()
        return "".join([*parts, re.escape(line[end:]), r"\n"])

    def _word(self, found: re.Match[str], named: set[str]) -> str:
        kind, name, dots, _ = found.groups()
        if dots:
            return r"[^\n]*"
        if kind is None:
            return " "
        if name is None:
            return SHAPES[kind]
        group = f"{kind}_{name}"
        if group in self.bound:
            return re.escape(self.bound[group])
        if group in named:
            return f"(?P={group})"
        named.add(group)
        return f"(?P<{group}>{SHAPES[kind]})"


def _parted(expected: tuple[str, ...]) -> list[list[str]]:
    """The lines, parted where any lines may stand."""
    parts: list[list[str]] = [[]]
    for line in expected:
        if line.strip() == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def normal(printed: str) -> str:
    """Blanks as one blank, none at the end of a line, no empty lines at the end."""
    lines = [re.sub(r"[ \t]+", " ", line).rstrip() for line in printed.replace("\r", "").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return "".join(f"{line}\n" for line in lines)


# -- the page --------------------------------------------------------------------------------------


def parse(page: str) -> list[Step]:
    """The page's commands, in order. Raises ValueError for a block that is not a console's."""
    steps: list[Step] = []
    section = ""
    lines = iter(enumerate(page.splitlines(), 1))
    for number, line in lines:
        if line.startswith("## "):
            section = line.removeprefix("## ").strip()
        elif line.startswith("```"):
            words = line.removeprefix("```").split()
            block = list(_block(lines, number))
            if words[:1] == ["console"]:
                if words[1:] not in ([], ["changes"]):
                    raise ValueError(f"line {number}: a console block is plain, or 'changes'; found {words[1:]}")
                steps += _steps(block, section, changes=bool(words[1:]))
    return steps


def _block(lines: Iterator[tuple[int, str]], opened: int) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        if line.rstrip() == "```":
            return
        yield number, line
    raise ValueError(f"line {opened}: the block is never closed")


def _steps(block: list[tuple[int, str]], section: str, *, changes: bool) -> list[Step]:
    commands: list[tuple[int, list[str], list[str]]] = []
    for number, line in block:
        if line.startswith("$ "):
            commands.append((number, [line.removeprefix("$ ")], []))
        elif not commands:
            raise ValueError(f"line {number}: a console block begins with '$ command'; found {line!r}")
        elif commands[-1][1][-1].endswith("\\") and not commands[-1][2]:
            commands[-1][1].append(line)
        else:
            commands[-1][2].append(line)
    asked = [command for _, command, _ in commands[1:]] + [[""]]
    return [
        Step(section, number, "\n".join(command), tuple(output), changes, next_ == [_EXIT_CODE])
        for (number, command, output), next_ in zip(commands, asked, strict=True)
    ]


# -- on a lab --------------------------------------------------------------------------------------


@dataclass
class Runner:
    """Runs the page's commands on the lab of a stack, as if that were the page's own."""

    stack: str
    environment: dict[str, str]
    tools: Path
    """A directory for this runner's own ``overlab``, which is that of the stack."""
    interface: str = Machine.interface
    """The nodes' interface on the underlay, which the page has as that of machines."""
    shapes: Shapes = field(default_factory=Shapes)
    _code: int = 0

    def __post_init__(self) -> None:
        overlab = self.tools / "overlab"
        overlab.write_text(f'#!/bin/sh\nexec {Path(sys.executable).with_name("overlab")} --stack {self.stack} "$@"\n')
        overlab.chmod(0o755)

    def run(self, step: Step) -> tuple[str, str | None]:
        """What the step printed, and why that is not right (None where it is)."""
        limit = CHANGES_LIMIT_S if step.changes else LIMIT_S
        code, printed = self._shell(self._here(step.command), limit)
        # The code before this command is what `echo $?` prints.
        self._code = 1 if code is None else code
        if code is None:
            return printed, f"did not end within {limit} s"
        if code != 0 and not step.may_fail:
            return printed, f"exit code {code}"
        return printed, self.shapes.mismatch(tuple(self._here(line) for line in step.expected), printed)

    def _here(self, text: str) -> str:
        text = text.replace(f"overlab-{STACK_OF_PAGE}", f"overlab-{self.stack}")
        return re.sub(rf"\b{Machine.interface}\b", self.interface, text)

    def _shell(self, command: str, limit_s: int) -> tuple[int | None, str]:
        script = f"(exit {self._code})\n{command}\n"
        environment = self.environment | {"PATH": f"{self.tools}:{self.environment['PATH']}"}
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            return None, printed
        return process.returncode, printed


def describe_failure(step: Step, printed: str, why: str) -> str:
    """A failure, for display."""
    page = "\n".join(step.expected)
    where = f"{PAGE.relative_to(PROJECT)}:{step.line}"
    return f"{where}: {why}\n$ {step.command}\n--- printed\n{printed.rstrip()}\n--- the page has\n{page}\n---"


def main() -> int:
    """Run the tutorial on a lab that is up; exit code 1 where an output is not of the page's shape."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.tutorial", description=main.__doc__)
    parser.add_argument("stack", help="whose lab")
    parser.add_argument("--only", default="", metavar="WORD", help="sections with this in their heading")
    parser.add_argument("--changes", action="store_true", help="also what touches the lab's own containers")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--show", action="store_true", help="print every output")
    options = parser.parse_args()
    steps = [step for step in parse(PAGE.read_text("utf-8")) if options.only.lower() in step.section.lower()]
    failed = left_out = 0
    with tempfile.TemporaryDirectory() as tools:
        containers = parse_settings(read_stack_file(PROJECT, options.stack), options.stack).machine_kind == "container"
        interface = (NodeContainer if containers else Machine).interface
        runner = Runner(options.stack, dict(os.environ), Path(tools), interface)
        for step in steps:
            if step.changes and not options.changes:
                left_out += 1
                continue
            begun = time.monotonic()
            printed, why = runner.run(step)
            mark = "ok  " if why is None else "FAIL"
            print(f"{mark} {time.monotonic() - begun:5.1f} s  {step.line:4}  $ {step.command}", flush=True)
            if why is not None:
                failed += 1
                print(describe_failure(step, printed, why), flush=True)
                if not options.keep_going:
                    break
            elif options.show:
                print(printed.rstrip(), flush=True)
    print(f"{len(steps)} commands: {failed} failed, {left_out} left out")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
