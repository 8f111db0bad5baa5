"""``python -m tests.explorers.kills --every 10``: ``up`` and ``down`` stopped at every so many resource events.

After a stopped ``up`` the next one brings the lab up, after a stopped ``down`` the next one leaves nothing; neither has
pending operations or locks left. Then two ``up`` at once.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.explorers import records
from tests.explorers.lab import OUT, STOPS, ExplorerLab, explorer_lab
from tests.explorers.records import Record, say

KIND = "kills"
SETTINGS = """\
config:
  overlab:lab:
    underlay: {cidr: CIDR}
    machine: {kind: container, memory_mib: 512}
    nodes: {docker01: {}, docker02: {}}
    networks:
      ov1: {created_on: docker02, subnet: 10.20.0.0/24}
    workloads:
      a1: {node: docker01, networks: [ov1], ports: ["8080:80"]}
      b1: {node: docker02, networks: {ov1: {ipv4_address: 10.20.0.40}}}
      c1: {network_mode: "container:b1"}
"""
_REFUSED = r"error: lab \S+ is being changed by `overlab up` of \S+ \(process \d+, since [\d:]+\)"


class Sweep:
    """A lab whose platform stays, and that is up or down between the runs."""

    def __init__(self, lab: ExplorerLab) -> None:
        self._lab = lab
        self._empty: Counter[str] = Counter()
        self._up: Counter[str] = Counter()
        self.events = 0
        """Of an ``up`` of everything."""

    def measure(self) -> None:
        """One undisturbed ``up`` and ``down``: how many events there are, and what exists after each."""
        self._lab.stop_at(sys.maxsize, "SIGKILL", "up")
        self.events = self._lab.count_events()
        self._up = self._lab.census()
        self._lab.overlab("down").ok()
        self._empty = self._lab.census()

    def stopped(self, how: str, moment: int) -> bool:
        """Stop an ``up`` there, and the ``down`` after the next one; whether everything held."""
        record = Record(KIND, f"{how.replace(' ', '-')}-{moment}", {"how": how, "moment": moment})
        with record.entry("up, stopped") as detail:
            detail.append(self._lab.stop_at(moment, how, "up"))
        stale = self._lab.pending()
        with record.entry("up") as detail:
            detail.extend(stale)
            begun = time.monotonic()
            done = self._lab.overlab("up")
            record.green_s = time.monotonic() - begun
            detail.extend(self._explained(record, done.stderr, stale))
            if done.code != 0:
                detail.extend(done.text.splitlines()[-12:])
                record.violations.append(f"up ended with exit code {done.code}")
        with record.entry("invariants") as detail:
            detail.extend(found := self._lab.wrong(done, self._up))
            record.violations.extend(found)
        with record.entry("down, stopped") as detail:
            detail.append(self._lab.stop_at(moment, how, "down"))
        stale = self._lab.pending()
        with record.entry("down") as detail:
            detail.extend(stale)
            done = self._lab.overlab("down")
            detail.extend(self._explained(record, done.stderr, stale))
            if done.code not in (0, 3):
                detail.extend(done.text.splitlines()[-12:])
                record.violations.append(f"down ended with exit code {done.code}")
            for one in Counter(self._lab.census()) - self._empty:
                record.violations.append(f"left by down: {one}")
            record.violations.extend(self._lab.pending())
        record.write()
        if record.violations:
            self._lab.overlab("down", "--platform", "--force")
            self._lab.overlab("up")
            self._lab.overlab("down")
        return not record.violations

    def at_once(self) -> bool:
        """Two ``up``: the second stops with the first one's name."""
        record = Record(KIND, "two-at-once", {})
        with record.entry("two ups") as detail:
            first = self._lab.start("up")
            self._lab.until_held(first)
            second = self._lab.overlab("up")
            detail.append(second.stderr.strip())
            if second.code != 1 or not re.search(_REFUSED, second.stderr):
                record.violations.append(f"the second was not refused: exit code {second.code}")
            if first.wait(900) != 0:
                record.violations.append(f"the first ended with exit code {first.returncode}")

        record.write()
        return not record.violations

    def _explained(self, record: Record, said: str, stale: Sequence[str]) -> Iterator[str]:
        """A lock that a killed command left is named where it is removed."""
        if any(one.startswith("lock: ") for one in stale):
            lines = [line for line in said.splitlines() if "stale lock" in line]
            if not lines:
                record.violations.append("a stale lock was not named")
            yield from lines


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=10, help="resource events from one stop to the next")
    parser.add_argument("--first", type=int, default=1, help="the first event")
    parser.add_argument(
        "--how", action="append", choices=sorted(STOPS), help="each of these at every event; default: all, in turn"
    )
    parser.add_argument("--minutes", type=float, default=600, help="begin no run after so many")
    parser.add_argument("--stack", default="explore-kills", help="name of the lab and of its stack file")
    parser.add_argument("--cidr", default="10.96.53.0/24", help="its underlay")
    asked = parser.parse_args(words)
    deadline = time.monotonic() + 60 * asked.minutes
    kinds = asked.how or list(STOPS)
    held = []
    with records.quiet(), explorer_lab(asked.stack, SETTINGS.replace("CIDR", asked.cidr)) as lab:
        sweep = Sweep(lab)
        sweep.measure()
        say(f"an up has {sweep.events} resource events")
        moments = range(asked.first, sweep.events + 1, asked.every)
        for number, moment in enumerate(moments):
            for how in kinds if asked.how else [kinds[number % len(kinds)]]:
                if time.monotonic() < deadline:
                    held.append(sweep.stopped(how, moment))
        held.append(sweep.at_once())
    say(records.figures((OUT / f"{KIND}.jsonl").read_text("utf-8").splitlines()))
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
