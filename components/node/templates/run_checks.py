"""Runs checks and prints each as a line of JSON. Standard library of Python 3.9.

Reads a plan on standard input: ``where`` it runs, for messages; ``retry_s``, after which nothing is tried again;
``watchdog``, a program to run first (empty: none, and no engine is waited for); ``listeners``, workload -> shell; and
``checks``. Each check has ``record``, which is printed with what was found, ``timeout_s``, ``wants`` (patterns, and
what to report where one is missing; without any the exit code counts), and ``run``: a URL (``place`` outside), or
shell, in the ``workload`` or on the node with ``$netns`` as what enters the network of the ``workload``.

A check that must pass is tried until it does; one that must fail has to fail three times. ``got`` is empty where a
check could not be tried. Exit code 1, and every failure on standard error, if one did not find what it expects.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

AT_ONCE = 12
"""Workloads whose checks run at the same time, beside the node's own."""
COMMAND_LIMIT_S = 120
ENGINE_LIMIT_S = 120
PAUSE_S = 1
FAILING_TRIES = 3
OUTPUT_LIMIT = 1000

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


class WorkloadShell:
    """A shell in a workload, through one ``docker exec``; a second one where a restart of the engine ended the first.

    The shell reads a command at a time. Output comes on lines that begin with a blank, and then "=" and the exit code.
    """

    PRELUDE = r"""t() {
    out=$(sh -c "$1" </dev/null 2>&1); code=$?
    printf '%s\n' "$out" | sed 's/^/ /'; echo "=$code"
}
"""

    def __init__(self, name: str, report: Report) -> None:
        self._name = name
        self._report = report
        self._reopened = False
        self._command = ["docker", "exec", "-i", name, "sh", "-s"]
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = ""

    def run(self, check: dict[str, Any]) -> tuple[int, bytes]:
        """Raises CannotTry."""
        found = None if self._ended else self._ask(check["run"])
        if found is None and not self._reopened:
            wait_for_engine()
            self._reopened = True
            found = self._ask(check["run"])
            if found is not None:
                self._ended = ""
                self._report.write({"reopened": self._name})
        if found is None:
            raise CannotTry(self._ended)
        return found

    def _ask(self, command: str) -> tuple[int, bytes] | None:
        """None where the shell ended, and in ``_ended`` what it wrote."""
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=pipe)
            self._send(self.PRELUDE)
        # Of a workload that is paused nothing would ever come.
        limit = threading.Timer(COMMAND_LIMIT_S, self._process.kill)
        limit.start()
        try:
            self._send(f"t {shlex.quote(command)}\n")
            output = b""
            assert self._process.stdout is not None
            for line in self._process.stdout:
                if line.startswith(b"="):
                    return int(line[1:]), output
                output += line[1:]
        finally:
            limit.cancel()
        self._ended = self.close() or "the shell in the workload ended"
        return None

    def _send(self, text: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()
        except OSError:
            pass  # it ended, which its output shows

    def close(self) -> str:
        """End the shell. What it wrote to standard error."""
        if self._process is None:
            return ""
        _, errors = self._process.communicate()
        self._process = None
        return errors.decode(errors="replace").strip()


class NodeTools:
    """The node's own tools."""

    def __init__(self) -> None:
        self._pids: dict[str, str] = {}

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


def attempt(check: dict[str, Any], run: Run) -> tuple[str, str]:
    """``got`` and the output."""
    try:
        code, raw = run(check)
    except CannotTry as error:
        return "", str(error)
    output = raw.decode(errors="replace").rstrip()
    missing = [report for pattern, report in check["wants"] if not re.search(pattern, output, re.MULTILINE)]
    passed = not missing if check["wants"] else code == 0
    # A command that failed shows by itself why.
    return "pass" if passed else "fail", "\n".join([*([] if code else missing[:1]), output])


class Report:
    """Where results go; from any thread."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.passed = True
        self._where = plan["where"]
        self._last_retry = time.monotonic() + plan["retry_s"]
        self._lock = threading.Lock()

    def run(self, checks: Iterable[dict[str, Any]], run: Run) -> None:
        """One after the other."""
        for check in checks:
            self._add(check["record"], *self._try(check, run))

    def _try(self, check: dict[str, Any], run: Run) -> tuple[str, str, int]:
        start, tries = time.monotonic(), 0
        while True:
            got, output = attempt(check, run)
            tries, now = tries + 1, time.monotonic()
            if check["record"]["expect"] == "fail":
                over = tries >= FAILING_TRIES
            else:
                over = now >= min(start + check["timeout_s"], self._last_retry)
            if got != "fail" or over:
                return got, output[:OUTPUT_LIMIT], int(now - start)
            time.sleep(PAUSE_S)

    def write(self, record: dict[str, Any]) -> None:
        with self._lock:
            print(json.dumps(record), flush=True)

    def _add(self, record: dict[str, str], got: str, output: str, seconds: int) -> None:
        self.write({**record, "got": got, "seconds": seconds, "output": output})
        if got != record["expect"]:
            self.passed = False
            found = f"expected {record['expect']}, got {got} after {seconds} s" if got else "could not be tried"
            lines = [f"check failed: {record['title']} ({self._where}): {found}", f"  ran:    {record['command']}"]
            message = "\n".join([*lines, *(f"  {line}" for line in output.split("\n"))])
            with self._lock:
                print(message, file=sys.stderr, flush=True)


def in_workload(name: str, checks: list[dict[str, Any]], report: Report) -> None:
    workload = WorkloadShell(name, report)
    report.run(checks, workload.run)
    workload.close()


def main() -> int:
    plan = json.load(sys.stdin)
    if plan["watchdog"]:
        # Whatever created or removed containers is done now, so the engine may be restarted if it must.
        if os.access(plan["watchdog"], os.X_OK):
            subprocess.run([plan["watchdog"], "repair"], stdout=sys.stderr, check=False)
        wait_for_engine()
    for workload, shell in plan["listeners"].items():
        docker("exec", "-d", workload, "sh", "-c", shell)
    report = Report(plan)
    inside: dict[tuple[str, str], list[dict[str, Any]]] = {}
    others: dict[str, list[dict[str, Any]]] = {"node": [], "outside": []}
    for check in plan["checks"]:
        if check["place"] in others:
            others[check["place"]].append(check)
        else:
            # What must fail is tried for seconds, all of it waiting: each in a separate shell.
            alone = check["record"]["id"] if check["record"]["expect"] == "fail" else ""
            inside.setdefault((check["workload"], alone), []).append(check)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        ended = [threads.submit(in_workload, name, checks, report) for (name, _), checks in inside.items()]
        report.run(others["node"], NodeTools().run)
        report.run(others["outside"], fetch)
        for one in ended:
            one.result()
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
