"""The firewall of a node and the port probe, with real packets between a workload, its node and another machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from components.config import conventions
from components.config.stores.consul import CONSUL
from components.node import firewall, port_probe

NODE, PEER, PLATFORM, OTHER_BRIDGE = "10.99.0.11", "10.99.0.12", "10.99.0.1", "169.254.254.1"
CONTROL_PORTS = (*conventions.NODE_PORTS, *CONSUL.control_ports)
CONTROL = " ".join(str(port) for port in CONTROL_PORTS)
TCP = [f"{port}/tcp" for port in CONTROL_PORTS]
UDP = ["4789/udp", "7946/udp", "8301/udp"]
# The node is the namespace in which this runs. Whatever is listened on only accepts;
SETUP = f"""
set -eu
mount -t tmpfs none /run; mkdir -p /run/netns
for name in machine workload; do ip netns add $name; ip -n $name link set lo up; done
ip link set lo up
ip link add lab0 type veth peer name eth0 netns machine
ip link add docker_gwbridge type bridge
ip link add veth1 type veth peer name eth1 netns workload
ip link set veth1 master docker_gwbridge
ip addr add {NODE}/24 dev lab0; ip addr add 172.30.1.1/24 dev docker_gwbridge
for address in {PEER}/24 {PLATFORM}/24 {OTHER_BRIDGE}/30; do ip -n machine addr add $address dev eth0; done
ip -n workload addr add 172.30.1.2/24 dev eth1
for link in lab0 docker_gwbridge veth1; do ip link set $link up; done
ip -n machine link set eth0 up; ip -n workload link set eth1 up
ip route add default via {PLATFORM}; ip -n workload route add default via 172.30.1.1
echo 1 >/proc/sys/net/ipv4/ip_forward
iptables -t nat -A POSTROUTING -s 172.30.1.0/24 ! -o docker_gwbridge -j MASQUERADE

# What a start of dockerd does to the chains, and docker.service before it.
dockerd() {{
    iptables -n -L DOCKER-USER >/dev/null 2>&1 || iptables -N DOCKER-USER
    iptables -C DOCKER-USER -j RETURN 2>/dev/null || iptables -A DOCKER-USER -j RETURN
    iptables -D FORWARD -j DOCKER-USER 2>/dev/null || true
    iptables -I FORWARD -j DOCKER-USER
}}
# And one that finds containers running.
restarted_dockerd() {{ iptables -I FORWARD -i docker_gwbridge ! -o docker_gwbridge -j ACCEPT; }}
in_workload() {{ ip netns exec workload "$@"; }}
in_machine() {{ ip netns exec machine "$@"; }}
probe() {{ in_workload $python $probe 127.0.0.1:53 "$@" || true; }}
$python $listen /run/node {CONTROL} &
in_machine $python $listen /run/machine {CONTROL} 90 5000 &
in_workload $python $listen /run/workload 53 &
until [ -e /run/node ] && [ -e /run/machine ] && [ -e /run/workload ]; do sleep 0.1; done
"""
LISTEN = """
import pathlib, signal, socket, sys
sockets = []
for port in sys.argv[2:]:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        sockets.append(socket.socket(socket.AF_INET, kind))
        sockets[-1].bind(("", int(port)))
        if kind == socket.SOCK_STREAM:
            sockets[-1].listen(64)
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""
FIREWALL = ["sh $firewall start", "dockerd"]
TO_NODE, TO_PEER = f"probe {NODE} {' '.join([*TCP, *UDP])}", f"probe {PEER} {' '.join([*TCP, *UDP])}"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "iptables", "ip6tables", "ip")),
        reason="needs root, and iptables in network namespaces",
    ),
]


def run(tmp_path: Path, *steps: str) -> list[str]:
    """The lines that steps print on a node, where ``$firewall`` is its firewall's script."""
    ports = CONSUL.peer_ports(1, serves=True)
    rules = firewall.rules(
        IPv4Network("10.99.0.0/24"),
        "lab0",
        [IPv4Address(PEER)],
        engine_api=True,
        store_ports=ports,
        control_ports=CONTROL_PORTS,
    )
    script = firewall.script().replace("/etc/overlab", str(tmp_path))
    texts = {"firewall.rules": rules, "firewall6.rules": firewall.rules6(), "firewall": script}
    for name, text in (texts | {"probe": port_probe.script(), "listen": LISTEN}).items():
        (tmp_path / name).write_text(text)
    values = [f"{name}={tmp_path}/{name}" for name in ("firewall", "probe", "listen")]
    script = "\n".join([f"python='{sys.executable} -IS'", *values, SETUP, *steps])
    done = subprocess.run(
        [*"unshare --net --mount --pid --fork --kill-child --mount-proc sh -c".split(), script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def reached(address: str, ports: list[str]) -> list[str]:
    """What the probe prints where these answer."""
    texts = {"tcp": "accepts a connection", "udp": "does not refuse a packet"}
    return [f"{port} of {address} {texts[port.split('/')[1]]}" for port in ports]


def test_without_rules_a_workload_reaches_every_control_port(tmp_path: Path) -> None:
    """The probe can fail."""
    found = run(tmp_path, TO_NODE, TO_PEER, f"probe {PLATFORM} 5000/tcp", f"probe {OTHER_BRIDGE} 5000/tcp")
    platform = [*reached(PLATFORM, ["5000/tcp"]), *reached(OTHER_BRIDGE, ["5000/tcp"])]
    assert found == [*reached(NODE, [*TCP, *UDP]), *reached(PEER, [*TCP, *UDP]), *platform]


@pytest.mark.parametrize(
    "order",
    [
        FIREWALL,
        FIREWALL[::-1],
        [*FIREWALL, "sh $firewall start", "dockerd"],
        [*FIREWALL, "sh $firewall stop", "sh $firewall start"],
        ["dockerd", "iptables -I DOCKER-USER -p tcp --dport 99 -j DROP", "sh $firewall start", "dockerd"],
        [*FIREWALL, "iptables -F", "restarted_dockerd", "sh $firewall start", "sh $firewall start"],
        [*FIREWALL, "restarted_dockerd", "sh $firewall start"],
    ],
    ids=[
        "boot",
        "installed later",
        "both restarted",
        "firewall restarted",
        "beside rules of the user",
        "flushed",
        "engine's rules above",
    ],
)
def test_a_workload_reaches_no_control_port_but_published_ones(tmp_path: Path, order: list[str]) -> None:
    platform = [f"probe {address} 22/tcp 5000/tcp" for address in (PLATFORM, OTHER_BRIDGE)]
    found = run(tmp_path, *order, TO_NODE, TO_PEER, *platform, f"probe {PEER} 90/tcp 5000/tcp")
    refused = [f"refused by {address}: {' '.join([*TCP, *UDP])}" for address in (NODE, PEER)]
    refused += [f"refused by {address}: 22/tcp 5000/tcp" for address in (PLATFORM, OTHER_BRIDGE)]
    assert found == [*refused, *reached(PEER, ["90/tcp", "5000/tcp"])]


def test_a_peer_still_reaches_what_a_lab_needs(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        *FIREWALL,
        f"in_machine $python $probe 127.0.0.1:22 {NODE} {' '.join([*TCP, *UDP])} || true",
        f"$python $probe 127.0.0.1:22 {PLATFORM} 5000/tcp || true",
    )
    needed = ["22/tcp", "2376/tcp", "7946/tcp", "8500/tcp", "4789/udp", "7946/udp"]
    assert found == [*reached(NODE, needed), *reached(PLATFORM, ["5000/tcp"])]


def test_nothing_is_accepted_over_ipv6(tmp_path: Path) -> None:
    connect = "import socket, sys; print(socket.socket(socket.AF_INET6).connect_ex((sys.argv[1], 22)))"
    listen = "import socket; s = socket.create_server(('::', 22), family=socket.AF_INET6); input()"
    steps = [
        "ip -6 addr add fd00::1/64 dev docker_gwbridge nodad; in_workload ip -6 addr add fd00::2/64 dev eth1 nodad",
        f'sleep 30 | $python -c "{listen}" &',
        f"""try() {{ in_workload $python -c "{connect}" fd00::1; }}""",
        'until [ "$(try)" = 0 ]; do sleep 0.1; done',
        "sh $firewall start",
        "try",
    ]
    assert run(tmp_path, *steps) == ["111"]


def test_rules_that_are_not_loaded_fail_the_unit(tmp_path: Path) -> None:
    """So that docker.service, which requires it, does not start."""
    step = "sed -i s/REJECT/REJEKT/ {}; sh $firewall start 2>/dev/null || echo failed"
    for file in ("firewall.rules", "firewall6.rules"):
        assert run(tmp_path, step.format(tmp_path / file)) == ["failed"]


def test_the_probe_reports_that_it_cannot_probe(tmp_path: Path) -> None:
    found = run(tmp_path, f"in_workload $python $probe 127.0.0.1:54 {NODE} 22/tcp || echo $?")
    assert found == ["the probe does not work: 127.0.0.1:54 does not answer, which has to", "2"]


def test_a_port_that_drops_packets_is_not_taken_for_one_that_refuses(tmp_path: Path) -> None:
    drop = "iptables -I INPUT -p tcp --dport 22 -j DROP"
    found = run(tmp_path, drop, f"probe {NODE} 22/tcp 90/tcp", f"probe {NODE} 90/udp")
    assert found == [f"refused by {NODE}: 90/tcp", f"no answer from {NODE}: 22/tcp", f"refused by {NODE}: 90/udp"]
