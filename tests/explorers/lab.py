"""A lab of an explorer: node containers, reached through the engine that runs them, whatever SSH does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.config import settings as lab_settings
from components.config.settings import Settings
from overlab.core.paths import LabPaths
from overlab.core.process import descendants
from overlab.stack import event_log
from tests.e2e.lab import OVERLAB, PROJECT, Done, RealLab, stack_file
from tests.explorers import invariants
from tests.explorers.invariants import Declared

OUT = PROJECT / "build" / "explore"
_SCRIPT_LIMIT_S = 20
_COMMAND_LIMIT_S = 900
_PROGRAMS = ("dockerd", "containerd", "containerd-shim", "consul", "systemd", "pulumi", "pulumi-", "overlab")
_OF_NODE = r"""
docker ps -a --format 'container {{.Names}} {{.State}}'
docker volume ls --format 'volume {{.Name}}' | sed -E 's/[0-9a-f]{64}/unnamed/'
docker network ls --format 'network {{.Name}}'
known="default $(docker ps -q | xargs -r docker inspect -f '{{.NetworkSettings.SandboxKey}}') $(docker network ls -q)"
for file in $(grep -o '^nsfs /run/docker/netns/[^ ]*' /proc/mounts); do
    file=${file##*/}
    case $known in *"$(echo "${file#*-}" | cut -c1-10)"*) ;; *) echo "a namespace of no container or network" ;; esac
done
grep -o '/var/lib/docker/overlay2/.*/merged' /proc/mounts | sed 's/.*/a mount/'
"""


@dataclass(frozen=True)
class ExplorerLab(RealLab):
    """One that an explorer breaks."""

    def on(self, node: str, script: str) -> str:
        """Standard output of a shell script that runs as root on a node. Raises AssertionError where it fails."""
        return self._run("exec", self._container(node), "timeout", "-k", "1", str(_SCRIPT_LIMIT_S), "sh", "-c", script)

    @property
    def paths(self) -> LabPaths:
        return LabPaths(self.stack, self.state / "overlab" / "labs" / self.stack)

    @property
    def settings(self) -> Settings:
        return lab_settings.from_stack_file(PROJECT, self.stack)

    def write(self, raw: dict[str, Any]) -> None:
        """Make these the lab's settings."""
        self.file.write_text(yaml.safe_dump({"config": {"overlab:lab": raw}}, sort_keys=False), "utf-8")

    # -- what is wrong ---------------------------------------------------------------------------

    def wrong(self, after: Done, before: Counter[str] | None = None) -> list[str]:
        """What does not hold of a lab after an ``up``; more of it than there was ``before`` is wrong, too."""
        settings = self.settings
        status = self.overlab("status", "--json", limit_s=_COMMAND_LIMIT_S)
        try:
            found = invariants.violations(json.loads(status.stdout), declared(settings))
        except ValueError:
            found = [f"status has no document: {status.text[-300:]}"]
        if "no check ran" in after.stderr:
            tested = self.overlab("test", limit_s=_COMMAND_LIMIT_S)
            if tested.code != 0:
                found.append(f"checks: exit code {tested.code}: {_last(tested.text)}")
        found += self.changed_by_second_up()
        found += self.pending()
        found += invariants.too_many(before, self.census()) if before else []
        return found

    def changed_by_second_up(self) -> list[str]:
        again = self.overlab("up", limit_s=_COMMAND_LIMIT_S)
        events = event_log.read(self.event_log)
        if again.code != 0 or event_log.has_changed(events) or "as the last up left it" not in again.stderr:
            return [f"a second up was not unchanged: exit code {again.code}: {_last(again.text)}"]
        return []

    def pending(self) -> list[str]:
        """Operations and locks that killed commands left."""
        backend = self.paths.backend / ".pulumi"
        state = backend / "stacks" / "overlab" / f"{self.stack}.json"
        with contextlib.suppress(FileNotFoundError):
            latest = json.loads(state.read_text())["checkpoint"]["latest"] or {}
            urns = [one["resource"]["urn"] for one in latest.get("pending_operations") or ()]
            locks = [one.name for one in (backend / "locks").rglob("*.json")]
            return [*(f"pending operation: {urn}" for urn in urns), *(f"lock: {name}" for name in locks)]
        return []

    def census(self) -> Counter[str]:
        """What exists of the lab: containers, volumes, networks, namespaces, mounts, processes."""
        found: Counter[str] = Counter()
        for line in self._run("ps", "-a", "--format", "container {{.Names}}").splitlines():
            found[line] += 1
            node = line.rpartition("-")[2]
            with contextlib.suppress(AssertionError):
                found.update(f"{node}: {one}" for one in self.on(node, _OF_NODE).splitlines())
        found.update(self._run("volume", "ls", "--format", "volume {{.Name}}").splitlines())
        found.update(self._run("network", "ls", "--format", "network {{.Name}}").splitlines())
        found.update(f"process {one}" for one in self._processes())
        found["host: namespaces"] = len(list(Path("/run/netns").glob(f"overlab-{self.stack}*")))
        found["host: mounts"] = Path("/proc/mounts").read_text().count(f"/{self.stack}/")
        return found

    def _processes(self) -> Iterator[str]:
        """Names of those in the lab's cgroup, and of commands on it."""
        marks = (f"overlab-{self.stack}", f"/run/overlab/{self.stack}/", str(self.paths.state))
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                name = (process / "comm").read_text().strip()
                about = (process / "cgroup").read_text() + (process / "cmdline").read_text("utf-8", "replace")
                if name.startswith(_PROGRAMS) and any(mark in about for mark in marks):
                    yield name

    # -- commands that are not waited for --------------------------------------------------------

    @property
    def event_log(self) -> Path:
        return self.paths.logs / f"{self.stack}-events.json"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own, as a terminal would; its output is in ``last.log``."""
        with (OUT / "last.log").open("ab") as log:
            return subprocess.Popen(
                [str(OVERLAB), "--stack", self.stack, *arguments],
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def until_held(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a command holds the lab."""
        lock = self.paths.state / "operation.lock"
        deadline = time.monotonic() + 60
        while not (lock.exists() and f"process {process.pid}," in lock.read_text()):
            assert process.poll() is None, f"it ended with exit code {process.returncode}"
            assert time.monotonic() < deadline, "it does not hold the lab within 60 s"
            time.sleep(0.05)

    def stop_at(self, moment: int, how: str, *arguments: str) -> str:
        """Run a command and stop it at its resource event number ``moment``; what happened."""
        self.event_log.unlink(missing_ok=True)
        process = self.start(*arguments)
        seen = _Events(self.event_log)
        deadline = time.monotonic() + _COMMAND_LIMIT_S
        while process.poll() is None and seen.count() < moment and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is not None:
            return f"it ended before, after {seen.count()} events, with exit code {process.returncode}"
        at = seen.last()
        STOPS[how](process)
        code = process.wait(_COMMAND_LIMIT_S)
        return f"{how} at event {seen.count()} ({at}): exit code {code}"

    def count_events(self) -> int:
        """Resource events of the last update."""
        return _Events(self.event_log).count()

    # -- the engine that runs the nodes ----------------------------------------------------------

    def _container(self, node: str) -> str:
        return f"overlab-{self.stack}-{node}"

    def _run(self, *arguments: str) -> str:
        command = ["docker", "-H", f"unix://{self.paths.docker_socket}", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SCRIPT_LIMIT_S + 20, check=False)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{arguments[-1]}: no end within {error.timeout} s") from error
        assert done.returncode == 0, f"{arguments[-1]}: exit code {done.returncode}: {done.stderr.strip()[-300:]}"
        return done.stdout


class _Events:
    """Counts resource events over all updates of one command, each of which begins the log anew."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._before = self._now = 0
        self._last = ""

    def count(self) -> int:
        events = [one for one in event_log.read(self._log) if "resourcePreEvent" in one or "resOutputsEvent" in one]
        if len(events) < self._now:
            self._before += self._now
        self._now = len(events)
        if events:
            [(kind, detail)] = [(kind, one) for kind, one in events[-1].items() if kind.startswith("res")]
            self._last = f"{kind} {event_log.name_of(detail['metadata']['urn'])}"
        return self._before + self._now

    def last(self) -> str:
        return self._last


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    for one in descendants(process.pid):
        one.signal(signal.SIGKILL)


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def _interrupt_twice(process: subprocess.Popen[bytes]) -> None:
    _interrupt(process)
    time.sleep(1)
    with contextlib.suppress(ProcessLookupError):
        _interrupt(process)


def _kill_pulumi(process: subprocess.Popen[bytes]) -> None:
    """The CLI alone: its plugins and the command above it go on by themselves."""
    for one in descendants(process.pid):
        if one.name() == "pulumi":
            one.signal(signal.SIGKILL)


STOPS = {
    "SIGINT once": _interrupt,
    "SIGINT twice": _interrupt_twice,
    "SIGKILL": _kill_all,
    "SIGKILL of pulumi": _kill_pulumi,
}


def declared(settings: Settings) -> Declared:
    """What the settings say of networks, workloads and their places."""
    attachments = {(network, name) for name, spec in settings.workloads.items() for network in spec.networks}
    return Declared(dict(settings.placement), frozenset(attachments), frozenset(settings.networks))


@contextlib.contextmanager
def explorer_lab(stack: str, text: str) -> Iterator[ExplorerLab]:
    """A lab with these settings, not yet up; removed with its platform when the block ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # ignored in a shell's background, and then in every command below
        signal.signal(number, signal.default_int_handler)
    OUT.mkdir(parents=True, exist_ok=True)
    state = Path(tempfile.mkdtemp(prefix="overlab-explore-"))
    with stack_file(stack, text):
        lab = ExplorerLab(stack, state)
        try:
            yield lab
        finally:
            lab.overlab("down", "--platform", "--force")
    for empty in (state / "overlab" / "labs", state / "overlab", state):
        with contextlib.suppress(OSError):
            empty.rmdir()


def _last(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-3:])
