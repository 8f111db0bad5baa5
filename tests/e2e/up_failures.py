"""Failures of ``up`` on a lab that is up, as a table: each printed remedy is followed as it is printed, and heals.

The lab is the one of ``faults.py``. A row is named after its entry of ``overlab/diagnosis/failures.toml``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.lab import OVERLAB, PROJECT, RealLab

_LIMIT_S = 300
Act = Callable[[RealLab], object]


@dataclass(frozen=True)
class UpFailure:
    """What makes an ``up`` fail, and what a person does who reads the remedy."""

    id: str
    wrong: tuple[str, str] = ("", "")
    """A replacement in the stack file that causes it."""
    right: str = ""
    """What the remedy says to write instead; empty: what was there before."""
    inflict: Act = lambda _: None
    """What is done to the lab before."""
    shows: str = ""
    """A pattern of what the commands print that the remedy names."""
    mend: Callable[[RealLab, str], object] = lambda *_: None
    """What the remedy says to do, given what those commands printed."""
    step: str = ""
    """The component that is named."""
    quick: bool = False
    """Part of every run of the tests."""


def follow(lab: RealLab, failure: UpFailure) -> None:
    """Break the lab, run ``up``, do what it says."""
    before = lab.file.read_text("utf-8")
    old, wrong = failure.wrong
    assert before.count(old) == 1 or not old
    failure.inflict(lab)
    lab.file.write_text(before.replace(old, wrong) if old else before, "utf-8")
    try:
        found = _failure(lab, failure)
        assert found["cause"]
        assert found["evidence"]
        *looks, again = re.findall(r"`([^`]+)`", found["remedy"])
        seen = "\n".join(_shell(lab, command) for command in looks)
        assert re.search(failure.shows, seen), seen
        lab.file.write_text(before.replace(old, failure.right or old) if old else before, "utf-8")
        failure.mend(lab, seen)
        assert again == f"overlab up --stack {lab.stack}"
        _shell(lab, again, code=0)
        status = lab.overlab("status")
        assert status.code == 0, status.text
    finally:
        lab.file.write_text(before, "utf-8")


def _failure(lab: RealLab, failure: UpFailure) -> dict[str, Any]:
    """What an ``up`` says of it."""
    done = lab.overlab("up", "--json")
    assert done.code not in (0, 2), done.text
    found: list[dict[str, Any]] = json.loads(done.stdout)["failures"]
    [chosen, *_] = [one for one in found if one["id"] == failure.id] or [{"none of": found}]
    assert chosen.get("component") == failure.step, chosen
    return chosen


def _shell(lab: RealLab, command: str, code: int | None = None) -> str:
    """Run a printed command in a shell, as a person does."""
    path = f"{OVERLAB.parent}{os.pathsep}{os.environ['PATH']}"
    words = command.replace("overlab", shlex.quote(str(OVERLAB)), 1) if command.startswith("overlab ") else command
    done = subprocess.run(
        ["sh", "-c", words],
        cwd=PROJECT,
        env=lab.environment | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    text = done.stdout + done.stderr
    print(f"$ {command}\n{text}", flush=True)
    assert code in (None, done.returncode), f"{command}: exit code {done.returncode}\n{text}"
    return text


def _on(node: str, script: str) -> Act:
    return lambda lab: lab.on(node, script)


def _then(node: str, script: str) -> Callable[[RealLab, str], object]:
    return lambda lab, _: lab.on(node, script)


def _workload(text: str) -> tuple[str, str]:
    """One more workload."""
    return "    workloads:\n", f"    workloads:\n      z1: {{node: docker02, memory_mib: 16, {text}}}\n"


def _end_listener(lab: RealLab, seen: str) -> None:
    [pid] = set(re.findall(r":8085 .*pid=(\d+)", seen))
    lab.on("docker02", f"kill {pid}")


_LISTEN = "setsid python3 -m http.server 8085 >/dev/null 2>&1 & sleep 1"


_STRAY = "docker run -d --name {} --network ov1 {} busybox:1.35 sleep 9999"


FAILURES = (
    UpFailure(
        "image-unreachable",
        _workload(f"networks: [ov1], image: 'busybox@sha256:{'0' * 64}'"),
        _workload("networks: [ov1], image: 'busybox:1.35'")[1],
        shows="registry-1.docker.io",
        step="NodeImages",
        quick=True,
    ),
    UpFailure(
        "port-taken",
        _workload('networks: [ov1], ports: ["8085:80"]'),
        _workload('networks: [ov1], ports: ["8085:80"]')[1],
        inflict=_on("docker02", _LISTEN),
        shows=r":8085 .*python3",
        mend=_end_listener,
        step="Workload",
    ),
    UpFailure(
        "pool-overlaps",
        ("    workloads:\n", "      ov9: {created_on: docker02, subnet: 10.60.0.0/24}\n    workloads:\n"),
        "      ov9: {created_on: docker02, subnet: 10.61.0.0/24}\n    workloads:\n",
        inflict=_on("docker03", "docker network create -d overlay --subnet 10.60.0.0/16 stray"),
        shows="stray .*overlay",
        mend=_then("docker03", "docker network rm stray"),
        step="Network",
    ),
    UpFailure(
        "workload-restarts",
        _workload('networks: [ov1], command: [sh, -c, "echo no settings; exit 3"]'),
        _workload("networks: [ov1]")[1],
        shows="no settings",
        step="Connectivity",
    ),
    UpFailure(
        "check-failed",
        _workload("networks: [ov1], http_port: 80"),
        _workload("networks: [ov1]")[1],
        shows="FAILED .*z1",
        step="Connectivity",
    ),
    UpFailure(
        "address-in-use",
        _workload("networks: {ov1: {ipv4_address: 10.20.0.77}}"),
        _workload("networks: {ov1: {ipv4_address: 10.20.0.78}}")[1],
        inflict=_on("docker03", _STRAY.format("stray", "--ip 10.20.0.77")),
        shows=r"stray.*10\.20\.0\.77|10\.20\.0\.77.*stray",
        mend=_then("docker03", "docker rm -f stray"),
        step="Workload",
    ),
    UpFailure(
        "store-not-started",
        ("    nodes:", "    store: {image: 'busybox:1.35'}\n    nodes:"),
        step="StoreAgent",
    ),
    UpFailure(
        "workload-not-started",
        _workload("networks: [ov1], command: [nosuch]"),
        _workload("networks: [ov1]")[1],
        step="Workload",
    ),
)

ELSEWHERE = {
    "image-not-found": "tests/unit/test_failure_remedies.py::test_an_image_that_the_registry_does_not_have",
    "out-of-memory": "tests/unit/test_failure_remedies.py::test_a_machine_that_is_larger_than_the_memory",
}
"""Entries whose remedy is followed by a test of its own."""

NOT_FOLLOWED = (
    *("endpoint-exists", "disk-full", "engine-settings", "engine-packages"),
    *("not-joined", "node-silent", "engine-silent", "other"),
)
"""Entries whose remedy no test follows."""
