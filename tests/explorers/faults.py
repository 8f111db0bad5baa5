"""``python -m tests.explorers.faults --seeds 20``: histories of faults, and one ``up`` after each.

A history that fails is made as short as it gets. ``--replay SEED`` (with the same ``--kinds``) and ``--steps JSON`` run
one again.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.e2e import faults
from tests.explorers import histories, records, shrink
from tests.explorers.histories import KINDS, Step
from tests.explorers.lab import OUT, ExplorerLab, explorer_lab
from tests.explorers.records import Record, say

KIND = "faults"
_NOTE = re.compile(r"^\W*docker\d+: |refreshing|looked at|^removed|stale lock")
"""What an ``up`` says that it did."""


class Explorer:
    """A lab that is used again for as long as it is as declared."""

    def __init__(self, lab: ExplorerLab) -> None:
        self._lab = lab
        self._census: Counter[str] = Counter()

    def play(self, name: str, history: Sequence[Step]) -> Record:
        """Inflict each step on a lab that is as declared, then ``up`` alone, then every invariant."""
        self._require_green()
        record = Record(KIND, name, [step.as_json() for step in history])
        for step in history:
            what = f"{step.kind} ({step.node}, {step.peer}, {step.workload}, {step.seconds} s, event {step.moment})"
            with record.entry(what) as detail:
                try:
                    detail.append(KINDS[step.kind](self._lab, step) or "done")
                except RuntimeError as error:
                    record.violations.append(str(error))
        with record.entry("up") as detail:
            begun = time.monotonic()
            done = self._lab.overlab("up")
            record.green_s = time.monotonic() - begun
            notes = [line for line in done.stderr.splitlines() if _NOTE.search(line)]
            detail.extend(notes if done.code == 0 else done.text.splitlines()[-12:])
            if done.code != 0:
                record.violations.append(f"up ended with exit code {done.code}")
            if not any(step.kind in histories.LOSSES for step in history):
                record.violations.extend(f"lost: {line}" for line in notes if "to be created again" in line)
        with record.entry("invariants") as detail:
            detail.extend(found := self._lab.wrong(done, self._census))
            record.violations.extend(found)
        if record.violations:
            self._census = Counter()
        record.write()
        return record

    def smallest(self, name: str, history: tuple[Step, ...], tries: int) -> tuple[Step, ...]:
        """A part of a failing history that fails, too, as far as so many tries reach."""
        tried = 0

        def fails(part: tuple[Step, ...]) -> bool:
            nonlocal tried
            tried += 1
            return bool(self.play(f"{name}-{tried}", part).violations)

        return shrink.smallest(history, shrink.without_chunks, fails, tries)

    def _require_green(self) -> None:
        """Bring up a lab that is not known to be as declared; where that is of no use, a new one."""
        if self._census:
            return
        for _ in range(2):
            done = self._lab.overlab("up")
            found = self._lab.wrong(done) if done.code == 0 else done.text.splitlines()[-12:]
            if not found:
                self._census = self._lab.census()
                return
            say(f"    the lab is not as declared, and made from nothing: {'; '.join(found)}")
            self._lab.overlab("down", "--platform", "--force")
        raise RuntimeError("a new lab is not as declared")


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first one")
    parser.add_argument("--replay", type=int, metavar="SEED", help="this one alone")
    parser.add_argument("--steps", metavar="JSON", help="these steps instead of drawn ones, as recorded")
    parser.add_argument("--kinds", help="names of kinds, with commas; default: all but those known as not green")
    parser.add_argument("--each", action="store_true", help="one history of one step for each kind")
    parser.add_argument("--minutes", type=float, default=600, help="begin no history after so many")
    parser.add_argument("--tries", type=int, default=12, help="histories that shrinking a failure may take")
    parser.add_argument("--stack", default="explore-faults", help="name of the lab and of its stack file")
    parser.add_argument("--cidr", default="10.96.51.0/24", help="its underlay")
    asked = parser.parse_args(words)
    kinds = asked.kinds.split(",") if asked.kinds else sorted(KINDS.keys() - histories.NOT_GREEN)
    seeds = [asked.replay] if asked.replay is not None else range(asked.first, asked.first + asked.seeds)
    cases = {str(seed): histories.draw(seed, kinds) for seed in seeds}
    if asked.each:
        cases = {kind.replace(" ", "-").replace("'", ""): (_one(kind),) for kind in kinds}
    if asked.steps:
        cases = {"steps": tuple(Step(**one) for one in json.loads(asked.steps))}
    deadline = time.monotonic() + 60 * asked.minutes
    failed = []
    text = faults.SETTINGS.replace("10.96.48.0/24", asked.cidr)
    with records.quiet(), explorer_lab(asked.stack, text) as lab:
        explorer = Explorer(lab)
        for name, history in cases.items():
            if time.monotonic() > deadline:
                break
            if explorer.play(name, history).violations:
                failed.append(name)
                if len(history) > 1 and asked.tries:
                    found = explorer.smallest(name, history, asked.tries)
                    say(f"smallest: {json.dumps([step.as_json() for step in found])}")
    say(records.figures((OUT / f"{KIND}.jsonl").read_text("utf-8").splitlines()))
    return 1 if failed else 0


def _one(kind: str) -> Step:
    return Step(kind, node="docker02", peer="docker03", workload="b1", seconds=10, moment=5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
