"""The kinds of check: for each where it runs, what is run, what has to be seen, and where its result is shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from components.checks import bulk
from components.checks.facts import Facts
from components.checks.lab import CheckedLab
from components.checks.model import Check
from components.config import conventions

PACKET_HEADERS = 28
"""Bytes of IP and ICMP in a ping."""
_STATUS_200 = (r"^HTTP/1\.\d 200", "the status is not 200")


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
    """In the source with a busybox, on the node with its tools, or from the hypervisor's end of the lab network."""
    group: Literal["pairs", "isolation", "nodes", "workloads"]
    """The grid that shows it."""
    probe: Callable[[Check, CheckedLab, Facts], Probe]
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


def _get(host: str, port: int | None) -> str:
    """By nc, since the wget of a statically linked busybox may crash."""
    return rf"printf 'GET / HTTP/1.0\r\nHost: {host}\r\n\r\n' | nc -w 10 {host} {port}"


def _ping(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    # What must not answer is not waited for as long.
    patience = 1 if check.kind == "isolation" else 2
    return Probe(f"ping -c 1 -W {patience} {facts.address(check.target, check.network)}")


def _ping_name(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    return Probe(f"ping -c 1 -W 2 {check.target}")


def _dns(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    """The overlay's own resolver answers with exactly this address."""
    address = facts.address(check.target, check.network)
    wanted = (rf"^Address.*[ :]{re.escape(address)}$", f"the address is not {address}")
    return Probe(f"nslookup {check.query_name} 127.0.0.11", (wanted,))


def _http(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    return Probe(_get(check.target, lab.workloads[check.target].http_port), (_STATUS_200,))


def _tcp(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    return Probe(bulk.receiver(facts.address(check.target, check.network), facts.bulk_port))


def _mtu(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    """The largest packet passes unfragmented, and one more byte does not."""
    address, size = facts.address(check.target, check.network), lab.mtu[check.network] - PACKET_HEADERS
    ping = "$netns ping -n -M do -c 1 -W 2 -s"
    too_large = f"! {ping} {size + 1} {address} || {{ echo one byte more passed too; false; }}"
    return Probe(f"{ping} {size} {address} && {{ {too_large}; }}")


def _interface(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    address = f"{facts.address(check.source, check.network)}/{facts.prefix_length(check.network)}"
    mtu, device = lab.mtu[check.network], _device(check, lab, "eth0")
    inet = rf" +inet {re.escape(address)} "
    wanted = rf"^\d+: {device or '[^ :@]+'}(@\S+)?: .* mtu {mtu} .*\n( .*\n)*{inet}"
    return Probe(
        "$netns ip -4 addr show",
        (
            (f"^{inet}", f"no interface has {address}"),
            (wanted, f"the interface with {address} is not {device or 'one'} with MTU {mtu}"),
        ),
    )


def _device(check: Check, lab: CheckedLab, name: str) -> str:
    """What an interface is called; empty where the engine joins several overlays, in no fixed order."""
    return name if len(lab.workloads[check.source].networks) == 1 else ""


def _gateway_bridge(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    """The default route leaves by a veth whose peer is a port of the bridge."""
    bridge, device = conventions.GWBRIDGE, _device(check, lab, "eth1")
    named = device or r"\S+"
    route = rf"^default [^\n]*\bdev ({named})\b"
    return Probe(
        f"$netns ip route show default; $netns ip -o link show; ip -o link show master {bridge}",
        (
            (route, f"the default route is not on {device or 'any interface'}"),
            (
                rf"(?s){route}.*^\d+: \1@if(\d+):.*^\2: [^\n]* master {bridge} ",
                f"the default route's interface has no peer that is a port of {bridge}",
            ),
        ),
    )


def _no_egress(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    return Probe("$netns ip route show && ! $netns ip route show default | grep .")


def _shared(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    """The target's addresses are the source's too, and the web server of either answers on its loopback."""
    port = lab.workloads[check.target].http_port or lab.workloads[check.source].http_port
    addresses = lab.workloads[check.target].networks
    wanted = [
        (f" {re.escape(address)}/", f"no interface has {address}")
        for address in (facts.address(check.target, network) for network in addresses)
    ]
    fetch = f"{_get('127.0.0.1', port)}; " if port else ""
    return Probe(f"{fetch}ip -o -4 addr show", (*wanted, *([_STATUS_200] if port else [])))


def _published_url(check: Check, lab: CheckedLab, facts: Facts) -> str:
    target = lab.workloads[check.target]
    port = facts.ports.get(check.target, {}).get(f"{target.http_port}/tcp", 0)
    return f"http://{lab.nodes[target.node]}:{port}/"


def _http_published(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    return Probe(f"curl -fsS -m 10 {_published_url(check, lab, facts)}")


def _http_external(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    return Probe(_published_url(check, lab, facts))


def _network(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    wanted = (rf"^{re.escape(check.network)} global ", f"{check.network} is not the global network with this id")
    return Probe(
        f"docker network inspect -f '{{{{.Name}}}} {{{{.Scope}}}} {{{{.Driver}}}}' {facts.network_id(check.network)}",
        (wanted,),
    )


def _kv(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    keys = [f"docker/nodes/{lab.advertised(node)}" for node in lab.nodes]
    keys += [f"docker/network/v1.0/network/{facts.network_id(network)}/" for network in lab.mtu]
    wanted = tuple((f'"{re.escape(key)}"', f"the store has no key {key}") for key in keys)
    return Probe(f"curl -fsS -m 10 'http://{lab.store}/v1/kv/docker/?keys'", wanted)


def _engine(check: Check, lab: CheckedLab, facts: Facts) -> Probe:
    expected = f"consul://{lab.store} {lab.advertised(check.node)}"
    wanted = (f"^{re.escape(expected)}$", f"not the expected {expected}")
    return Probe("docker info -f '{{.ClusterStore}} {{.ClusterAdvertise}}'", (wanted,))


KINDS: dict[str, Kind] = {
    "ping-ip": Kind("workload", "pairs", _ping),
    "ping-name": Kind("workload", "pairs", _ping_name),
    "dns": Kind("workload", "pairs", _dns),
    "http": Kind("workload", "pairs", _http),
    "http-published": Kind("node", "workloads", _http_published, "port, from a node"),
    "http-external": Kind("outside", "workloads", _http_external, "port, from outside"),
    "tcp": Kind("workload", "pairs", _tcp, needs_listener=True),
    "mtu": Kind("node", "pairs", _mtu),
    "interface": Kind("node", "workloads", _interface),
    "gateway-bridge": Kind("node", "workloads", _gateway_bridge, "egress"),
    "no-egress": Kind("node", "workloads", _no_egress, "no egress"),
    "isolation": Kind("workload", "isolation", _ping),
    "shared": Kind("workload", "workloads", _shared),
    "network": Kind("node", "nodes", _network, "sees {network}"),
    "kv": Kind("node", "nodes", _kv, "store's keys"),
    "engine": Kind("node", "nodes", _engine),
}
