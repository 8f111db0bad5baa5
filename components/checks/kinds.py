"""The kinds of check: for each where it runs, what is run, what has to be seen, and where its result is shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from components.checks import bulk
from components.checks.checked_lab import CheckedLab, CheckedWorkload
from components.checks.facts import Facts
from components.checks.model import EXTERNAL, Check
from components.config import conventions
from components.node import port_probe, store_client

Group = Literal["pairs", "isolation", "control plane", "nodes", "workloads"]
PACKET_HEADERS = 28
"""Bytes of IP and ICMP in a ping."""
RESOLVER = "127.0.0.11:53"
"""Listens in every workload on a network, for TCP too."""
UDP_CONTROL_PORTS = (conventions.VXLAN_PORT, conventions.SERF_PORT, conventions.CONSUL_GOSSIP_PORT)
"""Where a lab has these, it has them for UDP."""
_REFUSED = r"^HTTP/1\.\d 4\d\d|error: 4\d\d|HTTP Error 4\d\d"
"""By nc, curl, Python: the server answers, and has no such page."""
_NO_FILE = "No such file or directory"
_NO_NAME = "bad address|can't resolve|NXDOMAIN"
_STATUS_200 = (r"^HTTP/1\.\d 200", "the status is not 200")


@dataclass(frozen=True)
class Subject:
    """A check in its lab. A property that needs an unknown fact raises :class:`MissingFact`."""

    check: Check
    lab: CheckedLab
    facts: Facts

    @property
    def source(self) -> CheckedWorkload:
        return self.lab.workloads[self.check.source]

    @property
    def target(self) -> CheckedWorkload:
        return self.lab.workloads[self.check.target]

    @property
    def target_address(self) -> str:
        return self.facts.address(self.check.target, self.check.network)

    @property
    def mtu(self) -> int:
        return self.lab.mtu[self.check.network]

    @property
    def published_url(self) -> str:
        port = self.facts.ports.get(self.check.target, {}).get(f"{self.target.http_port}/tcp", 0)
        return f"http://{self.lab.nodes[self.target.node]}:{port}/"

    def device(self, name: str) -> str:
        """What an interface of the source is called; empty where the engine joins several networks, in no order."""
        return name if len(self.source.networks) == 1 else ""


@dataclass(frozen=True)
class Probe:
    """What is run, and what its output has to show."""

    command: str
    """Shell. On a node ``$netns`` before a command runs that in the source's network; from outside this is a URL."""
    wants: tuple[tuple[str, str], ...] = ()
    """Patterns that the output must have, and what to report where one is missing. Without any the exit code counts."""


@dataclass(frozen=True)
class Kind:
    """All that is particular to a kind of check."""

    place: Literal["workload", "node", "outside"]
    """In the source with a busybox, on the node with its tools, or from the hypervisor's side of the underlay."""
    group: Group
    """The grid that shows it."""
    probe: Callable[[Subject], Probe]
    """Raises :class:`MissingFact`."""
    column: str = ""
    """Heading of its column, with ``{network}``, in a grid of nodes or workloads; else the kind itself."""
    needs_listener: bool = False
    """Whether the target has to send while it runs."""

    @property
    def reproducible(self) -> bool:
        """Whether a person can run the same on the node."""
        return self.place != "outside" and not self.needs_listener


def command(check: Check, probe: Probe) -> str:
    """What is run, as a person would type it: on the check's node, or, from outside, into a browser."""
    place = KINDS[check.kind].place
    if place == "outside":
        return f"GET {probe.command}"
    if place == "node":
        return probe.command.replace("$netns", f"nsenter -t $(docker inspect -f {{{{.State.Pid}}}} {check.source}) -n")
    plain = shlex.join(probe.command.split(" ")) == probe.command
    return f"docker exec {check.source} {probe.command if plain else f'sh -c {shlex.quote(probe.command)}'}"


def final(subject: Subject) -> tuple[str, ...]:
    """Patterns of output with which a failure is final: what is missing there was not declared, or does not come."""
    check = subject.check
    # A name that is declared comes, when the source's engine has heard of it. Who shares a network stack states none.
    own, other = (set(subject.lab.workloads[name].networks) if name else set() for name in (check.source, check.target))
    return (_REFUSED, _NO_FILE, *([_NO_NAME] if own and other and not own & other else []))


def _ping(target: str, patience_s: int = 2) -> Probe:
    return Probe(f"ping -c 1 -W {patience_s} {target}")


def _get(host: str, port: int | None) -> str:
    """By nc, since the wget of a statically linked busybox may crash."""
    return rf"printf 'GET / HTTP/1.0\r\nHost: {host}\r\n\r\n' | nc -w 10 {host} {port}"


def _dns(subject: Subject) -> Probe:
    """The overlay's own resolver answers with exactly this address.

    Of a name on several of the source's networks it answers with the address on any of them; an alias is on one.
    """
    check, facts = subject.check, subject.facts
    addresses = [subject.target_address]
    if check.query_name == check.target:
        others = [name for name in subject.target.networks if name in subject.source.networks and name != check.network]
        addresses += [facts.address(check.target, name) for name in others]
    wanted = (
        rf"^Address.*[ :]({'|'.join(map(re.escape, addresses))})$",
        f"the address is not {' or '.join(addresses)}",
    )
    return Probe(f"nslookup {subject.check.query_name} 127.0.0.11", (wanted,))


def _mtu(subject: Subject) -> Probe:
    """The largest packet passes unfragmented, and one more byte does not."""
    address, size = subject.target_address, subject.mtu - PACKET_HEADERS
    ping = "$netns ping -n -M do -c 1 -W 2 -s"
    too_large = f"! {ping} {size + 1} {address} || {{ echo one byte more passed too; false; }}"
    return Probe(f"{ping} {size} {address} && {{ {too_large}; }}")


def _interface(subject: Subject) -> Probe:
    source, network, device = subject.check.source, subject.check.network, subject.device("eth0")
    address = f"{subject.facts.address(source, network)}/{subject.facts.prefix_length(network)}"
    inet = rf" +inet {re.escape(address)} "
    wanted = rf"^\d+: {device or '[^ :@]+'}(@\S+)?: .* mtu {subject.mtu} .*\n( .*\n)*{inet}"
    other = f"the interface with {address} is not {device or 'one'} with MTU {subject.mtu}"
    return Probe("$netns ip -4 addr show", ((f"^{inet}", f"no interface has {address}"), (wanted, other)))


def _gateway_bridge(subject: Subject) -> Probe:
    """The default route leaves by a veth whose peer is a port of the bridge, with the underlay's MTU."""
    mtu = subject.lab.underlay_mtu
    bridge, device = conventions.GWBRIDGE, subject.device("eth1")
    named = device or r"\S+"
    route = rf"^default [^\n]*\bdev ({named})\b"
    port = rf"(?s){route}.*^\d+: \1@if(\d+):.*^\2: [^\n]* master {bridge} "
    return Probe(
        f"$netns ip route show default; $netns ip -o link show; ip -o link show master {bridge}",
        (
            (route, f"the default route is not on {device or 'any interface'}"),
            (port, f"the default route's interface has no peer that is a port of {bridge}"),
            (
                rf"(?s){route}.*^\d+: \1@[^\n]* mtu {mtu} ",
                f"the default route's interface has another MTU than {mtu}",
            ),
        ),
    )


def _shared(subject: Subject) -> Probe:
    """The target's addresses are the source's too, and the web server of either answers on its loopback."""
    port = subject.target.http_port or subject.source.http_port
    addresses = [subject.facts.address(subject.check.target, network) for network in subject.target.networks]
    wanted = [(f" {re.escape(address)}/", f"no interface has {address}") for address in addresses]
    fetch = f"{_get('127.0.0.1', port)}; " if port else ""
    return Probe(f"{fetch}ip -o -4 addr show", (*wanted, *([_STATUS_200] if port else [])))


def _network(subject: Subject) -> Probe:
    name = subject.check.network
    if not subject.lab.is_global(name):
        driver = subject.lab.drivers[name]
        local = f"docker network inspect -f '{{{{.Name}}}} {{{{.Scope}}}} {{{{.Driver}}}}' {name}"
        return Probe(local, ((f"^{re.escape(name)} local {driver}$", f"the node has no {driver} {name} of its own"),))
    words = f"docker network inspect -f '{{{{.Name}}}} {{{{.Scope}}}} {{{{.Driver}}}}' {subject.facts.network_id(name)}"
    return Probe(words, ((rf"^{re.escape(name)} global ", f"{name} is not the global network with this id"),))


def _kv(subject: Subject) -> Probe:
    keys = [f"docker/nodes/{subject.lab.advertised(node)}" for node in subject.lab.nodes]
    keys += [
        f"docker/network/v1.0/network/{subject.facts.network_id(network)}"
        for network in subject.lab.mtu
        if subject.lab.is_global(network)
    ]
    wanted = tuple((f"^{re.escape(key)}$", f"the store has no key {key}") for key in keys)
    return Probe(f"{store_client.SCRIPT} keys docker", wanted)


def _engine(subject: Subject) -> Probe:
    expected = f"{subject.lab.cluster_store} {subject.lab.advertised(subject.check.node)}"
    wanted = (f"^{re.escape(expected)}$", f"not the expected {expected}")
    return Probe("docker info -f '{{.ClusterStore}} {{.ClusterAdvertise}}'", (wanted,))


def _own_node(subject: Subject) -> Probe:
    return _ping(str(subject.lab.nodes[subject.check.node]), 1)


def _control_plane(subject: Subject) -> Probe:
    """The node answers a ping, and refuses every port by which the lab is controlled.

    With the node's own tools in the workload's network: whatever its image has, and whatever that pretends. UDP on its
    own node and the next one, since the kernel limits refusals a second and the rule is the same for all.
    """
    node, lab = subject.check.target_node, subject.lab
    probe = f"$netns {port_probe.SCRIPT} {RESOLVER}"
    if node == EXTERNAL:
        return Probe(f"{probe} {lab.underlay_gateway} {conventions.SSH_PORT}/tcp {conventions.REGISTRY_PORT}/tcp")
    ports = [f"{port}/tcp" for port in lab.control_ports]
    if node in (subject.check.node, lab.following(subject.check.node)):
        ports += [f"{port}/udp" for port in UDP_CONTROL_PORTS if port in lab.control_ports]
    return Probe(f"$netns ping -n -q -c 1 -W 2 {lab.nodes[node]} && {probe} {lab.nodes[node]} {' '.join(ports)}")


KINDS: dict[str, Kind] = {
    "ping-ip": Kind("workload", "pairs", lambda s: _ping(s.target_address)),
    "ping-name": Kind("workload", "pairs", lambda s: _ping(s.check.target)),
    "dns": Kind("workload", "pairs", _dns),
    "http": Kind("workload", "pairs", lambda s: Probe(_get(s.check.target, s.target.http_port), (_STATUS_200,))),
    "http-published": Kind(
        "node", "workloads", lambda s: Probe(f"curl -fsS -m 10 {s.published_url}"), "port, from a node"
    ),
    "http-external": Kind("outside", "workloads", lambda s: Probe(s.published_url), "port, from outside"),
    "tcp": Kind(
        "workload",
        "pairs",
        lambda s: Probe(bulk.receiver(s.target_address, s.facts.bulk_port)),
        needs_listener=True,
    ),
    "mtu": Kind("node", "pairs", _mtu),
    "interface": Kind("node", "workloads", _interface),
    "gateway-bridge": Kind("node", "workloads", _gateway_bridge, "egress"),
    "no-egress": Kind(
        "node",
        "workloads",
        lambda _: Probe("$netns ip route show && ! $netns ip route show default | grep ."),
        "no egress",
    ),
    # What must not answer is not waited for as long.
    "isolation": Kind("workload", "isolation", lambda s: _ping(s.target_address, 1)),
    "own-node": Kind("workload", "workloads", _own_node, "own node"),
    "control-plane": Kind("node", "control plane", _control_plane),
    "shared": Kind("workload", "workloads", _shared),
    "network": Kind("node", "nodes", _network, "sees {network}"),
    "kv": Kind("node", "nodes", _kv, "store's keys"),
    "engine": Kind("node", "nodes", _engine),
}
