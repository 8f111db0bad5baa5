"""The watchdog's work on interfaces, on real ones in private network namespaces."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from ipaddress import IPv4Address
from itertools import pairwise
from pathlib import Path

import pytest

from components.node import store_client, watchdog

NETWORK = "0123456789"
NAMESPACE = f"/run/docker/netns/1-{NETWORK}"
OWN, OTHER, THIRD = "10.99.0.11", "10.99.0.12", "10.99.0.13"
INSIDE = f"nsenter --net={NAMESPACE}"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare for network namespaces"
)


def run(tmp_path: Path, *steps: str) -> str:
    """What steps print in namespaces where NAMESPACE is an overlay's and ``$watchdog`` the script."""
    script = tmp_path / "dockerd-watchdog"
    script.write_text(watchdog.script(IPv4Address(OWN)).replace(store_client.SCRIPT, str(tmp_path / "store")))
    begun = [
        f"set -eu; watchdog={script}; PATH={tmp_path}:$PATH; mount -t tmpfs none /run; mkdir -p /run/docker/netns",
        f"touch {NAMESPACE}; unshare --net={NAMESPACE} true",
    ]
    done = subprocess.run(
        ["unshare", "-nm", "sh", "-c", "\n".join([*begun, *steps])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((0,), ["veth0"]),
        ((0, 1), ["veth2", "veth1"]),
        ((0, 3, 1), ["veth4", "veth3", "veth1"]),
        # The engine counts on from the first: that is the highest already.
        ((7, 1), ["veth7", "veth1"]),
        ((9, 10), ["veth11", "veth10"]),
    ],
)
def test_the_first_veth_has_the_highest_number(tmp_path: Path, before: tuple[int, ...], after: list[str]) -> None:
    pairs = " ".join(f"'link add veth{number} up type veth peer name out{number}'" for number in before)
    left = run(
        tmp_path,
        f"printf '%s\\n' {pairs} | {INSIDE} ip -batch -",
        "sh $watchdog rename-veths",
        f"{INSIDE} ip -o link show up type veth | sed 's/@.*//; s/.*: //' | grep veth",
    )
    assert left.split() == after


def test_only_restored_endpoints_of_networks_without_a_namespace_are_dropped(tmp_path: Path) -> None:
    live, gone = f"{NETWORK}{'a' * 54}", "b" * 64

    def database(gone_is: str) -> bytes:
        overlay = b'\0\xff{"addr":"10.0.0.2/24","id":"c","ifName":"veth1","mac":"02:42:0a:00:00:02","nid":"%s"}\n\0'
        bridge = b'{"Addr":"172.30.0.2/24","MacAddress":"02:42:ac:1e:00:02","id":"d","nid":"%s"}'
        rows = [overlay % live.encode(), overlay % gone_is.encode(), overlay % gone_is.encode(), bridge % gone.encode()]
        return b"\xed\xda\x0c\xed".join(rows)

    (tmp_path / "local-kv.db").write_bytes(database(gone))
    run(
        tmp_path,
        "mount -t tmpfs none /var/lib; mkdir -p /var/lib/docker/network/files",
        f"cp {tmp_path}/local-kv.db /var/lib/docker/network/files/; sh $watchdog drop-endpoints",
        f"cp /var/lib/docker/network/files/local-kv.db {tmp_path}/",
    )
    assert (tmp_path / "local-kv.db").read_bytes() == database("0" * 64)


def stored(number: int, node: str, network: str = NETWORK) -> str:
    """An endpoint as the store has it, in a line of its client."""
    interface = {"addr": f"10.0.0.{number}/24", "dstPrefix": "eth", "mac": f"02:42:0a:00:00:{number:02x}"}
    endpoint = {"anonymous": False, "ep_iface": interface, "locator": node, "name": "x", "sandbox": "ab"}
    value = base64.b64encode(json.dumps(endpoint, separators=(",", ":")).encode()).decode()
    return f"docker/network/v1.0/endpoint/{network}{'e' * 54}/{'f' * 63}{number} {value}"


def test_missing_fdb_and_neighbor_entries_are_restored_from_the_store(tmp_path: Path) -> None:
    directory = f"docker/network/v1.0/endpoint/{NETWORK}{'e' * 54} "
    stored_entries = [
        directory,
        stored(2, OWN),
        stored(3, OTHER),
        stored(4, THIRD),
        stored(5, OTHER),
        stored(9, OTHER, "a" * 10),
    ]
    (tmp_path / "answer").write_text("\n".join(stored_entries) + "\n")
    (tmp_path / "store").write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    (tmp_path / "store").chmod(0o755)
    left = run(
        tmp_path,
        f"{INSIDE} ip link set lo up; {INSIDE} ip link add vxlan0 up type vxlan id 256 dstport 4789 dev lo",
        # Only a neighbor entry, a wrong FDB entry, and a pair that is right.
        f"{INSIDE} ip neigh replace 10.0.0.3 lladdr 02:42:0a:00:00:03 dev vxlan0 nud permanent",
        f"{INSIDE} bridge fdb add 02:42:0a:00:00:04 dev vxlan0 dst {OTHER} self permanent",
        f"{INSIDE} bridge fdb add 02:42:0a:00:00:05 dev vxlan0 dst {OTHER} self permanent",
        f"{INSIDE} ip neigh replace 10.0.0.5 lladdr 02:42:0a:00:00:05 dev vxlan0 nud permanent",
        "sh $watchdog sync-peers 2>&1",
        f"{INSIDE} bridge fdb show dev vxlan0 | grep dst | cut -d' ' -f1-3 | sort",
        f"{INSIDE} ip neigh show dev vxlan0 nud permanent | grep '^10' | cut -d' ' -f1,3 | sort",
    )
    reported = [
        f"1-{NETWORK}: 10.0.0.{n} is on {node}, and dockerd had no FDB entry for it"
        for n, node in ((3, OTHER), (4, THIRD))
    ]
    entries = [f"02:42:0a:00:00:0{number} dst {node}" for number, node in ((3, OTHER), (4, THIRD), (5, OTHER))]
    neighbors = [f"10.0.0.{number} 02:42:0a:00:00:0{number}" for number in (3, 4, 5)]
    assert left.splitlines() == [*reported, *entries, *neighbors]


# Every start of the stub is another invocation.
SYSTEMCTL = """#!/bin/sh
case $1 in
show) cat {directory}/invocation ;;
restart) date +%s | tee -a {directory}/restarts >{directory}/invocation ;;
esac
"""
REMOVE_A_NAMESPACE = "unshare --net={namespace} true; sh $watchdog check; umount {namespace}; rm {namespace}; sleep 1"


def restarts(tmp_path: Path, *steps: str) -> tuple[list[int], list[int]]:
    """Of an engine that loses an overlay's namespace before each step: seconds between its restarts, and the pause that
    was noted after each step."""
    (tmp_path / "systemctl").write_text(SYSTEMCTL.format(directory=tmp_path))
    (tmp_path / "systemctl").chmod(0o755)
    (tmp_path / "invocation").write_text("first")
    for name in ("ss", "store"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    namespace = f"{NAMESPACE}0"
    remove = f"touch {namespace}; {REMOVE_A_NAMESPACE.format(namespace=namespace)}"
    pause = "cut -d' ' -f2 /run/overlab-dockerd-watchdog-restart"
    pauses = run(tmp_path, *(f"{remove}\nsh $watchdog {step} >&2\n{pause}" for step in steps))
    times = [int(line) for line in (tmp_path / "restarts").read_text().split()]
    return [later - earlier for earlier, later in pairwise(times)], [int(pause) for pause in pauses.split()]


@pytest.mark.slow
def test_each_restart_in_a_row_is_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that ends every few seconds keeps no engine from working."""
    monkeypatch.setattr(watchdog, "QUIET_S", 0)
    monkeypatch.setattr(watchdog, "PAUSE_S", 2)
    monkeypatch.setattr(watchdog, "PAUSE_LIMIT_S", 5)
    between, pauses = restarts(tmp_path, *["repair idle"] * 4)
    assert pauses == [2, 4, 5, 5]
    # Clocks have a resolution of a second.
    assert [seconds >= pause - 1 for seconds, pause in zip(between, pauses, strict=False)] == [True] * 3, between


def test_a_repair_that_was_asked_for_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "QUIET_S", 0)
    (only,), _ = restarts(tmp_path, "repair idle", "repair")
    assert only < watchdog.PAUSE_S - 1


@pytest.mark.slow
def test_a_restart_by_somebody_else_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "QUIET_S", 0)
    (only,), _ = restarts(tmp_path, "repair idle", "repair idle & sleep 1; systemctl restart docker.service; wait")
    assert only < watchdog.PAUSE_S - 1
