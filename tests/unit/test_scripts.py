"""Node scripts: valid shell, inserted values inert, behaviour where it can be run without a node."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import checks
from components.checks import bulk, kinds
from components.config.settings import Settings, parse, read_stack_file
from components.node import firewall, scripts, watchdog

PROJECT = Path(__file__).parents[2]
HOSTILE = "a'b\"c $(touch /tmp/owned) `id` ; & | \\ \t # %s *"


@pytest.fixture(scope="module")
def lab() -> Settings:
    return parse(read_stack_file(PROJECT, "dev"), "dev")


def facts(lab: Settings) -> checks.Facts:
    return checks.Facts(
        addresses={
            name: {
                overlay: f"10.0.{n}.{m}"
                for n, overlay in enumerate(lab.workloads[spec.shares_network_of or name].networks)
            }
            for m, (name, spec) in enumerate(lab.workloads.items(), 2)
        },
        ports={name: {"80/tcp": 32768} for name in lab.workloads},
        networks={name: {"id": f"{n:064x}", "subnet": f"10.0.{n}.0/24"} for n, name in enumerate(lab.networks)},
    )


def rendered(lab: Settings) -> dict[str, str]:
    file = {"path": "/etc/docker/daemon.json", "mode": "0644", "part": "engine", "content": HOSTILE}
    engine = {"version": "20.10", "install": "preinstalled", "bundle": "/b.tar", "limit_s": 9, "files": [file]}
    engine |= {
        "advertise": "10.99.0.11:2376",
        "store": "consul://10.99.0.11:8500",
        "nic": "lab0",
        "gwbridge": "docker_gwbridge",
        "gwbridge_mtu": 1400,
        "firewall_unit": "f.service",
        "firewall_script": "/f",
    }
    engine |= {
        "pending": "/run/pending",
        "manifest": "/etc/engine.sha256",
        "firewall": True,
        "watchdog_unit": "g.path",
    }
    joined: dict[str, Any] = {
        "store": "/s",
        "own": "10.99.0.11:2376",
    }
    joined |= {
        "nodes": [f"docker0{n}/10.99.0.1{n}:2376" for n in (1, 2)],
        "limit_s": 9,
        "grace_s": 5,
        "heartbeat_s": 10,
    }
    return {
        "reachable": scripts.render("reachable", hostname=HOSTILE),
        "engine": scripts.render("engine", **engine),
        "joined": scripts.render("joined", **joined),
        "networks": scripts.render(
            "networks", networks=[{"name": HOSTILE, "id": "0a", "local_workloads": [HOSTILE]}], limit_s=9
        ),
        "dockerd-watchdog": watchdog.script(IPv4Address("10.99.0.11")),
        "overlab-firewall": firewall.script(),
        "checks": checks.node_script("docker01", checks.matrix(lab), checks.CheckedLab.of(lab), facts(lab)),
        "facts": "#!/bin/sh\n" + checks.facts_script([HOSTILE], ["ov_net1"]),
        "listener": "#!/bin/sh\n" + bulk.listener(5201, 2),
        "receiver": "#!/bin/sh\n" + bulk.receiver("10.0.0.2", 5201),
    }


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_every_script_passes_shellcheck(lab: Settings, tmp_path: Path) -> None:
    for name, text in rendered(lab).items():
        path = tmp_path / f"{name}.sh"
        path.write_text(text)
        # SC2016: a script within single quotes is meant to be expanded elsewhere.
        found = subprocess.run(
            ["shellcheck", "-s", "sh", "-e", "SC2016", str(path)], capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout


class EngineNode:
    """What the engine's script needs of a node, beside its files; ``systemctl`` writes to a log and may fail."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "systemctl.log"
        tools = {
            "systemctl": f'echo "$*" >>{self.log}; [ "$*" != "restart docker.service" ] || [ ! -e {directory}/broken ]',
            "dockerd": "echo Docker version 20.10.5",
            # docker_gwbridge is a file with its MTU; one with "busy" beside it cannot be removed.
            "docker": f"""cd {directory}; for last; do :; done
            case "$1 $2" in
            "network inspect") cat docker_gwbridge 2>/dev/null ;;
            "network rm") [ ! -e busy ] && rm docker_gwbridge ;;
            "network create") [ ! -e docker_gwbridge ] && echo "$*" | sed 's/.*driver.mtu=//; s/ .*//' >"$last" ;;
            esac""",
            "journalctl": "echo it said",
            "modprobe": ":",
            "curl": """case $* in
                *_ping) printf OK ;;
                *) echo '{"ClusterAdvertise":"10.99.0.11:2376","ClusterStore":"consul://10.99.0.11:8500"}' ;;
            esac""",
        }
        for name, body in tools.items():
            (directory / name).write_text(f"#!/bin/sh\n{body}\n")
            (directory / name).chmod(0o755)

    def run(self, certificate: str, key: str, mtu: object = "") -> tuple[int, int]:
        """Exit code, and how often the engine was restarted."""
        self.log.write_text("")
        file = {"path": f"{self.directory}/cert.pem", "mode": "0644", "part": "engine", "content": certificate}
        secret = {"path": f"{self.directory}/key.pem", "mode": "0600", "part": "engine", "content": key}
        values = {"version": "20.10", "install": "preinstalled", "bundle": "/b.tar", "limit_s": 9}
        values |= {"files": [file, secret]}
        values |= {"advertise": "10.99.0.11:2376", "store": "consul://10.99.0.11:8500", "nic": "lab0"}
        values |= {
            "firewall": False,
            "firewall_unit": "f.service",
            "firewall_script": f"{self.directory}/no-firewall",
            "watchdog_unit": "g.path",
        }
        values |= {"pending": f"{self.directory}/pending", "gwbridge": "docker_gwbridge", "gwbridge_mtu": mtu}
        values |= {"manifest": f"{self.directory}/m/engine.sha256"}
        done = subprocess.run(
            ["sh", "-c", scripts.render("engine", **values)],
            env={"PATH": f"{self.directory}:/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, self.log.read_text().splitlines().count("restart docker.service")


def test_an_engine_is_restarted_for_a_new_certificate_and_for_nothing_else(tmp_path: Path) -> None:
    node = EngineNode(tmp_path)
    assert node.run("A", "a") == (0, 1)
    assert node.run("A", "a") == (0, 0)
    assert node.run("B", "b") == (0, 1)
    assert ((tmp_path / "cert.pem").read_text(), (tmp_path / "key.pem").read_text()) == ("B", "b")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    check = ["sha256sum", "--check", "--quiet", str(tmp_path / "m" / "engine.sha256")]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0


def test_a_restart_that_did_not_come_about_is_made_up_for(tmp_path: Path) -> None:
    """The files are new and the engine still runs with the old ones: the next run knows."""
    node = EngineNode(tmp_path)
    assert node.run("A", "a") == (0, 1)
    (tmp_path / "broken").touch()
    assert node.run("B", "b") == (1, 1)
    (tmp_path / "broken").unlink()
    assert node.run("B", "b") == (0, 1)
    assert node.run("B", "b") == (0, 0)


def test_docker_gwbridge_follows_the_mtu_of_the_underlay(tmp_path: Path) -> None:
    node, bridge = EngineNode(tmp_path), tmp_path / "docker_gwbridge"
    node.run("A", "a")
    assert not bridge.exists()  # the engine creates it with the usual MTU
    assert node.run("A", "a", 1400)[0] == 0
    assert bridge.read_text() == "1400\n"
    assert node.run("A", "a", 1300)[0] == 0
    assert bridge.read_text() == "1300\n"
    (tmp_path / "busy").touch()
    assert node.run("A", "a", 1300) == (0, 0)
    assert node.run("A", "a", 1400)[0] == 1
    (tmp_path / "busy").unlink()
    node.run("A", "a")
    assert not bridge.exists()


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_inserted_values_are_inert(value: str) -> None:
    script = scripts.render("reachable", hostname=value).replace("$(hostname)", '"$want"')
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout == value.encode() + b"\n"


def test_the_bytes_of_a_bulk_check_are_those_that_the_program_makes() -> None:
    made = subprocess.run(["awk", bulk.PROGRAM], capture_output=True, check=True).stdout
    assert (len(made), hashlib.md5(made, usedforsecurity=False).hexdigest()) == (bulk.LENGTH, bulk.MD5)
    blocks = made.splitlines()
    assert len(set(blocks)) == len(blocks)


def test_the_matrix_has_every_ordered_pair_by_address_and_by_name(lab: Settings) -> None:
    matrix = checks.matrix(lab)
    pairs = {(c.kind, c.network, c.source, c.target) for c in matrix if c.kind in ("ping-ip", "ping-name")}
    expected = {
        (kind, overlay, a, b)
        for kind in ("ping-ip", "ping-name")
        for overlay in lab.networks
        for a, source in lab.workloads.items()
        for b, target in lab.workloads.items()
        if a != b and overlay in source.networks and overlay in target.networks and source.image.startswith("busybox")
    }
    assert pairs == expected
    assert len({c.id for c in matrix}) == len(matrix)


def test_the_matrix_follows_from_what_is_declared(lab: Settings) -> None:
    ids = {c.id for c in checks.matrix(lab)}
    nodes = set(lab.nodes)
    assert {f"engine:{n}" for n in nodes} | {f"kv:{n}" for n in nodes} <= ids
    assert {f"network:{o}:{n}" for o in lab.networks for n in nodes} <= ids
    assert {"no-egress:c1", "no-egress:c2", "shared:web6:web5", "dns:ov_net3:web5:four"} <= ids
    assert {"gateway-bridge:c1", "gateway-bridge:web6", "interface:ov_net3:web6"}.isdisjoint(ids)
    assert {"http-published:docker02:web1", "http-published:docker03:web2", "http-published:docker01:web3"} <= ids
    assert {"http-external:web1", "http-external:web2", "http-external:web3"} <= ids
    assert {c.expect for c in checks.matrix(lab) if c.kind == "isolation"} == {"fail"}
    assert any(i.startswith("isolation:ov_net1:ov_net3:") for i in ids)
    assert any(i.startswith("isolation:ov_net1:ov_closed:") for i in ids)


def test_one_workload_with_egress_on_each_node_tries_every_control_port(lab: Settings) -> None:
    found = [one for one in checks.matrix(lab) if one.kind == "control-plane"]
    sources, targets = {"docker01": "t1", "docker02": "t2", "docker03": "t3"}, [*lab.nodes, checks.EXTERNAL]
    assert [(one.node, one.source, one.target_node) for one in found] == [
        (node, sources[node], target) for node in lab.nodes for target in targets
    ]
    checked = checks.CheckedLab.of(lab)
    commands = {
        one.target_node: kinds.KINDS[one.kind].probe(kinds.Subject(one, checked, checks.Facts())).command
        for one in found
        if one.node == "docker01"
    }
    tcp = " ".join(f"{port}/tcp" for port in lab.control_ports)
    for node, udp in (("docker01", " 4789/udp 7946/udp 8301/udp"), ("docker02", " 4789/udp 7946/udp 8301/udp")):
        assert commands[node].endswith(f" {lab.nodes[node].address} {tcp}{udp}")
    assert commands["docker03"].endswith(f" 10.99.0.13 {tcp}")
    assert commands[checks.EXTERNAL].endswith(" 10.99.0.1 22/tcp 5000/tcp")


def test_without_a_firewall_or_egress_nobody_tries_the_control_ports() -> None:
    spec: dict[str, Any] = {
        "nodes": {"docker01": {}, "docker02": {}},
        "networks": {"closed": {"created_on": "docker01", "internal": True}, "open": {"created_on": "docker01"}},
        "workloads": {
            "c1": {"node": "docker01", "networks": ["closed"]},
            "t2": {"node": "docker02", "networks": ["closed", "open"]},
            "beside2": {"network_mode": "container:t2"},
        },
    }
    found = [one.id for one in checks.matrix(parse(spec, "x")) if one.kind == "control-plane"]
    assert found == [f"control-plane:t2:{target}" for target in ("docker01", "docker02", "outside")]
    without = checks.matrix(parse(spec | {"engine": {"firewall": False}}, "x"))
    assert "control-plane" not in {one.kind for one in without}
