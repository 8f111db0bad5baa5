"""The whole lab on real machines, in the order in which a person would try it. One lab serves all tests of this file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e import ground
from tests.e2e.lab import PROJECT, RealLab

NODES = ("docker01", "docker02", "docker03")


@pytest.fixture(scope="module")
def lab(ci: RealLab) -> RealLab:
    """The lab, up."""
    ci.overlab("up").ok()
    return ci


def test_up_proves_every_pair(lab: RealLab) -> None:
    outputs = lab.outputs()
    checks = {check["id"]: check for check in outputs["checks"]}
    names = ("t1", "t2", "t3")
    pairs = {f"{kind}:ov_net1:{a}:{b}" for kind in ("ping-ip", "ping-name") for a in names for b in names if a != b}
    interfaces = {f"interface:ov_net1:{name}" for name in names} | {f"bridge:{name}" for name in names}
    assert set(checks) == pairs | interfaces
    assert all(check["passed"] for check in checks.values())
    assert "eth0 has" in checks["interface:ov_net1:t1"]["output"]
    assert "mtu 1450" in checks["interface:ov_net1:t1"]["output"]
    assert outputs["networks"]["ov_net1"]["scope"] == "global"
    assert outputs["networks"]["ov_net1"]["made_from"] == "docker02"
    assert {n["engine"]["advertise"] for n in outputs["nodes"].values()} == {f"10.98.0.1{i}:2376" for i in (1, 2, 3)}


def test_a_second_up_changes_nothing(lab: RealLab) -> None:
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}


def test_a_refresh_sees_no_drift(lab: RealLab) -> None:
    done, changes = lab.operations("refresh", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}


def test_no_key_is_plain_in_the_state(lab: RealLab) -> None:
    state = json.dumps(lab.resources()) + "".join(p.read_text() for p in lab.state.rglob("*.json") if "backend" in p.parts)
    assert "PRIVATE KEY" not in state
    assert "ciphertext" in state


def test_exec_passes_streams_and_exit_code(lab: RealLab) -> None:
    done = lab.overlab("exec", "docker02", "--", "sh", "-c", 'cat; echo "to err $1" >&2; exit 7', "x", "a b", stdin="in\n")
    assert (done.code, done.stdout) == (7, "in\n")
    assert "to err a b" in done.stderr


def test_the_engine_has_no_unauthenticated_listener(lab: RealLab) -> None:
    for node in NODES:
        listeners = lab.on(node, "ss -Hltn | awk '{print $4}'").split()
        assert not [l for l in listeners if l.endswith((":2375", ":2376"))]
        consul = [l for l in listeners if l.endswith(":8500")]
        assert set(consul) == ({"127.0.0.1:8500", "10.98.0.11:8500"} if node == "docker01" else set())


def test_a_container_removed_by_hand_is_put_back_alone(lab: RealLab) -> None:
    lab.on("docker03", "docker rm -f t3")
    done, _ = lab.operations("refresh", "--yes", "--skip-preview")
    done.ok()
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes["create"] == 1
    assert "delete" not in changes
    names = lab.on("docker03", "docker ps --format '{{.Names}}'").split()
    assert names == ["t3"]


def test_a_wrong_expectation_fails_the_up_and_names_what_was_seen(lab: RealLab, tmp_path: Path) -> None:
    config = yaml.safe_load((PROJECT / "Pulumi.ci.yaml").read_text())
    wrong = {"kind": "ping-ip", "source": "t1", "target": "t3", "overlay": "ov_net1", "expect": "fail"}
    config["config"]["overlab:lab"]["checks"] = {"t1-must-not-reach-t3": wrong}
    file = tmp_path / "Pulumi.ci.yaml"
    file.write_text(yaml.safe_dump(config))
    done = lab.pulumi("up", "--yes", "--skip-preview", "--non-interactive", "--config-file", str(file))
    assert done.code != 0
    assert "check failed: t1 -> t3 ping-ip on ov_net1 (on docker01): expected fail, got pass" in done.text
    assert "ran:    docker exec t1 ping -c 1 -W 2 10.0.0." in done.text
    assert "1 packets received" in done.text
    lab.overlab("up").ok()


def test_a_split_cluster_is_seen_and_healed(lab: RealLab) -> None:
    """docker03 registers while nobody can reach its gossip port, and nobody tries again: listed, listening, cut off."""
    block = "iptables -I {chain} -i lab0 -p {proto} --dport 7946 -j REJECT"
    rules = [block.format(chain="INPUT", proto=proto) for proto in ("tcp", "udp")]
    rules += [rule.replace("-I INPUT -i lab0", "-I OUTPUT -o lab0") for rule in rules]
    lab.on("docker03", "systemctl stop docker.service docker.socket; sleep 1; " + "; ".join(rules))
    wait = "for n in $(seq 60); do curl -s --unix-socket /var/run/docker.sock http://d/_ping | grep -q OK && break; sleep 1; done"
    lab.on("docker03", f"systemctl start docker.service; {wait}")
    # One heartbeat and more: every engine has seen the new key and failed to reach it.
    lab.on("docker03", "sleep 25; " + "; ".join(rule.replace("-I", "-D") for rule in rules))
    listed = lab.on("docker01", "curl -s 'http://127.0.0.1:8500/v1/kv/docker/nodes?keys'")
    assert "10.98.0.13:2376" in listed
    invocation = "_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value docker.service)"
    joined = lab.on("docker03", f"journalctl -q -u docker.service {invocation} -o cat | grep -c EventMemberJoin: || true")
    assert int(joined) <= 1, "the split was not provoked"
    gates = [argument for node in NODES for argument in ("--target-replace", lab.urn(f"{node}-joined"))]
    done = lab.pulumi("up", "--yes", "--skip-preview", "--non-interactive", *gates)
    done.ok()
    assert "announcing it again" in done.text
    joined = lab.on("docker03", f"journalctl -q -u docker.service {invocation} -o cat | grep -o 'EventMemberJoin: [^ ]*'")
    assert {"EventMemberJoin: docker01", "EventMemberJoin: docker02"} <= set(joined.splitlines())


def test_bad_input_is_told_whole_and_makes_nothing(lab: RealLab, tmp_path: Path) -> None:
    config = yaml.safe_load((PROJECT / "Pulumi.ci.yaml").read_text())
    bad = config["config"]["overlab:lab"]
    bad["netwrk"] = {}
    bad["store"]["kind"] = "etcdd"
    bad["overlays"]["ov_net1"]["subnet"] = "10.98.0.0/25"
    bad["workloads"]["t1"]["node"] = "docker09"
    file = tmp_path / "Pulumi.ci.yaml"
    file.write_text(yaml.safe_dump(config))
    before = lab.resources()
    done = lab.pulumi("preview", "--non-interactive", "--config-file", str(file))
    assert done.code != 0
    for path in ("lab.netwrk", "lab.store.kind", "lab.overlays.ov_net1.subnet", "lab.workloads.t1.node"):
        assert path in done.text
    assert "Traceback" not in done.text
    assert lab.resources() == before


def test_destroy_leaves_nothing(lab: RealLab) -> None:
    lab.overlab("down").ok()
    assert ground.objects(lab) == {"domains": [], "networks": [], "pools": []}
    assert ground.files(lab) == []
    assert lab.resources() == []


def test_without_its_ground_nothing_at_all_is_left(lab: RealLab) -> None:
    assert ground.traces(lab)
    lab.overlab("down", "--ground").ok()
    assert ground.traces(lab) == []
