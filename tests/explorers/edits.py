"""``python -m tests.explorers.edits --seeds 20``: ``up`` of one drawn stack file, then of another, on the same lab.

A seed's first file follows the second one of the seed before, so that is an edit, too. A pair that fails is made as
small as it gets; ``--replay SEED`` runs one again, on a lab of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence

import yaml

from tests.explorers import records, shrink, stack_files
from tests.explorers.lab import OUT, ExplorerLab, explorer_lab
from tests.explorers.records import Record, say
from tests.explorers.stack_files import Pair, Raw

KIND = "edits"


class Explorer:
    """A lab that goes from file to file for as long as it is as declared."""

    def __init__(self, lab: ExplorerLab) -> None:
        self._lab = lab
        self._last: Raw | None = None

    def play(self, name: str, case: Pair) -> Record:
        """From the file of the last ``up`` to the first one of the pair, where it is another, and to the second."""
        first, second = case
        if self._last is None:
            self._lab.overlab("down")
        record = Record(KIND, name, [self._last, *case] if self._last not in (None, first) else list(case))
        for raw in [first, second] if self._last != first else [second]:
            if not record.violations:
                self._follow(record, raw)
        record.write()
        return record

    def smallest(self, name: str, case: Pair, tries: int) -> Pair:
        """A smaller pair that fails, too, as far as so many tries reach; each on a lab of its own."""
        tried = 0

        def fails(part: Pair) -> bool:
            nonlocal tried
            tried += 1
            self._last = None
            return bool(self.play(f"{name}-{tried}", part).violations)

        return shrink.smallest(case, stack_files.smaller, fails, tries)

    def _follow(self, record: Record, raw: Raw) -> None:
        self._lab.write(raw)
        with record.entry("up of " + json.dumps({key: raw[key] for key in ("networks", "workloads")})) as detail:
            begun = time.monotonic()
            done = self._lab.overlab("up")
            record.green_s = time.monotonic() - begun
            if done.code != 0:
                detail.extend(done.text.splitlines()[-12:])
                record.violations.append(f"up ended with exit code {done.code}")
        with record.entry("invariants") as detail:
            detail.extend(found := [*self._lab.wrong(done), *left_over(self._lab)])
            record.violations.extend(found)
        self._last = None if record.violations else raw


def left_over(lab: ExplorerLab) -> Iterator[str]:
    """What the nodes have that the settings do not: containers and networks of an earlier file."""
    settings = lab.settings
    for node in settings.nodes:
        wanted = {name for name, place in settings.placement.items() if place == node} | {"consul"}
        names = set(lab.on(node, "docker ps -a --format '{{.Names}}'").split())
        yield from (f"{node}: container {name} is left" for name in sorted(names - wanted))
        overlays = set(lab.on(node, "docker network ls --filter driver=overlay --format '{{.Name}}'").split())
        yield from (f"{node}: network {name} is left" for name in sorted(overlays - settings.networks.keys()))


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first one")
    parser.add_argument("--replay", type=int, metavar="SEED", help="this one alone")
    parser.add_argument("--minutes", type=float, default=600, help="begin no pair after so many")
    parser.add_argument("--tries", type=int, default=12, help="pairs that shrinking a failure may take")
    parser.add_argument("--stack", default="explore-edits", help="name of the lab and of its stack file")
    parser.add_argument("--cidr", default="10.96.52.0/24", help="its underlay")
    asked = parser.parse_args(words)
    seeds = [asked.replay] if asked.replay is not None else range(asked.first, asked.first + asked.seeds)
    deadline = time.monotonic() + 60 * asked.minutes
    failed = []
    with records.quiet(), explorer_lab(asked.stack, "config: {}\n") as lab:
        explorer = Explorer(lab)
        for seed in seeds:
            if time.monotonic() > deadline:
                break
            case = stack_files.pair(seed, asked.cidr)
            if explorer.play(str(seed), case).violations:
                failed.append(seed)
                if asked.tries:
                    found = explorer.smallest(str(seed), case, asked.tries)
                    say("smallest:\n" + "---\n".join(yaml.safe_dump(raw, sort_keys=False) for raw in found))
    say(records.figures((OUT / f"{KIND}.jsonl").read_text("utf-8").splitlines()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
