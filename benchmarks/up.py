"""How long a warm ``up`` takes beside a shell script that builds the same lab, phase by phase.

``python -m benchmarks.up --kind container --runs 5`` runs, in turn, ``overlab up`` on the plain lab and the script
(``by_hand.sh``) on the same images, and ``overlab up`` and ``test`` of the stack ``dev``. Each run's figures are
appended to ``build/bench-up/KIND.jsonl``, so that a benchmark that was interrupted goes on with what is missing; those
of another commit are dropped. In the end the medians are written to ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform as machine
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from components.config import conventions
from components.config.platform import NodeEngine, Platform
from overlab.core import exit_codes
from overlab.core.paths import LabPaths
from overlab.platform import acceleration
from overlab.platform.prepare import read_record
from overlab.platform.private_libvirtd import PrivateLibvirtd
from overlab.stack import event_log, phases

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "build" / "bench-up"
PHASES = {
    "nodes": ("Storage", "Underlay", "Machine", "ContainerUnderlay", "NodeContainer"),
    "engines": ("DockerEngine",),
    "store": ("StoreAgent",),
    "joined": ("Membership",),
    "networks": ("Network", "Networks"),
    "workloads": ("NodeImages", "Workload"),
    "checks": ("Connectivity",),
}
"""By components; a phase ends when the last resource of them does."""
NO_GATE = "its engines have not found each other"
"""What the script says where libnetwork's engines did not join: it has no gate against that."""
Figures = dict[str, Any]


def plain(kind: str, cidr: str) -> dict[str, Any]:
    """The lab that the script builds, too."""
    nodes = [f"docker0{number}" for number in (1, 2, 3)]
    return {
        "underlay": {"cidr": cidr},
        "machine": {"kind": kind},
        "nodes": {key: {} for key in nodes},
        "store": {"kind": "consul", "node": nodes[0]},
        "networks": {"ov_net1": {"created_on": nodes[1], "subnet": "10.0.0.0/24"}},
        "workloads": {f"t{n}": {"node": node, "networks": ["ov_net1"]} for n, node in enumerate(nodes, 1)},
    }


def dev(kind: str, cidr: str) -> dict[str, Any]:
    """The stack ``dev`` on nodes of that kind."""
    lab: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]["overlab:lab"]
    return lab | {"underlay": {"cidr": cidr}, "machine": lab["machine"] | {"kind": kind}}


class Bench:
    """A lab, and the figures of its runs at this commit."""

    def __init__(self, kind: str, name: str, lab: dict[str, Any]) -> None:
        self.kind, self.paths = kind, LabPaths(name)
        self._name = name
        self._commit = _commit()
        self._file = RESULTS / f"{kind}.jsonl"
        (ROOT / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": {"overlab:lab": lab}}))

    def overlab(self, *words: str) -> float:
        """Seconds."""
        program = "from overlab.cli import main; main()"
        begun = time.time()
        done = subprocess.run(
            [sys.executable, "-c", program, "--stack", self._name, *words], cwd=ROOT, capture_output=True, check=False
        )
        if done.returncode and (words[0], done.returncode) != ("down", exit_codes.NOTHING):
            sys.exit(f"overlab {' '.join(words)}:\n{done.stdout.decode()}{done.stderr.decode()}")
        return time.time() - begun

    def up(self) -> Figures:
        """A warm one: the platform runs, the lab does not exist."""
        self.overlab("down")
        begun = time.time()
        seconds = self.overlab("up")
        return {"seconds": seconds, "phases": phase_ends(self.paths.logs / f"{self._name}-changes.json", begun)}

    def test(self) -> Figures:
        return {"seconds": self.overlab("test")}

    def by_hand(self) -> Figures:
        """On the lab's platform. Containers need the lab's addresses; machines need the lab's network and images."""
        if self.kind == "container":
            self.overlab("down")
        platform = read_record(self.paths)
        assert platform is not None
        environment = os.environ | by_hand_environment(self._name, self.paths, platform)
        command = [str(Path(__file__).with_name("by_hand.sh")), self.kind]
        done = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
        if done.returncode:
            if NO_GATE not in done.stderr:
                sys.exit(f"by_hand.sh:\n{done.stdout}{done.stderr}")
            print("by_hand: its workloads do not reach each other", flush=True)
            self._record("by_hand_failed", {})
            return self.by_hand()
        ends = {phase: int(ms) / 1000 for ms, phase in (line.split() for line in done.stdout.splitlines())}
        return {"seconds": ends["checks"], "phases": ends}

    def known(self, what: str) -> list[Figures]:
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return [one for one in map(json.loads, lines) if (one["commit"], one["what"]) == (self._commit, what)]

    def repeat(self, runs: int, **measured: Callable[[], Figures]) -> None:
        """In turn, until each has ``runs`` figures."""
        for number in range(runs):
            for what, measure in measured.items():
                if len(self.known(what)) <= number:
                    load = os.getloadavg()[0]
                    found = measure()
                    print(f"{what} {number + 1}/{runs}: {found['seconds']:.1f} s, load before {load:.1f}", flush=True)
                    self._record(what, {"load": load, **found})

    def _record(self, what: str, figures: Figures) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as file:
            file.write(json.dumps({"commit": self._commit, "what": what, **figures}) + "\n")

    def end(self) -> None:
        # Where the script has replaced machines, the state no longer matches.
        self.overlab("down", "--platform", "--force")
        (ROOT / f"Pulumi.{self._name}.yaml").unlink()


def phase_ends(log: Path, begun: float) -> dict[str, float]:
    """Seconds from ``begun`` to the end of each phase of an update; the log's times have a resolution of 1 s."""
    events = event_log.read(log)
    offset = float(events[0]["timestamp"]) - begun
    ends = {span.name: span.end + offset for span in phases.by_component(phases.spans(events))}
    return {name: max(ends[one] for one in parts if one in ends) for name, parts in PHASES.items()}


def by_hand_environment(lab: str, paths: LabPaths, platform: Platform) -> dict[str, str]:
    """What the script shares with the lab."""
    prefix = str(platform.registry_mirror).split("//")[1].rsplit(".", 1)[0]
    shared = {"LAB": lab, "PREFIX": prefix, "MIRROR": str(platform.registry_mirror)}
    if platform.node_engine is not None:
        engine = platform.node_engine
        return shared | {"DOCKER_HOST": engine.docker_host, "IMAGE": engine.image, "RUN_OPTIONS": run_options(engine)}
    assert platform.hypervisor is not None
    libvirtd = PrivateLibvirtd(paths)
    base = next(Path(libvirtd.on_machine(libvirtd.pool_path)).glob("base-*.qcow2"))
    identity = platform.identity
    files = {"UserKnownHostsFile": identity.known_hosts, "IdentityFile": identity.client_key}
    return shared | {
        "LIBVIRT_URI": platform.hypervisor.uri,
        "BASE": f"{libvirtd.pool_path}/{base.name}",
        "SSH_OPTIONS": " ".join(f"-o {key}={value}" for key, value in files.items()),
    }


def run_options(engine: NodeEngine) -> str:
    """Of ``docker run``, as for the lab's own nodes."""
    words = [f"--cgroupns={engine.cgroup_namespace}"]
    if engine.cgroup_namespace == "host":
        words.append("--volume=/sys/fs/cgroup:/sys/fs/cgroup")
    if engine.privileged:
        return " ".join([*words, "--privileged"])
    unconfined = [f"--security-opt={option}" for option in conventions.NODE_SECURITY_OPTIONS]
    return " ".join([*words, *unconfined, *(f"--cap-add={name}" for name in engine.capabilities)])


def table(bench: Bench) -> str:
    """The medians of a kind of node."""
    up, hand, failed = bench.known("up"), bench.known("by_hand"), len(bench.known("by_hand_failed"))
    kinds = {"container": "Node containers", "vm": "Machines"}
    lines = [
        f"### {kinds[bench.kind]}\n",
        "| the plain lab, seconds from the start to the end of | `overlab up` | by hand |",
        "|---|---|---|",
    ]
    for phase in PHASES:
        ours, theirs = ([one["phases"][phase] for one in runs] for runs in (up, hand))
        lines.append(f"| {phase} | {median(ours):.0f} | {median(theirs):.1f} |")
    lines.append(f"| **all** | {_summary(up)} | {_summary(hand)} |")
    ratio = median(one["seconds"] for one in up) / median(one["seconds"] for one in hand)
    every = [*up, *hand, *bench.known("dev_up"), *bench.known("dev_test")]
    load = f"{min(one['load'] for one in every):.1f} to {max(one['load'] for one in every):.1f}"
    kvm = "with" if acceleration.probe().domain_type == "kvm" else "no"
    lines += [
        f"\nRatio of the medians: {ratio:.2f}. `dev` with its checks: `overlab up` {_summary(bench.known('dev_up'))} s,"
        f" `overlab test` {_summary(bench.known('dev_test'))} s.",
        f"\nRuns of the script whose workloads did not reach each other, and do not count: {failed}.",
        f"\n{len(up)} runs each, in turn, on {os.cpu_count()} CPUs, {kvm} KVM,"
        f" Linux {machine.release().partition('-')[0]}, load before a run {load}.\n",
    ]
    return "\n".join(lines)


def write(kind: str, text: str) -> None:
    """Replace the kind's tables in the page."""
    begin, end = f"<!-- tables: make bench-up KIND={kind} -->\n", f"<!-- end of tables: {kind} -->"
    head, _, rest = PAGE.read_text().partition(begin)
    PAGE.write_text(f"{head}{begin}\n{text}\n{end}{rest.partition(end)[2]}")


def _summary(runs: Iterable[Figures]) -> str:
    seconds = [one["seconds"] for one in runs]
    return f"{median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"


@cache
def _commit() -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("container", "vm"), default="container")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cidr", default="10.94.0.0/24", help="a free /24 for the underlay")
    options = parser.parse_args()
    bench = Bench(options.kind, "bench", plain(options.kind, options.cidr))
    bench.overlab("up")  # the platform, and what is cached
    bench.repeat(options.runs, up=bench.up, by_hand=bench.by_hand)
    bench.end()
    full = Bench(options.kind, "bench", dev(options.kind, options.cidr))
    full.overlab("up")
    full.repeat(options.runs, dev_up=full.up, dev_test=full.test)
    full.end()
    write(options.kind, table(bench))


if __name__ == "__main__":
    main()
