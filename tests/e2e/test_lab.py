"""The lab of stack ``ci`` on node containers, in the order in which a user would try it: one lab for all tests here."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components import checks
from components.config.settings import parse, read_stack_file
from components.node_container import NodeContainer
from overlab.platform import identity
from tests.e2e import certificates, check_scenarios, doctor_scenarios, platform, rotation, status_scenarios
from tests.e2e.lab import ON_CONTAINERS, PROJECT, RealLab, lab_of, settings_of
from tests.unit import browser

STACK = "e2e-lab"
CIDR = "10.96.2.0/24"
SETTINGS = settings_of("ci", ON_CONTAINERS, ("cidr: 10.98.0.0/24", f"cidr: {CIDR}"))
NODES = ("docker01", "docker02", "docker03")
NIC = NodeContainer.interface
HOSTILE = """'"; touch /pwned; $(touch /pwned) `touch /pwned` | touch /pwned & </domain> ]]> &amp; %s %n \\ \\n
EOF
touch /pwned
{{ 7 * 7 }} ${HOME} !! ~ * \u202e\u00e9\u2028\t\x1b[2J"""
ADDRESSES = ("10.96.2.11", "10.96.2.12", "10.96.2.13")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLab]:
    """The lab, up."""
    with lab_of(STACK, SETTINGS, tmp_path_factory.mktemp(STACK)) as lab:
        lab.overlab("up").ok()
        yield lab


def test_up_proves_every_expectation(lab: RealLab) -> None:
    outputs = lab.outputs()
    found = {check["id"]: check for check in outputs["checks"]}
    settings = parse(read_stack_file(PROJECT, STACK), STACK)
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
    assert {n["engine"]["advertise"] for n in outputs["nodes"].values()} == {f"{address}:2376" for address in ADDRESSES}
    assert outputs["ports"]["web1"] == {"80/tcp": 90}


def test_a_second_up_changes_nothing(lab: RealLab) -> None:
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}
    again = lab.overlab("up").ok().text
    assert " unchanged" in again
    assert "replaced" not in again


def test_the_policy_pack_passes_an_up_and_stops_one(lab: RealLab, tmp_path: Path) -> None:
    """With the inputs and outputs of deployed resources, not those of a preview."""
    pack = ("--yes", "--skip-preview", "--policy-pack", "policy", "--policy-pack-config")
    own = tmp_path / "own.json"
    own.write_text((PROJECT / "policy" / "ci.json").read_text().replace("10.98.0.0/24", CIDR))
    done, changes = lab.operations("up", *pack, str(own))
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


def test_no_key_is_in_plaintext_in_the_state(lab: RealLab) -> None:
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


def test_no_other_listeners_than_the_declared_ones(lab: RealLab) -> None:
    for node, address in zip(NODES, ADDRESSES, strict=True):
        listeners = lab.on(node, "ss -Hltn | awk '{print $4}'").split()
        assert [at for at in listeners if at.endswith((":2375", ":2376"))] == [f"{address}:2376"]
        assert [at for at in listeners if at.endswith(":8500")] == ["127.0.0.1:8500"]


def test_a_container_is_limited_in_what_it_may_do_to_its_node(lab: RealLab) -> None:
    shown = "docker info --format '{{json .SecurityOptions}}'; docker inspect -f '{{json .HostConfig.LogConfig}}' t1"
    assert lab.on("docker01", shown).count("max-size") == 1
    inside = lab.on("docker01", "docker exec t1 sh -c 'grep NoNewPrivs /proc/self/status; ulimit -Hn'").split()
    assert inside == ["NoNewPrivs:", "1", "4096"]
    # docker0: two containers that are on no network of the lab.
    serve = "docker run -d --rm --name serve busybox:1.35 sh -c 'echo hi >/index.html; httpd -f -p 8080 -h /'"
    at = lab.on("docker01", f"{serve} >&2; docker inspect -f '{{{{.NetworkSettings.IPAddress}}}}' serve").strip()
    ask = f"sh -c 'echo GET / | nc -w 3 {at} 8080'"
    try:
        assert lab.on("docker01", f"docker exec serve {ask}").startswith("HTTP/1.1 ")
        assert lab.on("docker01", f"docker run --rm busybox:1.35 {ask} || true") == ""
    finally:
        lab.on("docker01", "docker rm -f serve >/dev/null")


def test_the_engine_api_accepts_only_certificates_of_the_labs_ca(lab: RealLab, tmp_path: Path) -> None:
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
def test_every_secret_is_rotated_under_load(lab: RealLab, tmp_path: Path, authority: bool) -> None:
    """A ping between two nodes, ten times a second, loses at most one packet; no container restarts."""
    old, old_secrets = certificates.copied(lab, tmp_path / "old"), rotation.copied(lab, tmp_path / "secrets")
    ran = certificates.started(lab)
    assert set(certificates.states(lab)) == {"ok"}
    with rotation.ping(lab, "docker01", "t1", "three") as lost:
        said = lab.overlab("rotate", *(["--ca"] if authority else [])).ok().stdout
        assert said.count("renewed: ") == 3
        assert "did not answer" not in said
        for address in ADDRESSES:
            assert certificates.served(lab, address, old.ca) == certificates.serial(old.server_certs, address)
        assert lab.on("docker03", "hostname") == "docker03\n"  # with the new keys, before the update
        done, changes = lab.operations("up", "--yes", "--skip-preview")
        done.ok()
    assert lost() <= 1
    assert certificates.started(lab) == ran
    # The gates that follow the engines' restart, and what waits for them; keys are installed by a step of their own.
    assert (changes["replace"], changes["create"], changes["delete"]) == (4, 0 if authority else 3, 0)
    new = certificates.named(lab)
    for address in ADDRESSES:
        assert certificates.served(lab, address, new.ca) == certificates.serial(new.server_certs, address)
        assert certificates.serial(new.server_certs, address) != certificates.serial(old.server_certs, address)
        assert certificates.answers(lab, address, new)
        assert certificates.answers(lab, address, old) == (not authority)
    rotation.retired(lab, old_secrets, NODES, ADDRESSES)
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes == {}
    lab.overlab("test").ok()


def test_the_store_denies_what_no_token_allows(lab: RealLab) -> None:
    """A request on a node's loopback has that node's rights; any other gets no answer or is refused."""
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


def test_the_firewall_rejects_gossip_from_other_hosts(lab: RealLab) -> None:
    """The underlay's first address is no node: SSH and published ports answer it, gossip does not."""
    assert lab.in_network("curl", "-sS", "-m", "20", f"http://{ADDRESSES[1]}:90/").ok().stdout
    probe = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)"
    assert lab.in_network("python3", "-c", probe, ADDRESSES[0], "22").code == 0
    assert lab.in_network("python3", "-c", probe, ADDRESSES[0], "7946").code != 0
    lab.on("docker02", f"timeout 20 bash -c '</dev/tcp/{ADDRESSES[0]}/7946'")


def test_workloads_reach_no_control_port(lab: RealLab) -> None:
    check_scenarios.workloads_reach_no_control_port(lab)
    check_scenarios.an_open_control_plane_is_reported_and_its_remedy_works(lab)
    check_scenarios.an_engine_starts_only_with_its_firewall(lab)


def test_a_container_that_ends_again_and_again_stops_no_engine(lab: RealLab) -> None:
    check_scenarios.a_container_that_ends_again_and_again_stops_no_engine(lab, "ov_closed")


def test_no_secret_is_in_a_process_list_or_a_log(lab: RealLab) -> None:
    identity_dir = Path(lab.record()["identity"]["client_key"]).parent
    gossip = (identity_dir / "gossip").read_text().strip()
    key_line = (identity_dir / "tls" / "server-docker01-key.pem").read_text().splitlines()[1]
    store_line = (identity_dir / "store-tls" / "docker01-key.pem").read_text().splitlines()[1]
    tokens = [text for path in (identity_dir / "store").iterdir() for text in path.read_text().split()]
    secrets = [gossip, key_line, store_line, *tokens]
    assert len(secrets) >= 6
    for node in NODES:
        collect = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; journalctl -q --no-pager -o cat; docker logs consul 2>&1"
        seen = lab.on(node, collect)
        assert "consul agent" in seen
        assert not [secret for secret in secrets if secret in seen]
    printed = lab.overlab("up").ok().text + json.dumps(lab.outputs()) + json.dumps(lab.resources())
    assert not [secret for secret in secrets if secret in printed]


def test_another_labs_platform_shares_nothing_with_this_one(lab: RealLab, tmp_path: Path) -> None:
    """The other one is on machines, with the same underlay."""

    def traces() -> set[str]:
        # SSH connections come and go.
        return {trace for trace in platform.traces(lab) if ": ssh" not in trace}

    before = traces()
    with lab_of("e2e-other", settings_of("plain", ("cidr: 10.97.0.0/24", f"cidr: {CIDR}")), tmp_path) as other:
        other.overlab("preview").ok()
        assert platform.traces(other)
        assert not before & set(platform.traces(other))
        assert other.in_network("curl", "-sS", "-m", "20", f"http://{ADDRESSES[1]}:90/").code != 0
    assert platform.traces(other) == []
    assert traces() == before
    assert lab.in_network("curl", "-sS", "-m", "20", f"http://{ADDRESSES[1]}:90/").ok().stdout


def test_all_checks_as_a_command(lab: RealLab, tmp_path: Path) -> None:
    check_scenarios.all_pass_with_one_session_a_node(lab, tmp_path)


def test_a_failed_check_reports_what_was_run_where_and_why(lab: RealLab) -> None:
    check_scenarios.a_failure_reports_what_was_run_where_and_why(lab)


def test_checks_on_an_unreachable_node_are_not_run_and_not_failed(lab: RealLab) -> None:
    check_scenarios.checks_on_an_unreachable_node_are_not_run(lab)


@browser.needed
def test_the_report_in_a_browser(lab: RealLab, tmp_path: Path) -> None:
    check_scenarios.the_report_shows_the_lab_in_a_browser(lab, tmp_path)


def test_every_view_of_the_lab_agrees(lab: RealLab) -> None:
    status_scenarios.every_view_agrees(lab)
    status_scenarios.the_model_has_every_sandbox(lab, "web1", "beside1")


def test_a_removed_fdb_entry_is_reported_and_its_remedy_works(lab: RealLab) -> None:
    status_scenarios.a_removed_entry_is_reported_and_its_remedy_works(lab)


T1_AND_T2 = [("t1", "docker01", ADDRESSES[0]), ("t2", "docker02", ADDRESSES[1])]


def test_why_names_faults_and_repair_heals_them(lab: RealLab) -> None:
    doctor_scenarios.faults_are_named_and_healed(lab, "ov_net1", T1_AND_T2)


def test_a_repair_disturbs_no_other_workload(lab: RealLab) -> None:
    doctor_scenarios.a_repair_disturbs_nobody(lab, "ov_net1", T1_AND_T2, ("docker03", "t3", "t2"))


def test_the_lab_as_a_cluster_that_was_attached(lab: RealLab, tmp_path: Path) -> None:
    doctor_scenarios.the_lab_as_a_cluster_that_was_attached(lab, ADDRESSES, tmp_path)


def test_an_unreachable_node_is_reported_and_the_others_are_inspected(lab: RealLab) -> None:
    with check_scenarios.without_ssh(lab, "docker03"):
        status_scenarios.an_unreachable_node_is_reported(lab)


@browser.needed
def test_the_consul_ui_in_a_browser(lab: RealLab, tmp_path: Path) -> None:
    status_scenarios.the_consul_ui_shows_the_nodes(lab, tmp_path)


def test_plain_ssh_and_the_docker_cli_reach_every_node(lab: RealLab, tmp_path: Path) -> None:
    status_scenarios.plain_ssh_reaches_every_node(lab, tmp_path)
    status_scenarios.the_docker_cli_reaches_each_engine(lab)
    status_scenarios.the_docker_cli_uses_tls(lab)


def test_the_lab_works_without_one_store_server_and_that_one_rejoins(lab: RealLab) -> None:
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


def test_a_container_removed_outside_of_pulumi_is_recreated_and_nothing_else(lab: RealLab) -> None:
    lab.on("docker03", "docker rm -f t3")
    healthy = "dockerd-watchdog check 2>/dev/null && docker info >/dev/null 2>&1"
    lab.until("docker03", healthy)
    done, _ = lab.operations("refresh", "--yes", "--skip-preview")
    done.ok()
    done, changes = lab.operations("up", "--yes", "--skip-preview")
    done.ok()
    assert changes["create"] == 1
    assert "delete" not in changes
    names = lab.on("docker03", "docker ps --format '{{.Names}}'").split()
    assert sorted(names) == ["consul", "t3"]


def test_a_failed_check_fails_the_up_with_expected_and_observed(lab: RealLab) -> None:
    wrong = "{kind: ping-ip, source: t1, target: t3, network: ov_net1, expect: fail}"
    lab.overlab("set", f"checks.t1-must-not-reach-t3={wrong}").ok()
    done = lab.overlab("up")
    assert done.code != 0
    assert "check failed: t1 -> t3 ping-ip on ov_net1 (on docker01): expected fail, got pass" in done.text
    assert "ran:    docker exec t1 ping -c 1 -W 2 10.0.0.33" in done.text
    assert "1 packets received" in done.text
    shown = done.stderr[done.stderr.index("up failed at 1 step") :].splitlines()
    assert shown[1] == "Connectivity docker01-checks"
    assert "evidence  check failed: t1 -> t3 ping-ip on ov_net1" in shown[3]
    assert "overlab test --stack" in shown[4]
    lab.overlab("set", "--unset", "checks.t1-must-not-reach-t3").ok()
    lab.overlab("up").ok()


def test_a_restarted_engine_runs_new_workloads(lab: RealLab) -> None:
    """Beside two of its own on the overlay, which keep running."""
    started = "docker inspect -f '{{.State.StartedAt}}' t2 web1"
    before = lab.on("docker02", started)
    lab.on("docker02", "systemctl restart docker.service; docker info >/dev/null")
    made = lab.on("docker02", "docker run --rm --name passing --network ov_net1 busybox:1.35 ping -c 2 -W 5 t1")
    assert " 0% packet loss" in made
    assert lab.on("docker02", started) == before
    assert " 0% packet loss" in lab.on("docker01", "docker exec t1 ping -c 2 -W 5 t2; docker exec t1 ping -c 2 web1")


def test_a_gossip_partition_is_reported_and_repaired(lab: RealLab) -> None:
    """docker03 registers while no other engine can reach its gossip port, and none retries: registered, listening,
    and partitioned.

    All are stopped at the same time before: gossip keeps trying to reach a member that any of its members has known.
    """
    block = "iptables -I {chain} -i {nic} -p {proto} --dport 7946 -j REJECT"
    rules = [block.format(chain="INPUT", nic=NIC, proto=proto) for proto in ("tcp", "udp")]
    rules += [rule.replace("-I INPUT -i", "-I OUTPUT -o") for rule in rules]
    for node in NODES:
        lab.on(node, "systemctl stop docker.service docker.socket")
    lab.on("docker03", "; ".join(rules))
    for node in NODES:
        lab.on(node, "systemctl start docker.socket docker.service; docker info >/dev/null")
    # Some heartbeats: every engine has seen the new key and failed to reach it.
    lab.on("docker03", "sleep 10; " + "; ".join(rule.replace("-I", "-D") for rule in rules))
    listed = lab.on("docker01", "curl -s 'http://127.0.0.1:8500/v1/kv/docker/nodes?keys'")
    assert f"{ADDRESSES[2]}:2376" in listed
    invocation = "_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value docker.service)"
    joined = lab.on(
        "docker03", f"journalctl -q -u docker.service {invocation} -o cat | grep -c EventMemberJoin: || true"
    )
    assert int(joined) <= 1, "the partition was not provoked"
    assert "gossip-partition" in status_scenarios.finding_ids(lab.overlab("status", "--json"))
    gates = [argument for node in NODES for argument in ("--target-replace", lab.urn(f"{node}-joined"))]
    done = lab.pulumi("up", "--yes", "--skip-preview", "--non-interactive", *gates)
    done.ok()
    assert "announcing it again" in done.text
    joined = lab.on(
        "docker03", f"journalctl -q -u docker.service {invocation} -o cat | grep -o 'EventMemberJoin: [^ ]*'"
    )
    assert {"EventMemberJoin: docker01", "EventMemberJoin: docker02"} <= set(joined.splitlines())


def test_characters_special_to_shells_and_markup_are_plain_text(lab: RealLab, tmp_path: Path) -> None:
    """In the fields that accept any text, with the most unusual names that the others accept."""
    config = yaml.safe_load(SETTINGS)
    settings = config["config"]["overlab:lab"]
    name, longest = "0_-_x", "L" * 63
    command = ["sh", "-c", 'printf %s "$1" >/said; exec sleep 1000000', "--", HOSTILE]
    settings["workloads"][name] = {"node": "docker01", "command": command, "networks": {"ov_net1": {"aliases": ["0"]}}}
    settings["workloads"][longest] = {"node": "docker02", "networks": ["ov_net1"]}
    check = {"kind": "ping-name", "source": name, "target": longest, "network": "ov_net1"}
    settings["checks"] = {"0.-_": check, "0.": check | {"kind": "ping-ip"}}
    file = tmp_path / lab.file.name
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


def test_invalid_settings_are_all_reported_and_create_nothing(lab: RealLab, tmp_path: Path) -> None:
    config = yaml.safe_load(SETTINGS)
    bad = config["config"]["overlab:lab"]
    bad["netwrk"] = {}
    bad["store"]["kind"] = "etcdd"
    bad["networks"]["ov_net1"]["subnet"] = "10.96.2.0/25"
    bad["workloads"]["t1"]["node"] = "docker09"
    file = tmp_path / lab.file.name
    file.write_text(yaml.safe_dump(config))
    before = lab.resources()
    done = lab.pulumi("preview", "--non-interactive", "--config-file", str(file))
    assert done.code != 0
    for path in ("lab.netwrk", "lab.store.kind", "lab.networks.ov_net1.subnet", "lab.workloads.t1.node"):
        assert path in done.text
    assert "Traceback" not in done.text
    assert lab.resources() == before


def test_destroy_leaves_nothing(lab: RealLab) -> None:
    lab.overlab("down").ok()
    assert platform.outer_objects(lab) == {"containers": [], "volumes": [], "networks": []}
    assert lab.resources() == []


def test_down_platform_leaves_no_trace(lab: RealLab) -> None:
    assert platform.traces(lab)
    lab.overlab("down", "--platform").ok()
    assert platform.traces(lab) == []
