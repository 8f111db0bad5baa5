"""What an explorer found: a line of JSON for each case in ``build/explore``, a page for each, and figures of all."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.e2e.lab import PROJECT
from tests.explorers import timeline
from tests.explorers.lab import OUT
from tests.explorers.timeline import Entry


@dataclass
class Record:
    """One case while it runs."""

    kind: str
    name: str
    case: Any
    """What it can be replayed from, as JSON."""
    entries: list[Entry] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    green_s: float = 0.0
    """Of the ``up`` that brought the lab back."""
    _begun: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def entry(self, what: str) -> Iterator[list[str]]:
        """Something that takes time; what is appended to the list is its detail. An AssertionError is kept as one."""
        begun, detail = time.monotonic() - self._begun, list[str]()
        before = len(self.violations)
        try:
            yield detail
        except AssertionError as error:
            detail.append(f"no effect: {error}")
        finally:
            bad = len(self.violations) > before
            end = time.monotonic() - self._begun
            self.entries.append(Entry(begun, end, what, "\n".join(detail), bad))
            say(f"    {end - begun:5.1f} s  {what}{''.join(f': {one}' for one in detail)}")

    def write(self) -> None:
        """Append its line, write its page."""
        line = {
            "kind": self.kind,
            "name": self.name,
            "case": self.case,
            "violations": self.violations,
            "green_s": round(self.green_s, 1),
            "seconds": round(time.monotonic() - self._begun, 1),
            "load": round(os.getloadavg()[0], 1),
            "commit": _commit(),
        }
        with (OUT / f"{self.kind}.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        page = timeline.page(f"{self.kind} {self.name}", self.entries, self.violations)
        (OUT / f"{self.kind}-{self.name}.html").write_text(page, "utf-8")
        say(f"{self.kind} {self.name}: {'; '.join(self.violations) or f'green after {self.green_s:.0f} s'}")


def say(line: str) -> None:
    """For the person who runs the explorer: its labs' output goes elsewhere."""
    print(line, file=sys.__stdout__, flush=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Output of the commands on the lab goes to a file."""
    OUT.mkdir(parents=True, exist_ok=True)
    log_file = OUT / "last.log"
    log_file.unlink(missing_ok=True)
    with log_file.open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        yield


def figures(lines: Sequence[str]) -> str:
    """One sentence over the recorded cases."""
    cases = [json.loads(line) for line in lines]
    green = [one for one in cases if not one["violations"]]
    seconds = [one["green_s"] for one in green if one["green_s"]]
    if not seconds:
        return f"{len(cases)} cases, {len(green)} green"
    took = f"{min(seconds):.0f} to {max(seconds):.0f} s to green, {median(seconds):.0f} s in the median"
    return f"{len(cases)} cases, {len(green)} green; {took}"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False).stdout.strip()
