"""The program that runs checks, on a "node" whose engine is a shell script, and on interfaces that are real."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components import checks
from components.checks import bulk
from components.checks.kinds import KINDS, Probe, Subject
from components.config.settings import parse
from tests.unit import check_run_factory

_DOCKER = """\
#!/bin/sh
echo "$*" >>"$LAB/log"
case $1 in
exec)
    [ -e "$LAB/up.$3" ] || { echo "Error response from daemon: Container 1a2b is not running" >&2; exit 1; }
    if rm "$LAB/restart.$3" 2>/dev/null; then echo "Error: No such exec instance: 67f2" >&2; exit 1; fi
    echo $$ >"$LAB/shell.$3"
    exec setsid $BUSYBOX sh -s ;;
inspect)
    # Of several with their names; of one its process alone.
    case $3 in *Name*) ;; *) cat "$LAB/pid" ;; esac ;;
esac
"""


class Node:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "docker").write_text(_DOCKER)
        (directory / "docker").chmod(0o755)
        (directory / "up.t1").touch()
        self.environment = {"PATH": f"{directory}:{os.environ['PATH']}", "LAB": str(directory)}
        self.environment["BUSYBOX"] = shutil.which("busybox") or ""

    def run(
        self, *planned: dict[str, Any], listeners: dict[str, str] | None = None, listen_s: float = 5
    ) -> subprocess.CompletedProcess[bytes]:
        plan = {"where": "on docker01", "watchdog": "", "listeners": listeners or {}, "listen_s": listen_s}
        plan["checks"] = planned
        command = ["python3", "-I", "-c", checks.PROGRAM]
        text = json.dumps(plan).encode()
        return subprocess.run(command, env=self.environment, input=text, capture_output=True, check=False, timeout=60)

    def results(self, *planned: dict[str, Any], **options: Any) -> list[SimpleNamespace]:
        return printed(self.run(*planned, **options).stdout)

    def result(self, planned: dict[str, Any], **options: Any) -> SimpleNamespace:
        (result,) = self.results(planned, **options)
        return result


def printed(output: str | bytes) -> list[SimpleNamespace]:
    """The records of checks."""
    records = [json.loads(line) for line in output.splitlines()]
    return [SimpleNamespace(**record) for record in records if "id" in record]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def check(run: str, expect: str = "pass", timeout_s: int = 1, **more: Any) -> dict[str, Any]:
    record = {"id": more.pop("id", "x"), "kind": "ping-ip", "title": "a -> b", "expect": expect, "command": "ping b"}
    task = {"record": record, "timeout_s": timeout_s, "place": "node", "workload": "t1", "wants": [], "final": []}
    return task | {"run": run} | more


def inside(run: str, **more: Any) -> dict[str, Any]:
    return check(run, **{"place": "workload"} | more)


@pytest.mark.parametrize("place", ["node", "workload"])
def test_a_check_that_passes_is_reported_with_its_output(node: Node, place: str) -> None:
    result = node.result(check("printf 'one\\ntwo\\t|three' >&2", place=place))
    known = {"id": "x", "kind": "ping-ip", "title": "a -> b", "expect": "pass", "command": "ping b"}
    assert vars(result) == known | {"got": "pass", "seconds": 0, "output": "one\ntwo\t|three"}


@pytest.mark.parametrize("place", ["node", "workload"])
def test_bytes_that_are_no_text_are_replaced(node: Node, place: str) -> None:
    assert node.result(check(r"printf 'a\377b\001=1'", place=place)).output == "a\ufffdb\x01=1"


@pytest.mark.parametrize("place", ["node", "workload"])
def test_a_check_reads_no_input_and_keeps_no_state(node: Node, place: str) -> None:
    found = node.results(check("cd /; left=over; cat", place=place), check('echo "$left$PWD"', place=place))
    assert sorted(one.output for one in found) == ["", str(Path.cwd())]


def test_one_that_fails_is_tried_until_its_limit(node: Node) -> None:
    begun = time.monotonic()
    done = node.run(check("echo no; false", id="first"))
    assert time.monotonic() - begun >= 1
    (result,) = printed(done.stdout)
    assert (result.got, result.seconds >= 1, done.returncode) == ("fail", True, 1)
    assert done.stderr.decode().splitlines() == [
        f"check failed: a -> b (on docker01): expected pass, got fail after {result.seconds} s",
        "  ran:    ping b",
        "  no",
    ]


@pytest.mark.parametrize("place", ["node", "workload"])
def test_all_are_tried_at_once_and_until_one_deadline(node: Node, place: str) -> None:
    begun = time.monotonic()
    found = node.results(*(check("sleep 1; false", place=place, timeout_s=3) for _ in range(40)))
    assert [one.got for one in found] == ["fail"] * 40
    assert time.monotonic() - begun < 12


@pytest.mark.parametrize("place", ["node", "workload"])
@pytest.mark.parametrize("failing", ["nslookup-of-old x", "/etc", "echo HTTP/1.0 404 gone; false"])
def test_what_never_comes_is_not_tried_again(node: Node, tmp_path: Path, place: str, failing: str) -> None:
    run = f"echo x >>{tmp_path}/tries; {failing}"
    assert node.result(check(run, timeout_s=90, place=place, final=["^HTTP/1.0 4"])).got == "fail"
    assert (tmp_path / "tries").read_text() == "x\n"


def test_what_comes_late_passes(node: Node, tmp_path: Path) -> None:
    late = f"echo x >>{tmp_path}/tries; [ $(wc -l <{tmp_path}/tries) -ge 3 ] || {{ echo bad address; false; }}"
    assert node.result(inside(late, timeout_s=30, final=["^HTTP/1.0 4"])).got == "pass"


def test_long_output_keeps_its_begin_and_end(node: Node) -> None:
    wants = [["^first", "no first"], ["^last$", "no last"]]
    long = "echo first; i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i + 1)); done; echo last"
    many = [inside(long, id=str(number), wants=wants, timeout_s=20) for number in range(8)]
    assert [one.got for one in node.results(*many)] == ["pass"] * 8


@pytest.mark.slow
def test_nothing_is_left_running(node: Node, tmp_path: Path) -> None:
    """Neither a listener whose receivers did not come, nor what a check left; a listener that ends is waited for."""
    (tmp_path / "up.t2").touch()
    left = f"sleep 3210.{os.getpid()}"
    begun = time.monotonic()
    planned = [inside(f"{left} >/dev/null 2>&1 &"), check("exit 127")]
    node.run(*planned, listeners={"t1": f"{left}; true", "t2": "sleep 2"}, listen_s=10)
    assert 10 < time.monotonic() - begun < 25
    assert subprocess.run(["pgrep", "-f", left], check=False).returncode == 1
    done = node.run(inside("true"), listeners={"t2": f"sleep 1; touch {tmp_path}/confirmed"}, listen_s=30)
    assert (done.returncode, (tmp_path / "confirmed").exists()) == (0, True)


def test_nothing_is_left_running_of_a_program_that_is_stopped(node: Node) -> None:
    left = f"sleep 3211.{os.getpid()}"
    plan = {"where": "", "watchdog": "", "listeners": {}, "listen_s": 0, "checks": [inside(left)]}
    command = ["python3", "-I", "-c", checks.PROGRAM]
    program = subprocess.Popen(command, env=node.environment, stdin=subprocess.PIPE)
    assert program.stdin is not None
    program.stdin.write(json.dumps(plan).encode())
    program.stdin.close()
    end = time.monotonic() + 20
    while subprocess.run(["pgrep", "-fx", left], check=False, stdout=subprocess.DEVNULL).returncode != 0:
        assert time.monotonic() < end
        time.sleep(0.1)
    program.terminate()
    assert program.wait(20) == 1
    assert subprocess.run(["pgrep", "-fx", left], check=False).returncode == 1


def test_one_that_must_fail_is_wrong_when_any_of_three_tries_passes(node: Node, tmp_path: Path) -> None:
    late = f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0); echo $((n + 1)) > {tmp_path}/n; [ $n -ge 2 ]"
    assert node.result(check(late, "fail")).got == "pass"
    assert node.result(check("false", "fail")).got == "fail"
    assert node.run(check("false", "fail")).returncode == 0


def test_what_has_to_be_seen_decides_and_what_is_missing_is_named(node: Node) -> None:
    wants = [["^b$", "no line b"], ["^a", "no line a"]]
    assert node.result(check("printf 'a1\\nb\\n'; false", wants=wants)).got == "pass"
    assert node.result(check("echo c", wants=wants)).output == "no line b\nc"
    # Where the command itself failed, what it wrote is more specific.
    assert node.result(check("echo c; false", wants=wants)).output == "c"


@pytest.mark.parametrize("expect", ["pass", "fail"])
def test_a_workload_that_does_not_run_is_not_asked_twice(node: Node, tmp_path: Path, expect: str) -> None:
    (tmp_path / "up.t1").unlink()
    begun = time.monotonic()
    found = node.results(*(inside("true", expect=expect, timeout_s=90) for _ in range(3)))
    assert [(one.got, one.output) for one in found] == [
        ("", "Error response from daemon: Container 1a2b is not running")
    ] * 3
    assert time.monotonic() - begun < 20
    assert (tmp_path / "log").read_text().count("exec -i t1") == 2
    (tmp_path / "pid").write_text("0\n")
    assert node.result(check("$netns true", expect=expect)).output == "t1 does not run"


def test_checks_go_on_after_a_restart_of_the_engine(node: Node, tmp_path: Path) -> None:
    kill = f"kill -9 -$(cat {tmp_path}/shell.t1)"

    def once(run: str) -> dict[str, Any]:
        return inside(f"[ -e {tmp_path}/once ] || {{ touch {tmp_path}/once; {run}; }}")

    # The engine answers at once here; then the second session is refused, too.
    done = node.run(once(f"touch {tmp_path}/restart.t1; {kill}"))
    assert [one.got for one in printed(done.stdout)] == [""]
    (tmp_path / "once").unlink()
    done = node.run(inside("sleep 2", id="a"), once(kill))
    output = done.stdout.decode()
    assert [one.got for one in printed(output)] == ["pass", "pass"]
    assert checks.reopened_workloads(output) == ["t1"]


def test_workloads_and_the_node_do_not_wait_for_each_other(node: Node, tmp_path: Path) -> None:
    for number in range(2, 6):
        (tmp_path / f"up.t{number}").touch()
    begun = time.monotonic()
    found = node.results(check("sleep 3"), *(inside("sleep 3", workload=f"t{number}") for number in range(1, 6)))
    assert ([one.got for one in found], time.monotonic() - begun < 12) == (["pass"] * 6, True)


# -- the real thing --------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare for network namespaces"
)
LAB = {
    "nodes": {"docker01": {}},
    "networks": {"ov_net1": {"created_on": "docker01", "subnet": "10.0.0.0/24"}},
    "workloads": {"t1": {"node": "docker01", "networks": {"ov_net1": {"ipv4_address": "10.0.0.2"}}}},
}
# A workload's interfaces as libnetwork makes them.
_NETWORK = """
ip link add docker_gwbridge up type bridge
unshare -n sleep 60 & echo $! >"$LAB/pid"
pid=$!; until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link add veth0 up mtu 1450 type veth peer name eth0 netns $pid mtu 1450
ip link add veth1 up master docker_gwbridge type veth peer name eth1 netns $pid
n="nsenter -t $pid -n"
$n ip link set eth0 up; $n ip addr add 10.0.0.2/24 dev eth0
$n ip link set eth1 up; $n ip addr add 172.18.0.2/16 dev eth1
$n ip route add default via 172.18.0.1
"""


def seen(node: Node, kind: str, change: str = "true") -> SimpleNamespace:
    """The result of a kind of check about t1, whose network is as it should be but for a change."""
    settings = parse(LAB, "x")
    facts = checks.Facts({"t1": {"ov_net1": "10.0.0.2"}}, {}, {"ov_net1": {"id": "f", "subnet": "10.0.0.0/24"}})
    about = checks.Check(id="x", kind=kind, node="docker01", source="t1", target="t1", network="ov_net1")
    probe = KINDS[kind].probe(Subject(about, checks.CheckedLab.of(settings), facts))
    plan = {"where": "", "watchdog": "", "listeners": {}, "listen_s": 0}
    plan["checks"] = [check(probe.command, wants=probe.wants)]
    (node.directory / "plan").write_text(json.dumps(plan))
    (node.directory / "program").write_text(checks.PROGRAM)
    steps = f'set -e\n{_NETWORK}\n{change}\nset +e\npython3 -I "$LAB/program" <"$LAB/plan"\nkill $pid'
    command = ["unshare", "-n", "sh", "-c", steps]
    done = subprocess.run(command, env=node.environment, capture_output=True, text=True, check=False, timeout=60)
    (result,) = printed(done.stdout)
    return result


@needs_root
@pytest.mark.parametrize(
    ("kind", "change", "first_line"),
    [
        (
            "interface",
            "$n ip addr del 10.0.0.2/24 dev eth0",
            "no interface has 10.0.0.2/24",
        ),
        ("interface", "$n ip link set eth0 mtu 1500", "the interface with 10.0.0.2/24 is not eth0 with MTU 1450"),
        (
            "interface",
            "$n ip addr del 10.0.0.2/24 dev eth0; $n ip addr add 10.0.0.2/24 dev eth1",
            "the interface with 10.0.0.2/24 is not eth0 with MTU 1450",
        ),
        ("gateway-bridge", "$n ip route del default", "the default route is not on eth1"),
        ("gateway-bridge", "$n ip link set eth1 mtu 1400", "the default route's interface has another MTU than 1500"),
        (
            "gateway-bridge",
            "ip link set veth1 nomaster",
            "the default route's interface has no peer that is a port of docker_gwbridge",
        ),
        (
            "gateway-bridge",
            "ip link set veth1 nomaster; ip link set veth0 master docker_gwbridge",
            "the default route's interface has no peer that is a port of docker_gwbridge",
        ),
    ],
)
def test_interfaces_and_bridge_ports(node: Node, kind: str, change: str, first_line: str) -> None:
    good, bad = seen(node, kind), seen(node, kind, change)
    assert good.got == "pass", good.output
    assert (bad.got, bad.output.splitlines()[0]) == ("fail", first_line)


@needs_root
def test_no_egress(node: Node) -> None:
    assert seen(node, "no-egress").got == "fail"
    assert seen(node, "no-egress", "$n ip route del default").got == "pass"


@needs_root
@pytest.mark.parametrize(
    ("largest", "got", "output"), [(1422, "pass", "1422"), (1421, "fail", "too long"), (1423, "fail", "more passed")]
)
def test_full_size_packets_pass_and_larger_ones_do_not(node: Node, largest: int, got: str, output: str) -> None:
    ping = f'[ "$9" -le {largest} ] && echo "$9 bytes" || {{ echo message too long; exit 1; }}'
    (node.directory / "ping").write_text(f"#!/bin/sh\n{ping}\n")
    (node.directory / "ping").chmod(0o755)
    result = seen(node, "mtu")
    assert (result.got, output in result.output) == (got, True), result.output


@pytest.fixture
def toolbox(tmp_path: Path) -> dict[str, str]:
    """The environment of a workload."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "nc", "awk", "md5sum", "cut", "sleep", "timeout", "printf"):
        (tools / name).symlink_to(busybox)
    return {"PATH": str(tools)}


def session(leader: int) -> list[str]:
    """Processes in a new session."""
    return subprocess.run(["pgrep", "-s", str(leader)], capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.parametrize("receivers", [1, 3])
def test_a_listener_ends_when_every_receiver_has_everything(toolbox: dict[str, str], receivers: int) -> None:
    port = 21_000 + 2 * (os.getpid() % 2000)

    def start(receivers: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sh", "-c", bulk.listener(port, receivers)], env=toolbox, start_new_session=True)

    def receive() -> str:
        command = ["sh", "-c", bulk.receiver("127.0.0.1", port)]
        end = time.monotonic() + 20
        while True:
            done = subprocess.run(command, env=toolbox, capture_output=True, text=True, check=False, timeout=30)
            # Between two receivers nc is started again, and for a moment nobody listens.
            if "refused" not in done.stderr or time.monotonic() > end:
                break
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    left = start(1)
    time.sleep(0.5)
    # Another run ends what an earlier one left.
    listener = start(receivers)
    assert left.wait(timeout=20) in (0, 143, -15)
    for _ in range(receivers):
        assert listener.poll() is None
        assert receive() == f"{bulk.LENGTH} bytes: wanted {bulk.MD5}, got {bulk.MD5}\n"
    assert listener.wait(timeout=20) == 0
    # Nothing is left of it.
    end = time.monotonic() + 10
    while remaining := [pid for one in (left, listener) for pid in session(one.pid)]:
        assert time.monotonic() < end, remaining
        time.sleep(0.1)


def test_the_stated_checksum_is_that_of_the_bytes(toolbox: dict[str, str]) -> None:
    done = subprocess.run(["awk", bulk.PROGRAM], env=toolbox, capture_output=True, check=True)
    assert (hashlib.md5(done.stdout, usedforsecurity=False).hexdigest(), len(done.stdout)) == (bulk.MD5, bulk.LENGTH)


def test_a_probe_without_facts_is_shown_as_it_is_run() -> None:
    lab = checks.CheckedLab.of(check_run_factory.lab())
    ping = next(one for one in checks.matrix(check_run_factory.lab()) if one.kind == "ping-name")
    assert KINDS["ping-name"].probe(Subject(ping, lab, checks.Facts())) == Probe(f"ping -c 1 -W 2 {ping.target}")
