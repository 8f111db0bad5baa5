"""The gate that every engine joined: what satisfies it, its errors, and when a node announces itself again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from components.config import conventions
from components.node import scripts
from components.store import grace_s, join_limit_s

NODES = {f"docker{number}": f"10.99.0.{10 + number}:2376" for number in (1, 2, 20)}
JOINED = "serf: EventMemberJoin: docker2 10.99.0.12\nserf: EventMemberJoin: docker20 10.99.0.30\n"
TOOLS = {
    "store": """
case $1 in
gate) cat "$0.gate" ;;
*) echo "$*" >>"$0.log" ;;
esac
""",
    "journalctl": 'cat "$0.output"',
    "systemctl": "echo 0123",
}


def gate(directory: Path, journal: str, listed: list[str], limit_s: int = 0, grace: int = 5) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the gate on docker1, beside tools with given output."""
    for name, text in TOOLS.items():
        tool = directory / name
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
    (directory / "journalctl.output").write_text(journal)
    keys = [f"docker/nodes/{NODES[node]}" for node in listed]
    (directory / "store.gate").write_text(" ".join(["10.99.0.11:8300", "0f3a", *keys]) + "\n")
    (directory / "store.log").write_text("")
    script = scripts.render(
        "joined",
        store=directory / "store",
        own=NODES["docker1"],
        nodes=[f"{node}/{address}" for node, address in NODES.items()],
        limit_s=limit_s,
        grace_s=grace,
        heartbeat_s=10,
    ).replace("/run/overlab-store", str(directory / "state"))
    environment = {"PATH": f"{directory}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=False, env=environment, timeout=30
    )
    return done.returncode, done.stdout, done.stderr


def test_listed_and_every_other_one_a_member(tmp_path: Path) -> None:
    assert gate(tmp_path, JOINED, list(NODES)) == (0, '{"leader": "10.99.0.11:8300", "members": 2}\n', "")


@pytest.mark.parametrize(
    ("journal", "listed", "seen"),
    [
        (JOINED, ["docker1", "docker20"], "not listed in docker/nodes: docker2/10.99.0.12:2376;"),
        ("", ["docker1", "docker2", "docker20"], "all nodes listed; no serf member: docker2 docker20;"),
        # docker20 is not docker2.
        (JOINED.splitlines(keepends=True)[1], list(NODES), "all nodes listed; no serf member: docker2;"),
        (
            f"{JOINED}serf: EventMemberFailed: docker2 10.99.0.12\n",
            list(NODES),
            "all nodes listed; no serf member: docker2;",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, journal: str, listed: list[str], seen: str) -> None:
    code, _, errors = gate(tmp_path, journal, listed)
    assert code == 1
    assert f"last seen: {seen} announced again 0 times" in errors


def test_one_that_came_back_is_a_member(tmp_path: Path) -> None:
    assert gate(tmp_path, f"serf: EventMemberFailed: docker2 10.99.0.12\n{JOINED}", list(NODES))[0] == 0


def test_an_isolated_engine_deletes_its_own_key(tmp_path: Path) -> None:
    code, _, errors = gate(tmp_path, "", list(NODES), limit_s=4, grace=0)
    assert code == 1
    assert "has no gossip with docker2 docker20" in errors
    assert f"delete docker/nodes/{NODES['docker1']}" in (tmp_path / "store.log").read_text()


@pytest.mark.parametrize("heartbeat", [1, 10, 30, 300])
def test_nodes_announce_themselves_one_after_another_and_each_within_the_limit(heartbeat: int) -> None:
    limit = join_limit_s(heartbeat)
    graces = [grace_s(index, heartbeat) for index in range(250)]
    first = min(5, heartbeat + 1)
    assert graces[:5] == [first + index * heartbeat for index in range(5)]
    assert graces == sorted(graces)
    # A heartbeat until the key is back, and one more for what follows.
    assert graces[-1] + 2 * heartbeat < limit
    assert join_limit_s(conventions.HEARTBEAT_S) == conventions.JOIN_LIMIT_S
