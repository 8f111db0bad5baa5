"""The tables of docs/reliability.md: ``python -m tests.e2e.reliability FILE`` writes them from what a run recorded.

A run records where ``OVERLAB_RELIABILITY=FILE`` is set, one JSON object a line; the last one of a row counts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from tests.e2e.edits import EDITS
from tests.e2e.faults import FAULTS, MACHINES
from tests.e2e.lab import RealLab

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
LOST = {fault.name: fault.lost for fault in (*FAULTS, *MACHINES)}
_HEADS = {
    "fault": "| fault | seconds to green | lost |\n|---|---|---|\n",
    "machine": "| fault | seconds to green | lost |\n|---|---|---|\n",
    "edit": "| edit | seconds to green |\n|---|---|\n",
}


def record(kind: str, name: str, seconds: float) -> None:
    """One row, where a run is to be recorded."""
    if file := os.environ.get("OVERLAB_RELIABILITY"):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps({"kind": kind, "name": name, "seconds": round(seconds)}) + "\n")


def up(lab: RealLab, kind: str, name: str) -> None:
    """One ``up`` has to succeed, and ``status`` to find nothing after it."""
    begun = time.monotonic()
    lab.overlab("up").ok()
    record(kind, name, time.monotonic() - begun)
    status = lab.overlab("status")
    assert status.code == 0, status.text


def updated(page: str, lines: list[str]) -> str:
    """The page with the tables of these rows, in the order of the tables in the tests."""
    rows = [json.loads(line) for line in lines]
    faults = {"fault": FAULTS, "machine": MACHINES}
    tables = {kind: [one.name for one in table] for kind, table in faults.items()}
    for kind, names in (tables | {"edit": [one.name for one in EDITS]}).items():
        seconds = {row["name"]: row["seconds"] for row in rows if row["kind"] == kind}
        begin, end = f"<!-- {kind}s: begin -->\n", f"<!-- {kind}s: end -->\n"
        ends = {name: f" {LOST[name] or 'nothing'} |" if kind != "edit" else "" for name in names}
        table = "".join(f"| {name} | {seconds[name]} |{ends[name]}\n" for name in names if name in seconds)
        head, rest = page.split(begin)
        page = f"{head}{begin}{_HEADS[kind]}{table}{end}{rest.split(end)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text("utf-8"), Path(sys.argv[1]).read_text("utf-8").splitlines()), "utf-8")
