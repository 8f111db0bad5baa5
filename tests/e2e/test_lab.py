"""The whole lab on real machines, in the order in which a person would try it. One lab serves all tests here."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml

from components import checks
from components.config.settings import parse, read_stack_file
from overlab.platform import identity
from tests.e2e import certificates, check_scenarios, platform, status_scenarios
from tests.e2e.lab import PROJECT, RealLab
from tests.unit import browser

NODES = ("docker01", "docker02", "docker03")
HOSTILE = """'"; touch /pwned; $(touch /pwned) `touch /pwned` | touch /pwned & </domain> ]]> &amp; %s %n \\ \\n
EOF
touch /pwned
{{ 7 * 7 }} ${HOME} !! ~ * \u202e\u00e9\u2028\t\x1b[2J"""
ADDRESSES = ("10.98.0.11", "10.98.0.12", "10.98.0.13")


@pytest.fixture(scope="module")
def lab(ci: RealLab) -> RealLab:
    """The lab, up."""
    ci.overlab("up").ok()
    return ci


def test_up_proves_every_expectation(lab: RealLab) -> None:
    outputs = lab.outputs()
    found = {check["id"]: check for check in outputs["checks"]}
    settings = parse(read_stack_file(PROJECT, "ci"), "ci")
    assert set(found) == {check.id for check in checks.matrix(settings)}
    assert [check for check in found.values() if check["status"] != "passed"] == []
    names = ("t1", "t2", "t3")
    pairs = {f"{kind}:ov_net1:{a}:{b}" for kind in ("ping-ip", "ping-name") for a in names for b in names if a != b}
    assert pairs <= set(found)
    assert ": eth0@" in found["interface:ov_net1:t1"]["output"]
    assert "mtu 1450" in found["interface:ov_net1:t1"]["output"]
    assert "10.0.0.33/24" in found["interface:ov_net1:t3"]["output"]
    assert outputs["networks"]["ov_net1"]["scope"] == "global"
    assert outputs["networks"]["ov_net1"]["created_on"] == "docker02"
    assert {n["engine"]["advertise"] for n in outputs["nodes"].values()} == {f"10.98.0.1{i}:2376" for i in (1, 2, 3)}
    assert outputs["ports"]["web1"] == {"80/tcp": 90}


def test_a_second_up_changes_nothing(lab: RealLab) -> None:
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}


def test_the_policy_pack_passes_an_up_and_stops_one(lab: RealLab, tmp_path: Path) -> None:
    """With the real inputs and outputs of a lab that is there, not those of a preview."""
    pack = ("--yes", "--skip-preview", "--policy-pack", "policy", "--policy-pack-config")
    done, changes = lab.operations("up", *pack, "policy/ci.json")
    done.ok()
    assert changes == {}
    foreign = tmp_path / "foreign.json"
    foreign.write_text(json.dumps({"port-published": {"lab_networks": ["10.1.0.0/24"]}}))
    done = lab.pulumi("up", "--non-interactive", *pack, str(foreign))
    assert done.code != 0
    assert "port-published" in done.text


def test_a_refresh_sees_no_drift(lab: RealLab) -> None:
    done, changes = lab.operations("refresh", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}


def test_no_key_is_plain_in_the_state(lab: RealLab) -> None:
    state = json.dumps(lab.resources()) + "".join(
        p.read_text() for p in lab.state.rglob("*.json") if "backend" in p.parts
    )
    assert "PRIVATE KEY" not in state
    assert "ciphertext" in state


def test_exec_passes_streams_and_exit_code(lab: RealLab) -> None:
    done = lab.overlab(
        "exec", "docker02", "--", "sh", "-c", 'cat; echo "to err $1" >&2; exit 7', "x", "a b", stdin="in\n"
    )
    assert (done.code, done.stdout) == (7, "in\n")
    assert "to err a b" in done.stderr


def test_listeners_are_those_that_were_declared(lab: RealLab) -> None:
    for node, address in zip(NODES, ADDRESSES, strict=True):
        listeners = lab.on(node, "ss -Hltn | awk '{print $4}'").split()
        assert [at for at in listeners if at.endswith((":2375", ":2376"))] == [f"{address}:2376"]
        assert [at for at in listeners if at.endswith(":8500")] == ["127.0.0.1:8500"]


def test_the_engine_api_takes_the_right_certificate_only(lab: RealLab, tmp_path: Path) -> None:
    tls = lab.record()["identity"]["tls"]
    url = f"https://{ADDRESSES[0]}:2376/_ping"
    ours = ["--cert", tls["client_cert"], "--key", tls["client_key"]]
    right = lab.in_network("curl", "-sS", "-m", "20", "--cacert", tls["ca"], *ours, url)
    assert right.ok().stdout == "OK"
    assert lab.in_network("curl", "-sS", "-m", "20", "--cacert", tls["ca"], url).code != 0
    foreign = identity.ensure(tmp_path / "foreign", "foreign", {"docker01": ADDRESSES[0]}).tls
    assert foreign is not None
    theirs = ["--cert", str(foreign.client_cert), "--key", str(foreign.client_key)]
    assert lab.in_network("curl", "-sS", "-m", "20", "--cacert", tls["ca"], *theirs, url).code != 0
    assert lab.in_network("curl", "-sS", "-m", "20", "--cacert", str(foreign.ca), *ours, url).code != 0
    assert lab.in_network("curl", "-sS", "-m", "20", f"http://{ADDRESSES[0]}:2376/_ping").stdout != "OK"


@pytest.mark.parametrize("authority", [False, True])
def test_certificates_are_renewed_and_no_container_restarts(lab: RealLab, tmp_path: Path, authority: bool) -> None:
    old = certificates.copied(lab, tmp_path / "old")
    ran = certificates.started(lab)
    assert set(certificates.states(lab)) == {"ok"}
    assert "renewed: the client and 3 servers" in lab.overlab("rotate", *(["--ca"] if authority else [])).ok().stdout
    for address in ADDRESSES:
        assert certificates.served(lab, address, old.ca) == certificates.serial(old.server_certs, address)
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {"update": 3, "replace": 4}  # the gates, and what they wait for
    assert certificates.started(lab) == ran
    new = certificates.named(lab)
    for address in ADDRESSES:
        assert certificates.served(lab, address, new.ca) == certificates.serial(new.server_certs, address)
        assert certificates.serial(new.server_certs, address) != certificates.serial(old.server_certs, address)
        assert certificates.answers(lab, address, new)
        assert certificates.answers(lab, address, old) == (not authority)
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}
    lab.overlab("test").ok()


def test_the_store_denies_what_no_token_allows(lab: RealLab) -> None:
    """Asked on a node's loopback it knows the node; asked otherwise, it answers nobody or refuses."""
    code = "curl -s -o /dev/null -m 20 -w '%{http_code}'"
    put = f"{code} -X PUT -d x"
    unknown = "-H 'X-Consul-Token: 11111111-2222-3333-4444-555555555555'"
    for node in NODES:
        assert lab.on(node, f"{put} http://127.0.0.1:8500/v1/kv/docker/e2e-{node}") == "200"
        assert lab.on(node, f"{code} -X DELETE http://127.0.0.1:8500/v1/kv/docker/e2e-{node}") == "200"
        assert lab.on(node, f"{put} http://127.0.0.1:8500/v1/kv/other") == "403"
        assert lab.on(node, f"{put} {unknown} http://127.0.0.1:8500/v1/kv/docker/e2e") == "403"
        assert lab.on(node, f"{put} -H 'X-Consul-Token: anonymous' http://127.0.0.1:8500/v1/kv/docker/e2e") == "403"
        assert lab.on(node, f"{code} http://127.0.0.1:8500/v1/acl/tokens") == "403"
    for address in ADDRESSES[1:]:
        # Nothing listens there, from whichever node.
        assert lab.on("docker01", f"{put} http://{address}:8500/v1/kv/docker/e2e || true") == "000"
    management = Path(lab.record()["identity"]["store_tokens"]["management"]).read_text()
    header = ["curl", "-s", "-m", "20", "-H", "@-", "http://127.0.0.1:8500/v1/acl/tokens"]
    listed = lab.overlab("exec", "docker01", "--", *header, stdin=f"X-Consul-Token: {management}\n").ok()
    names = [policy["Name"] for token in json.loads(listed.stdout) for policy in token.get("Policies") or ()]
    assert sorted(names) == ["global-management", "lab-agents", "lab-engines"]


def test_the_firewall_keeps_strangers_out(lab: RealLab) -> None:
    """The platform's end of the bridge is no peer: SSH and published ports answer it, gossip does not."""
    assert lab.in_network("curl", "-sS", "-m", "20", f"http://{ADDRESSES[1]}:90/").ok().stdout
    probe = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)"
    assert lab.in_network("python3", "-c", probe, ADDRESSES[0], "22").code == 0
    assert lab.in_network("python3", "-c", probe, ADDRESSES[0], "7946").code != 0
    lab.on("docker02", f"timeout 20 bash -c '</dev/tcp/{ADDRESSES[0]}/7946'")


def test_no_secret_is_in_a_process_list_or_a_log(lab: RealLab) -> None:
    identity_dir = Path(lab.record()["identity"]["client_key"]).parent
    gossip = (identity_dir / "gossip").read_text().strip()
    key_line = (identity_dir / "tls" / "server-docker01-key.pem").read_text().splitlines()[1]
    secrets = [gossip, key_line, *(path.read_text() for path in (identity_dir / "store").iterdir())]
    assert len(secrets) == 5
    for node in NODES:
        look = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl -q --no-pager -o cat; docker logs consul 2>&1"
        seen = lab.on(node, look)
        assert "consul agent" in seen
        assert not [secret for secret in secrets if secret in seen]
    printed = lab.overlab("up").ok().text + json.dumps(lab.outputs()) + json.dumps(lab.resources())
    assert not [secret for secret in secrets if secret in printed]


def test_another_labs_platform_meets_nothing_of_this_one(lab: RealLab, tmp_path: Path) -> None:
    def traces() -> set[str]:
        # SSH connections come and go.
        return {trace for trace in platform.traces(lab) if ": ssh" not in trace}

    other = RealLab("plain", tmp_path)
    before = traces()
    try:
        other.overlab("preview").ok()
        assert platform.traces(other)
        assert not before & set(platform.traces(other))
        assert other.in_network("curl", "-sS", "-m", "20", f"http://{ADDRESSES[1]}:90/").code != 0
    finally:
        other.overlab("down", "--platform", "--force")
    assert platform.traces(other) == []
    assert traces() == before
    assert lab.in_network("curl", "-sS", "-m", "20", f"http://{ADDRESSES[1]}:90/").ok().stdout


def test_the_matrix_as_a_command(lab: RealLab, tmp_path: Path) -> None:
    check_scenarios.all_pass_with_one_session_a_node(lab, tmp_path)


def test_a_failed_check_says_what_was_run_where_and_why(lab: RealLab) -> None:
    check_scenarios.a_failure_says_what_was_run_where_and_why(lab)


def test_a_node_that_is_away_is_not_taken_for_a_failure(lab: RealLab) -> None:
    check_scenarios.a_node_that_is_away_is_not_taken_for_a_failure(lab)


@browser.needed
def test_the_report_in_a_browser(lab: RealLab, tmp_path: Path) -> None:
    check_scenarios.the_report_shows_the_lab_in_a_browser(lab, tmp_path)


def test_every_view_of_the_lab_agrees(lab: RealLab) -> None:
    status_scenarios.every_view_agrees(lab)
    status_scenarios.the_model_has_every_sandbox(lab, "web1", "beside1")


def test_a_forwarding_entry_that_went_is_named_and_its_remedy_helps(lab: RealLab) -> None:
    status_scenarios.a_removed_entry_is_named_and_its_remedy_helps(lab)


def test_a_silent_node_is_shown_and_the_others_are_looked_at(lab: RealLab) -> None:
    with check_scenarios.without_ssh(lab, "docker03"):
        status_scenarios.an_unreachable_node_is_shown_as_such(lab)


@browser.needed
def test_the_stores_own_page_in_a_browser(lab: RealLab, tmp_path: Path) -> None:
    status_scenarios.the_stores_page_shows_the_nodes(lab, tmp_path)


def test_plain_ssh_and_dockers_own_client_reach_every_node(lab: RealLab, tmp_path: Path) -> None:
    status_scenarios.plain_ssh_reaches_every_node(lab, tmp_path)
    status_scenarios.dockers_own_client_talks_to_each_engine(lab)
    status_scenarios.dockers_own_client_talks_tls(lab)


def test_a_stopped_server_is_survived_and_comes_back(lab: RealLab) -> None:
    lab.on("docker03", "docker stop -t 5 consul")
    try:
        for name in ("three", "t2"):
            ping = f"for n in $(seq 30); do docker exec t1 ping -c 2 -W 2 {name} && break; sleep 1; done"
            assert "2 packets received" in lab.on("docker01", ping)
        # A new endpoint needs the store: two of three servers are enough.
        made = "docker run --rm --name passing --network ov_net1 busybox:1.35 ping -c 2 -W 2 t2"
        assert "2 packets received" in lab.on("docker01", made)
    finally:
        lab.on("docker03", "docker start consul")
    peers = "for n in $(seq 90); do p=$(curl -s 127.0.0.1:8500/v1/status/peers | grep -o 8300 | wc -l);"
    peers += (
        " l=$(curl -s 127.0.0.1:8500/v1/status/leader); [ $p = 3 ] && [ ${#l} -gt 5 ] && break; sleep 1; done; echo $p"
    )
    assert lab.on("docker03", peers).strip() == "3"


def test_a_container_removed_by_hand_is_put_back_alone(lab: RealLab) -> None:
    lab.on("docker03", "docker rm -f t3")
    healthy = "dockerd-watchdog check 2>/dev/null && docker info >/dev/null 2>&1"
    lab.on("docker03", f"for n in $(seq 120); do {healthy} && break; sleep 1; done; dockerd-watchdog check")
    done, _ = lab.operations("refresh", "--yes", "--skip-preview")
    done.ok()
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes["create"] == 1
    assert "delete" not in changes
    names = lab.on("docker03", "docker ps --format '{{.Names}}'").split()
    assert sorted(names) == ["consul", "t3"]


def test_a_wrong_expectation_fails_the_up_and_names_what_was_seen(lab: RealLab, tmp_path: Path) -> None:
    config = yaml.safe_load((PROJECT / "Pulumi.ci.yaml").read_text())
    wrong = {"kind": "ping-ip", "source": "t1", "target": "t3", "network": "ov_net1", "expect": "fail"}
    config["config"]["overlab:lab"]["checks"] = {"t1-must-not-reach-t3": wrong}
    file = tmp_path / "Pulumi.ci.yaml"
    file.write_text(yaml.safe_dump(config))
    done = lab.pulumi("up", "--yes", "--skip-preview", "--non-interactive", "--config-file", str(file))
    assert done.code != 0
    assert "check failed: t1 -> t3 ping-ip on ov_net1 (on docker01): expected fail, got pass" in done.text
    assert "ran:    docker exec t1 ping -c 1 -W 2 10.0.0.33" in done.text
    assert "1 packets received" in done.text
    lab.overlab("up").ok()


def test_an_engine_that_was_restarted_takes_new_workloads(lab: RealLab) -> None:
    """Beside two of its own on the overlay, which did not notice."""
    started = "docker inspect -f '{{.State.StartedAt}}' t2 web1"
    before = lab.on("docker02", started)
    lab.on("docker02", "systemctl restart docker.service; docker info >/dev/null")
    made = lab.on("docker02", "docker run --rm --name passing --network ov_net1 busybox:1.35 ping -c 2 -W 5 t1")
    assert " 0% packet loss" in made
    assert lab.on("docker02", started) == before
    assert " 0% packet loss" in lab.on("docker01", "docker exec t1 ping -c 2 -W 5 t2; docker exec t1 ping -c 2 web1")


def test_a_split_cluster_is_seen_and_healed(lab: RealLab) -> None:
    """docker03 registers while nobody can reach its gossip port, and nobody tries again: listed, listening, cut off.

    The others start anew meanwhile: gossip goes on trying to reach a member that it has known.
    """
    block = "iptables -I {chain} -i lab0 -p {proto} --dport 7946 -j REJECT"
    rules = [block.format(chain="INPUT", proto=proto) for proto in ("tcp", "udp")]
    rules += [rule.replace("-I INPUT -i lab0", "-I OUTPUT -o lab0") for rule in rules]
    lab.on("docker03", "systemctl stop docker.service docker.socket; sleep 1; " + "; ".join(rules))
    for node in ("docker01", "docker02", "docker03"):
        lab.on(node, "systemctl restart docker.service; docker info >/dev/null")
    # One heartbeat and more: every engine has seen the new key and failed to reach it.
    lab.on("docker03", "sleep 25; " + "; ".join(rule.replace("-I", "-D") for rule in rules))
    listed = lab.on("docker01", "curl -s 'http://127.0.0.1:8500/v1/kv/docker/nodes?keys'")
    assert "10.98.0.13:2376" in listed
    invocation = "_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value docker.service)"
    joined = lab.on(
        "docker03", f"journalctl -q -u docker.service {invocation} -o cat | grep -c EventMemberJoin: || true"
    )
    assert int(joined) <= 1, "the split was not provoked"
    assert "gossip-partition" in status_scenarios.finding_ids(lab.overlab("status", "--json"))
    gates = [argument for node in NODES for argument in ("--target-replace", lab.urn(f"{node}-joined"))]
    done = lab.pulumi("up", "--yes", "--skip-preview", "--non-interactive", *gates)
    done.ok()
    assert "announcing it again" in done.text
    joined = lab.on(
        "docker03", f"journalctl -q -u docker.service {invocation} -o cat | grep -o 'EventMemberJoin: [^ ]*'"
    )
    assert {"EventMemberJoin: docker01", "EventMemberJoin: docker02"} <= set(joined.splitlines())


def test_what_shells_and_markup_would_act_upon_is_only_text(lab: RealLab, tmp_path: Path) -> None:
    """The fields that take any text, and the oddest names that the others take, on a real node."""
    config = yaml.safe_load((PROJECT / "Pulumi.ci.yaml").read_text())
    settings = config["config"]["overlab:lab"]
    name, longest = "0_-_x", "L" * 63
    command = ["sh", "-c", 'printf %s "$1" >/said; exec sleep 1000000', "--", HOSTILE]
    settings["workloads"][name] = {"node": "docker01", "command": command, "networks": {"ov_net1": {"aliases": ["0"]}}}
    settings["workloads"][longest] = {"node": "docker02", "networks": ["ov_net1"]}
    check = {"kind": "ping-name", "source": name, "target": longest, "network": "ov_net1"}
    settings["checks"] = {"0.-_": check, "0.": check | {"kind": "ping-ip"}}
    file = tmp_path / "Pulumi.ci.yaml"
    file.write_text(yaml.safe_dump(config))
    lab.pulumi("up", "--yes", "--skip-preview", "--non-interactive", "--config-file", str(file)).ok()
    said = base64.b64decode(lab.on("docker01", f"docker exec {name} base64 /said"))
    assert said.decode() == HOSTILE
    assert json.loads(lab.on("docker01", f"docker inspect -f '{{{{json .Config.Cmd}}}}' {name}")) == command
    acted = "ls -d /pwned* /tmp/pwned* 2>/dev/null; docker exec {name} sh -c 'ls -d /pwned*' 2>/dev/null; true"
    for node in NODES:
        assert lab.on(node, acted.format(name=name)) == ""
    assert not list(Path("/").glob("pwned*"))
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes["delete"] == 4  # two containers, and the components that they were in
    assert "create" not in changes


def test_bad_input_is_told_whole_and_makes_nothing(lab: RealLab, tmp_path: Path) -> None:
    config = yaml.safe_load((PROJECT / "Pulumi.ci.yaml").read_text())
    bad = config["config"]["overlab:lab"]
    bad["netwrk"] = {}
    bad["store"]["kind"] = "etcdd"
    bad["networks"]["ov_net1"]["subnet"] = "10.98.0.0/25"
    bad["workloads"]["t1"]["node"] = "docker09"
    file = tmp_path / "Pulumi.ci.yaml"
    file.write_text(yaml.safe_dump(config))
    before = lab.resources()
    done = lab.pulumi("preview", "--non-interactive", "--config-file", str(file))
    assert done.code != 0
    for path in ("lab.netwrk", "lab.store.kind", "lab.networks.ov_net1.subnet", "lab.workloads.t1.node"):
        assert path in done.text
    assert "Traceback" not in done.text
    assert lab.resources() == before


def test_a_machine_with_more_memory_is_made_anew_and_takes_its_place_again(lab: RealLab) -> None:
    """With a store server and workloads on it: what it had in the store is taken back, and the others go on."""
    networks = lab.on("docker01", "docker network ls -q --no-trunc -f driver=overlay | sort")
    ran = certificates.started(lab)
    config = yaml.safe_load(lab.file.read_text())
    config["config"]["overlab:lab"]["nodes"]["docker02"] = {"machine": {"memory_mib": 1200}}
    lab.file.write_text(yaml.safe_dump(config))
    lab.overlab("up").ok()
    assert int(lab.on("docker02", "awk '/MemTotal/ { print $2 }' /proc/meminfo")) > 1050 * 1024
    assert lab.on("docker01", "docker network ls -q --no-trunc -f driver=overlay | sort") == networks
    runs = certificates.started(lab)
    assert len(runs) == len(ran)
    assert len(runs.items() & ran.items()) == len(ran) - 4  # docker02's: consul, t2, web1, beside1
    assert lab.on("docker01", "curl -s 127.0.0.1:8500/v1/status/peers").count(":8300") == 3
    lab.overlab("status").ok()
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert not changes


def test_destroy_leaves_nothing(lab: RealLab) -> None:
    lab.overlab("down").ok()
    assert platform.objects(lab) == {"domains": [], "networks": [], "pools": []}
    assert platform.files(lab) == []
    assert lab.resources() == []


def test_without_its_platform_nothing_at_all_is_left(lab: RealLab) -> None:
    assert platform.traces(lab)
    lab.overlab("down", "--platform").ok()
    assert platform.traces(lab) == []
