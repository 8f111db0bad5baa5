"""Runs checks, all at once, and prints each as a line of JSON. Standard library of Python 3.9.

Reads a plan on standard input: ``where`` it runs, for messages; ``watchdog``, a program to run first (empty: none, and
no engine is waited for); ``listeners``, workload -> shell; ``listen_s``, how long they run for receivers that do not
come; ``checks``. Each check has ``record``, which is printed with what was found, ``timeout_s``, ``wants`` (patterns,
and what to report where one is missing; without any the exit code counts), ``final`` (patterns of a failure that
waiting does not change), and ``run``: a URL (``place`` outside), or shell, in the ``workload`` or on the node with
``$netns`` as what enters the network of the ``workload``.

A check that must pass is tried until it does, its time counted from the start of all; one that must fail is tried
three times, and has to fail each time. ``got`` is empty where a check could not be tried. Exit code 1, and every
failure on standard error, if one did not find what it expects. Nothing of it is left running in a workload.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError, wait
from pathlib import Path
from typing import Any, NamedTuple

AT_ONCE = 24
"""Attempts at the same time."""
THREADS = 1000
COMMAND_LIMIT_S = 60
ENGINE_LIMIT_S = 120
END_LIMIT_S = 5
"""Of a workload that is paused meanwhile nothing ends."""
PAUSE_S = 1
LATE_S = 5
"""How long at least a check is tried whose first attempt had to wait for others."""
SLOWNESS = 3
"""How many times as long a listener runs where every check here has passed."""
FAILING_TRIES = 3
STAGGER_S = 0.5
"""Between the begins of the attempts of a check that must fail."""
NEVER = (126, 127)
"""Exit codes of a shell whose command does not exist, or cannot be run."""
OUTPUT_LIMIT = 1000
MARK = f"OVERLAB_CHECKS={os.getpid()}.{time.monotonic_ns()}"
"""In the environment of everything that is started in a workload."""

Run = Callable[["dict[str, Any]"], "tuple[int, bytes]"]
"""Tries a check: exit code and output. Raises CannotTry."""


class CannotTry(Exception):
    """The check cannot be tried, now or later."""


def docker(*words: str) -> tuple[int, str]:
    """Exit code and output."""
    done = subprocess.run(["docker", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors="replace").strip()


def wait_for_engine() -> None:
    end = time.monotonic() + ENGINE_LIMIT_S
    while docker("version", "-f", "{{.Server.Version}}")[0] != 0 and time.monotonic() < end:
        time.sleep(PAUSE_S)


class ShellEnded(Exception):
    """The shell in the workload ended before it answered; its text is what that wrote."""


class Shell:
    """A shell in a workload, through one ``docker exec``, that runs any number of commands at the same time."""

    # A record is one line, and shorter than what a pipe takes at once, so that those of two commands do not mix.
    PRELUDE = r"""export {mark}
t() {{
    out=$(sh -c "$2" </dev/null 2>&1); code=$?
    [ ${{#out}} -le 3000 ] ||
        out=$(printf '%s' "$out" | head -c 1500; printf '\n...\n'; printf '%s' "$out" | tail -c 1500)
    out=$(printf '%s' "$out" | tr '\n' '\036')
    printf '%s\n' "=$1 $code $out" | tail -c 4096
}}
"""

    def __init__(self, name: str) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            ["docker", "exec", "-i", name, "sh", "-s"], stdin=pipe, stdout=pipe, stderr=pipe
        )
        self._lock = threading.Lock()
        self._asked: dict[bytes, Future[tuple[int, bytes]]] = {}
        self._error: str | None = None
        self._send(self.PRELUDE.format(mark=MARK))
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, command: str) -> Future[tuple[int, bytes]]:
        """Exit code and output; ShellEnded where the shell ends first."""
        answer: Future[tuple[int, bytes]] = Future()
        with self._lock:
            number = len(self._asked)
            self._asked[b"%d" % number] = answer
            if self._error is not None:
                answer.set_exception(ShellEnded(self._error))
            else:
                self._send(f"t {number} {shlex.quote(command)} &\n")
        return answer

    def close(self) -> None:
        """End it, when nothing runs in it any more."""
        with self._lock, contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_LIMIT_S)
        self._process.kill()

    def _send(self, text: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it ended, which its output shows
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        for line in self._process.stdout:
            number, code, output = line.rstrip(b"\n").lstrip(b"=").split(b" ", 2)
            self._asked[number].set_result((int(code), output.replace(b"\036", b"\n")))
        error = self._process.stderr.read().decode(errors="replace").strip()
        with self._lock:
            self._error = error or "the shell in the workload ended"
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(ShellEnded(self._error))


class Workload:
    """Runs checks in a workload: in one shell, and a second one where a restart of the engine ended the first."""

    def __init__(self, name: str, report: Report) -> None:
        self._name = name
        self._report = report
        self._lock = threading.Lock()
        self._shells: list[Shell] = []

    def run(self, check: dict[str, Any]) -> tuple[int, bytes]:
        """Raises CannotTry."""
        error = ""
        for number in range(2):
            try:
                found = self._shell(number).ask(check["run"]).result(COMMAND_LIMIT_S)
            except ShellEnded as ended:
                error = str(ended)
            except TimeoutError:
                raise CannotTry(f"it did not end within {COMMAND_LIMIT_S} s") from None
            else:
                if number:
                    self._report.write_once({"reopened": self._name})
                return found
        raise CannotTry(error)

    def listen(self, shell: str) -> Future[tuple[int, bytes]]:
        """Run beside the checks."""
        return self._shell(0).ask(shell)

    def close(self) -> None:
        for shell in self._shells:
            shell.close()

    def _shell(self, number: int) -> Shell:
        with self._lock:
            if number == len(self._shells):
                if number:
                    wait_for_engine()
                self._shells.append(Shell(self._name))
            return self._shells[number]


class NodeTools:
    """The node's own tools."""

    def __init__(self, checks: Iterable[dict[str, Any]]) -> None:
        names = sorted({check["workload"] for check in checks if "$netns" in check["run"]})
        listed = docker("inspect", "-f", "{{.Name}} {{.State.Pid}}", *names)[1] if names else ""
        words = [line.split() for line in listed.splitlines()]
        self._pids = {one[0].lstrip("/"): one[1] for one in words if len(one) == 2}

    def run(self, check: dict[str, Any]) -> tuple[int, bytes]:
        """Raises CannotTry."""
        environment = dict(os.environ)
        if "$netns" in check["run"]:
            environment["netns"] = f"nsenter -t {self._pid(check['workload'])} -n"
        command = ["timeout", str(COMMAND_LIMIT_S), "sh", "-c", check["run"]]
        null, pipe, out = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
        done = subprocess.run(command, stdin=null, stdout=pipe, stderr=out, env=environment, check=False)
        return done.returncode, done.stdout

    def _pid(self, workload: str) -> str:
        known = self._pids.get(workload)
        if known is None or not Path(f"/proc/{known}/ns").exists():
            question = ("inspect", "-f", "{{.State.Pid}}", workload)
            code, known = docker(*question)
            if code:
                wait_for_engine()
                code, known = docker(*question)
            if code or known == "0":
                raise CannotTry(f"{workload} does not run{f': {known}' if code else ''}")
            self._pids[workload] = known
        return known


def fetch(check: dict[str, Any]) -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(check["run"], timeout=10) as response:
            body: bytes = response.read(2 * OUTPUT_LIMIT)
            return 0, body
    except (OSError, ValueError) as error:
        return 1, str(error).encode()


class Attempt(NamedTuple):
    """What an attempt found."""

    began: float
    got: str
    output: str
    final: bool
    """Whether another attempt would find the same."""


def attempt(check: dict[str, Any], run: Run) -> Attempt:
    with at_once:
        began = time.monotonic()
        try:
            code, raw = run(check)
        except CannotTry as error:
            return Attempt(began, "", str(error), final=True)
    output = raw.decode(errors="replace").rstrip()
    missing = [report for pattern, report in check["wants"] if not re.search(pattern, output, re.MULTILINE)]
    passed = not missing if check["wants"] else code == 0
    final = passed or code in NEVER or any(re.search(pattern, output, re.MULTILINE) for pattern in check["final"])
    # A command that failed shows by itself why.
    return Attempt(began, "pass" if passed else "fail", "\n".join([*([] if code else missing[:1]), output]), final)


def until_it_passes(check: dict[str, Any], run: Run, begun: float) -> list[Attempt]:
    tries = [attempt(check, run)]
    limit = max(begun + check["timeout_s"], tries[0].began + min(LATE_S, check["timeout_s"]))
    while not tries[-1].final and time.monotonic() < limit:
        time.sleep(PAUSE_S)
        tries.append(attempt(check, run))
    return tries


def every_time(check: dict[str, Any], run: Run) -> list[Attempt]:
    """The last one is that which did not fail, if any."""
    with ThreadPoolExecutor(FAILING_TRIES) as threads:
        tries = []
        for number in range(FAILING_TRIES):
            if number:
                time.sleep(STAGGER_S)
            tries.append(threads.submit(attempt, check, run))
    return sorted((one.result() for one in tries), key=lambda one: one.got != "fail")


class Report:
    """Where results go; from any thread."""

    def __init__(self, where: str) -> None:
        self.passed = True
        self._where = where
        self.begun = time.monotonic()
        self._lock = threading.Lock()
        self._once: list[dict[str, Any]] = []
        self._failures: list[str] = []

    def run(self, check: dict[str, Any], run: Run) -> None:
        must_fail = check["record"]["expect"] == "fail"
        tries = every_time(check, run) if must_fail else until_it_passes(check, run, self.begun)
        seconds = int(time.monotonic() - min(one.began for one in tries))
        self._add(check["record"], tries[-1].got, tries[-1].output[:OUTPUT_LIMIT], seconds)

    def write_once(self, record: dict[str, Any]) -> None:
        with self._lock:
            if record not in self._once:
                self._once.append(record)
                print(json.dumps(record), flush=True)

    def _add(self, record: dict[str, str], got: str, output: str, seconds: int) -> None:
        with self._lock:
            print(json.dumps({**record, "got": got, "seconds": seconds, "output": output}), flush=True)
            if got == record["expect"]:
                return
            self.passed = False
            found = f"expected {record['expect']}, got {got} after {seconds} s" if got else "could not be tried"
            lines = [f"check failed: {record['title']} ({self._where}): {found}", f"  ran:    {record['command']}"]
            self._failures += [*lines, *(f"  {line}" for line in output.split("\n"))]

    def explain(self) -> None:
        """Print the failures for a person, after all records: the two streams may be merged at any byte."""
        if self._failures:
            print("\n".join(self._failures), file=sys.stderr, flush=True)


def end_all() -> None:
    """Kill what was started in workloads and still runs. What a killed one was about to start follows."""
    mark, killed, end = MARK.encode(), True, time.monotonic() + END_LIMIT_S
    while killed and time.monotonic() < end:
        killed = False
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed = True
        time.sleep(0.05 if killed else 0)


def interrupted(*_: object) -> None:
    end_all()
    os._exit(1)


def main() -> int:
    plan = json.load(sys.stdin)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    if plan["watchdog"]:
        # Whatever created or removed containers is done now, so the engine may be restarted if it must.
        if os.access(plan["watchdog"], os.X_OK):
            subprocess.run([plan["watchdog"], "repair"], stdout=sys.stderr, check=False)
        wait_for_engine()
    report, checks = Report(plan["where"]), plan["checks"]
    inside = dict.fromkeys([*plan["listeners"], *(one["workload"] for one in checks if one["place"] == "workload")])
    workloads = {name: Workload(name, report) for name in inside}
    try:
        listeners = [workloads[name].listen(shell) for name, shell in plan["listeners"].items()]
        node = NodeTools(check for check in checks if check["place"] == "node")

        def run(check: dict[str, Any]) -> None:
            place = check["place"]
            inside = workloads[check["workload"]].run if place == "workload" else None
            report.run(check, inside or (node.run if place == "node" else fetch))

        with ThreadPoolExecutor(THREADS) as threads:
            for _ in threads.map(run, checks):
                pass
        # Their receivers are on other nodes, where checks begin and end later: much later only on a slow machine.
        limit = plan["listen_s"] * (SLOWNESS if report.passed else 1)
        wait(listeners, timeout=max(0, report.begun + limit - time.monotonic()))
    finally:
        end_all()
    for workload in workloads.values():
        workload.close()
    report.explain()
    return 0 if report.passed else 1


at_once = threading.Semaphore(AT_ONCE)

if __name__ == "__main__":
    sys.exit(main())
