"""A rotation of every secret while workloads talk, and what the retired ones are good for after it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.lab import RealLab


def copied(lab: RealLab, directory: Path) -> Path:
    """The lab's keys and tokens, to have when they are replaced."""
    shutil.copytree(Path(lab.record()["identity"]["client_key"]).parent, directory)
    return directory


@contextmanager
def ping(lab: RealLab, node: str, workload: str, target: str) -> Iterator[Callable[[], int]]:
    """Ping from a workload ten times a second; when the block has ended the result says how many were lost."""
    lost: list[int] = []
    lab.on(node, f"docker exec -d {workload} sh -c 'ping -i 0.1 -W 1 {target} >/ping.log 2>&1'")
    try:
        yield lambda: lost[0]
    finally:
        end = f"docker exec {workload} sh -c 'kill -INT $(pidof ping); sleep 2; cat /ping.log'"
        sent, received = re.findall(r"(\d+) packets (?:transmitted|received)", lab.on(node, end))
        assert int(sent) > 100
        lost.append(int(sent) - int(received))


def retired(lab: RealLab, old: Path, nodes: Sequence[str], addresses: Sequence[str]) -> None:
    """Nothing knows an earlier key or token any more."""
    present = Path(lab.record()["identity"]["client_key"]).parent
    shared = ["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
    for address in addresses:
        for identity, hosts, answer in (
            (old, present, "Permission denied"),
            (present, old, "IDENTIFICATION HAS CHANGED"),
        ):
            known = ["-o", f"UserKnownHostsFile={hosts}/known_hosts", "-o", "StrictHostKeyChecking=yes"]
            done = lab.in_network("ssh", *shared, *known, "-i", str(identity / "client"), f"root@{address}", "true")
            assert done.code == 255
            assert answer in done.text
    for name in ("management", "agents", "engines"):
        asked = ["curl", "-s", "-m", "20", "-H", "@-", "http://127.0.0.1:8500/v1/acl/token/self"]
        for node in nodes:
            header = f"X-Consul-Token: {(old / 'store' / name).read_text()}\n"
            assert "ACL not found" in lab.overlab("exec", node, "--", *asked, stdin=header).text
    header = f"X-Consul-Token: {(present / 'store' / 'management').read_text()}\n"
    ring = ["curl", "-s", "-m", "20", "-H", "@-", "http://127.0.0.1:8500/v1/operator/keyring"]
    keys = lab.overlab("exec", nodes[0], "--", *ring, stdin=header).ok().stdout
    assert (present / "gossip").read_text() in keys
    assert (old / "gossip").read_text() not in keys
