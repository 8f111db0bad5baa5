"""The matrix run for real, on "nodes" that are shells here: one session a node, whatever happens to them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from components import checks
from components.config.settings import Settings, parse
from overlab.checks import discovery, runner
from overlab.checks.results import CheckRun
from overlab.checks.runner import Transport
from overlab.checks.select import limited, select
from overlab.checks.session import ProcessResult, Session, session_command
from overlab.core.errors import OverlabError
from overlab.stack.outputs import Outputs
from tests.unit import check_run_factory

_DOCKER = """\
#!/bin/sh
# What the checks ask of Docker; a workload's file holds its address.
echo "$*" >>"$LAB/log.$NODE"
case $1 in
container)
    shift 4
    for name in "$@"; do
        [ -e "$LAB/up.$name" ] || continue
        address=$(cat "$LAB/up.$name")
        ports='{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"49160"},{"HostIp":"::","HostPort":"49161"}],"81/tcp":null}'
        networks="{\\"ov_net1\\":{\\"IPAddress\\":\\"$address\\"}}"
        printf '{"workload":"/%s","networks":%s,"ports":%s}\\n' "$name" "$networks" "$ports"
    done ;;
network)
    printf '{"network":"ov_net1","id":"%064d","ipam":[{"Subnet":"10.0.0.0/24"}]}\\n' 7 ;;
exec)
    [ "$2" = -i ] || exit 0
    if rm "$LAB/restart.$3" 2>/dev/null; then
        echo "Error response from daemon: No such exec instance: 67f2" >&2; exit 1
    fi
    [ -e "$LAB/up.$3" ] || { echo "Error response from daemon: Container 1a2b is not running" >&2; exit 1; }
    exec sh -s ;;
esac
"""
_PING = """\
#!/bin/sh
for target in "$@"; do :; done
if grep -q -x -- "$target" "$LAB/deaf" 2>/dev/null; then
    echo "1 packets transmitted, 0 packets received, 100% packet loss"; exit 1
fi
echo "1 packets transmitted, 1 packets received, 0% packet loss"
"""
_CURL = "#!/bin/sh\necho OK\n"
_NC = '#!/bin/sh\necho "$*" >>"$LAB/nc.$NODE"; exit 1\n'


class Nodes:
    """Three nodes, each a shell with its own tools."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.opened: list[str] = []
        self.away: dict[str, str] = {}
        for name, text in {"docker": _DOCKER, "ping": _PING, "curl": _CURL, "nc": _NC}.items():
            tool = directory / "bin" / name
            tool.parent.mkdir(exist_ok=True)
            tool.write_text(text)
            tool.chmod(0o755)
        for number in (1, 2, 3):
            self.start(f"t{number}", f"10.0.0.{number + 1}")

    def start(self, workload: str, address: str) -> None:
        (self.directory / f"up.{workload}").write_text(address)

    def stop(self, workload: str) -> None:
        (self.directory / f"up.{workload}").unlink()

    def deaf(self, *targets: str) -> None:
        (self.directory / "deaf").write_text("".join(f"{target}\n" for target in targets))

    def command(self, node: str, cmd: Sequence[str]) -> list[str]:
        self.opened.append(node)
        if node in self.away:
            return ["sh", "-c", 'echo "$1" >&2; exit 255', "ssh", self.away[node]]
        path = f"{self.directory / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["env", f"PATH={path}", f"LAB={self.directory}", f"NODE={node}", *cmd]


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path)


LAB = parse(
    {
        "nodes": {"docker01": {}, "docker02": {}, "docker03": {}},
        "store": {"node": "docker01"},
        "networks": {"ov_net1": {"created_on": "docker02", "subnet": "10.0.0.0/24"}},
        "workloads": {f"t{n}": {"node": f"docker0{n}", "networks": ["ov_net1"]} for n in (1, 2, 3)},
    },
    "x",
)
RECORDED = Outputs(
    nodes={"docker01": {}},
    networks={"ov_net1": {"id": "7" * 64, "subnet": "10.0.0.0/24"}},
    workloads={f"t{n}": {"addresses": {"ov_net1": f"10.0.0.{n + 1}"}} for n in (1, 2, 3)},
)


def go(nodes: Nodes, *only: str, outputs: Outputs = RECORDED, settings: Settings = LAB) -> CheckRun:
    matrix = limited(select(checks.matrix(settings), only or ("ping-ip", "ping-name")), 1)
    return runner.run(settings, matrix, lambda: outputs, Transport(nodes.command), only)


def test_all_pairs_pass_with_one_session_a_node(nodes: Nodes) -> None:
    run = go(nodes)
    assert (len(run.passed), len(run.results), run.exit_code, run.sessions) == (12, 12, 0, 3)
    assert sorted(nodes.opened) == ["docker01", "docker02", "docker03"]
    assert run.results[0].command == "docker exec t1 ping -c 1 -W 2 10.0.0.3"
    assert "1 packets received" in run.results[0].output


def test_one_that_fails_is_reported_with_what_was_run_and_where(nodes: Nodes) -> None:
    nodes.deaf("10.0.0.4", "t3")
    run = go(nodes)
    assert run.exit_code == 1
    assert {one.id for one in run.failed} == {
        f"{k}:ov_net1:{s}:t3" for k in ("ping-ip", "ping-name") for s in ("t1", "t2")
    }
    first = next(one for one in run.failed if one.id == "ping-ip:ov_net1:t1:t3")
    assert (first.node, first.got) == ("docker01", "fail")
    assert first.command == "docker exec t1 ping -c 1 -W 2 10.0.0.4"
    assert "100% packet loss" in first.output


def test_a_node_that_is_away_leaves_its_checks_not_run(nodes: Nodes) -> None:
    nodes.away["docker02"] = "ssh: connect to host 10.99.0.12 port 22: No route to host"
    run = go(nodes)
    assert run.exit_code == 2
    assert {one.node for one in run.not_run} == {"docker02"}
    assert len(run.not_run) == 4
    assert "No route to host" in run.not_run[0].output
    assert run.sessions == 2
    # What the others ask of its workload goes to the address that the last up recorded.
    assert any(one.command.endswith(" 10.0.0.3") for one in run.passed)


def test_a_workload_that_does_not_run_is_the_labs_fault(nodes: Nodes) -> None:
    nodes.stop("t2")
    run = go(nodes)
    assert run.exit_code == 1
    broken = [one for one in run.failed if one.source == "t2"]
    assert len(broken) == 4
    assert {one.output for one in broken} == {"Error response from daemon: Container 1a2b is not running"}


def test_what_a_restart_of_an_engine_interrupted_is_run_again_in_the_same_session(nodes: Nodes) -> None:
    (nodes.directory / "restart.t2").touch()
    run = go(nodes)
    assert (run.exit_code, len(run.passed)) == (0, 12)
    assert run.notes == ("the engine of docker02 was restarted meanwhile: a check in t2 was run again",)
    assert run.sessions == 3
    assert nodes.opened.count("docker02") == 1


def test_without_outputs_everything_is_asked_from_the_nodes(nodes: Nodes) -> None:
    run = go(nodes, outputs=Outputs())
    assert run.exit_code == 0
    # And kept, as nobody else has them.
    assert run.addresses["t3"] == {"ov_net1": "10.0.0.4"}
    assert run.ports["t1"] == {"80/tcp": 49160}
    assert run.networks["ov_net1"]["subnet"] == "10.0.0.0/24"


def test_what_nobody_knows_fails_and_is_not_sent_anywhere(nodes: Nodes) -> None:
    nodes.stop("t3")
    run = go(nodes, "ping-ip", outputs=Outputs())
    to_t3 = [one for one in run.failed if one.target == "t3"]
    assert {one.output for one in to_t3} == {
        "t3 has no address on ov_net1: it does not run there, and no up has recorded one"
    }
    assert [one.id for one in run.passed] == ["ping-ip:ov_net1:t1:t2", "ping-ip:ov_net1:t2:t1"]


def test_an_address_that_moved_is_followed_and_noted(nodes: Nodes) -> None:
    nodes.start("t3", "10.0.0.77")
    run = go(nodes, "ping-ip:*:t1:t3")
    assert run.results[0].command.endswith(" 10.0.0.77")
    assert run.notes == ("t3 has 10.0.0.77 on ov_net1 now; the last up saw 10.0.0.4 (overlab refresh records it)",)


def test_a_part_of_the_matrix_opens_only_the_sessions_that_it_needs(nodes: Nodes) -> None:
    run = go(nodes, "ping-ip:ov_net1:t1:t2")
    assert [one.id for one in run.results] == ["ping-ip:ov_net1:t1:t2"]
    assert sorted(nodes.opened) == ["docker01", "docker02"]


def test_sessions_grow_with_nodes_and_not_with_pairs(nodes: Nodes) -> None:
    many = {f"t{n}": {"node": f"docker0{n % 3 + 1}", "networks": ["ov_net1"]} for n in range(1, 10)}
    raw = {
        "nodes": {"docker01": {}, "docker02": {}, "docker03": {}},
        "networks": {"ov_net1": {"created_on": "docker02", "subnet": "10.0.0.0/24"}},
        "workloads": many,
        "machine": {"memory_mib": 4096},
    }
    for number in range(1, 10):
        nodes.start(f"t{number}", f"10.0.0.{number + 1}")
    run = go(nodes, "ping-ip", settings=parse(raw, "x"))
    assert (len(run.passed), run.sessions, len(nodes.opened)) == (72, 3, 3)


def test_the_listener_of_a_bulk_check_is_started_on_its_node(nodes: Nodes) -> None:
    go(nodes, "tcp:ov_net1:t1:t2")
    # It listens for data (-ll) and for their confirmation (-l), in no order.
    assert re.search("-ll? -p", (nodes.directory / "nc.docker02").read_text())
    assert not re.search("-ll? -p", (nodes.directory / "nc.docker01").read_text())


def test_checks_from_outside_run_at_the_hypervisors_end(tmp_path: Path, nodes: Nodes) -> None:
    raw = {
        "nodes": {"docker01": {}},
        "networks": {"ov_net1": {"created_on": "docker01", "subnet": "10.0.0.0/24"}},
        "workloads": {"t1": {"node": "docker01", "networks": ["ov_net1"], "http_port": 80, "ports": [{"target": 80}]}},
    }
    lab = parse(raw, "x")
    matrix = limited(select(checks.matrix(lab), ["http-external"]), 1)
    mark = tmp_path / "entered"
    inside = ("sh", "-c", f'touch {mark}; exec "$@"', "enter")
    run = runner.run(lab, matrix, Outputs, Transport(nodes.command, inside))
    assert mark.exists()
    assert run.exit_code == 1
    # The port is the engine's present one.
    assert run.failed[0].command == f"GET http://{lab.nodes['docker01'].address}:49160/"


def test_a_network_that_cannot_be_entered_is_not_a_failed_check(nodes: Nodes) -> None:
    lab = check_run_factory.lab()
    matrix = select(checks.matrix(lab), ["http-external:web1"])
    transport = Transport(nodes.command, ("/nonexistent/nsenter",))
    run = runner.run(lab, matrix, lambda: check_run_factory.outputs(lab), transport)
    assert (run.exit_code, run.not_run[0].output.split(":")[0]) == (2, "the underlay cannot be entered")


# -- sessions --------------------------------------------------------------------------------------


def test_a_node_without_output_is_given_up(nodes: Nodes) -> None:
    session = Session("docker01", ["sh", "-c", "exec sleep 60"])
    begun = time.monotonic()
    session.open(limit_s=0.3)
    assert session.problem == "it was reached, but reported nothing within 0.3 s"
    assert time.monotonic() - begun < 10


def test_a_script_that_hangs_is_ended_and_its_output_is_kept() -> None:
    session = Session("docker01", session_command(""))
    session.open(limit_s=20)
    ended = session.run("echo before; exec sleep 60", 1)
    assert (ended.code, ended.stdout) == (None, "before\n")


def test_a_script_that_was_cut_off_on_its_way_is_not_run(tmp_path: Path) -> None:
    text = f"touch {tmp_path}/harm\n"
    done = subprocess.run(session_command(""), input=text, capture_output=True, text=True, check=True)
    assert done.stdout == '{"facts": "end"}\n'
    assert not (tmp_path / "harm").exists()


def test_a_script_leaves_no_file_behind(tmp_path: Path) -> None:
    command = ["env", f"TMPDIR={tmp_path}", *session_command("")]
    subprocess.run(command, input=b"x", capture_output=True, check=True)
    assert list(tmp_path.iterdir()) == []


def test_checks_without_a_record_are_not_run_with_the_last_output() -> None:
    own = [check for check in checks.matrix(LAB) if check.node == "docker01"][:2]
    [first, second] = runner.evaluate(own, ProcessResult(137, "", "Killed\n"), {})
    assert (first.status, second.status) == ("not run", "not run")
    assert first.output == "the node's script ended with exit code 137 before this check; its last output: Killed"
    [cut, _] = runner.evaluate(own, ProcessResult(None, "", ""), {})
    assert "did not end in time" in cut.output


# -- what nodes report -----------------------------------------------------------------------------


def test_fixed_addresses_and_ids_come_from_settings_and_outputs_not_from_the_nodes() -> None:
    lab = check_run_factory.lab()
    reported = checks.parse_facts(
        [
            '{"workload":"/t4","networks":{"ov_net3": {"IPAddress": "172.19.0.9"}},"ports":null}',
            '{"workload":"/t1","networks":{"ov_net1": {"IPAddress": ""}},"ports":{}}',
            '{"network":"ov_net1","id":"ffff","ipam":null}',
            "nonsense",
            '{"workload":"x","networks":{',
            '{"workload":7}',
            "[]",
        ]
    )
    assert reported.networks["ov_net1"]["id"] == "ffff"
    facts, notes = discovery.facts(lab, check_run_factory.outputs(lab), [reported])
    assert facts.addresses["t4"] == {"ov_net3": "172.19.0.44"}
    assert facts.addresses["t1"] == {"ov_net1": "10.0.0.2"}
    assert facts.addresses["web6"] is facts.addresses["web5"]
    assert facts.networks["ov_net1"]["id"] == "a" * 64
    assert notes == []


def test_every_check_of_a_lab_can_be_stated_from_its_outputs_alone() -> None:
    lab = check_run_factory.lab()
    facts, _ = discovery.facts(lab, check_run_factory.outputs(lab), [])
    checked = checks.CheckedLab.of(lab)
    assert [check.id for check in checks.matrix(lab) if checks.missing_fact(check, checked, facts)] == []
    for node in lab.nodes:
        assert checks.node_script(node, checks.matrix(lab), checked, facts)


def test_with_no_facts_at_all_nothing_that_needs_one_is_stated() -> None:
    lab = check_run_factory.lab()
    facts, _ = discovery.facts(lab, Outputs(), [])
    checked = checks.CheckedLab.of(lab)
    ready = tuple(check for check in checks.matrix(lab) if not checks.missing_fact(check, checked, facts))
    for node in lab.nodes:
        assert checks.node_script(node, ready, checked, facts)
    assert {"ping-name", "engine", "gateway-bridge"} <= {check.kind for check in ready}
    assert not {"ping-ip", "interface", "kv", "network"} & {
        check.kind
        for check in ready
        if check.network != "ov_net3"  # its addresses are in the settings
    }


def test_what_a_node_is_asked_passes_shellcheck(tmp_path: Path) -> None:
    file = tmp_path / "on_node.sh"
    file.write_text(f"#!/bin/sh\n{session_command(discovery.script('docker01', LAB))[2]}")
    try:
        done = subprocess.run(["shellcheck", str(file)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("shellcheck is not installed")
    assert done.returncode == 0, done.stdout


# -- choosing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("mtu", {"mtu:ov_net1:t1:t2", "mtu:ov_net1:t2:t3", "mtu:ov_net1:t3:t1"}),
        ("gateway-bridge:t1", {"gateway-bridge:t1"}),
        ("network:*:docker01", {"network:ov_net1:docker01"}),
    ],
)
def test_only_names_kinds_and_ids(word: str, expected: set[str]) -> None:
    assert {check.id for check in select(checks.matrix(LAB), [word])} == expected


def test_only_a_workload_means_all_that_are_about_it() -> None:
    found = select(checks.matrix(check_run_factory.lab()), ["web5"])
    assert {"shared:web6:web5", "dns:ov_net3:t4:web5", "http:ov_net3:t4:web5"} <= {check.id for check in found}
    assert all("web5" in check.id for check in found)


def test_several_selections_add_up_and_keep_the_matrixs_order() -> None:
    matrix = checks.matrix(LAB)
    found = select(matrix, ["kv", "engine"])
    assert [check for check in matrix if check.kind in ("kv", "engine")] == list(found)


def test_a_word_that_matches_nothing_lists_the_kinds() -> None:
    with pytest.raises(OverlabError, match="--only pingip: no check of this lab") as error:
        select(checks.matrix(LAB), ["ping-ip", "pingip"])
    assert "ping-name" in str(error.value)


def test_a_limit_only_ever_shortens() -> None:
    matrix = checks.matrix(LAB)
    slow = tuple(matrix[0].model_copy(update={"timeout_s": limit}) for limit in (5, 50))
    assert [check.timeout_s for check in limited(slow, 10)] == [5, 10]
    assert limited(slow, None) == slow


def test_the_session_can_be_read_as_json_by_programs(nodes: Nodes) -> None:
    from overlab.checks.text import as_json

    document = json.loads(json.dumps(as_json(go(nodes, "ping-ip"))))
    assert (document["passed"], document["exit_code"], document["sessions"]) == (6, 0, 3)
    assert sys.getsizeof(document["checks"][0]["output"])
