"""Faults on the path of a packet, and what ``overlab why`` has to name."""

from __future__ import annotations

from dataclasses import dataclass

OTHER_VNI = """\
ip link add vxl-other type vxlan id 99999 proxy l2miss l3miss dstport 4790
ip link set vxl-other netns {overlay}
nsenter --net={overlay} sh -ec '
ip link del {vxlan}; ip link set vxl-other name {vxlan}; ip link set {vxlan} master {bridge} up'
"""


@dataclass(frozen=True)
class Fault:
    name: str
    place: str
    """Namespace in which the command runs: ``node``, ``overlay`` or ``sandbox``."""
    command: str
    """With ``{eth}``, ``{veth}``, ``{bridge}``, ``{vxlan}``, ``{nic}``, ``{net}`` of its node, and of the other one
    ``{peer_ip}``, ``{peer_mac}``, ``{peer_node}``."""
    undo: str
    found: tuple[str, ...]
    """Id of the finding; several where it depends on the side."""
    repaired: bool = False
    """Whether ``overlab repair`` heals it."""


_FDB = "bridge fdb replace {peer_mac} dev {vxlan} dst {peer_node} self permanent"
_NO_FDB = "bridge fdb del {peer_mac} dev {vxlan}"
_NO_NEIGHBOR = "ip neigh del {peer_ip} dev {vxlan}"
_NEIGHBOR = "ip neigh replace {peer_ip} lladdr {peer_mac} dev {vxlan} nud permanent"


def _filtered(name: str, place: str, rule: str, found: str) -> Fault:
    return Fault(name, place, f"iptables {rule.replace('-A', '-I')}", f"iptables {rule.replace('-A', '-D')}", (found,))


FAULTS = (
    Fault(
        "FDB entry removed", "overlay", "bridge fdb del {peer_mac} dev {vxlan}", _FDB, ("peer-entry-incomplete",), True
    ),
    Fault("FDB entry wrong", "overlay", _FDB.replace("{peer_node}", "192.0.2.99"), _FDB, ("fdb-mismatch",), True),
    Fault(
        "neighbor removed", "overlay", "ip neigh del {peer_ip} dev {vxlan}", _NEIGHBOR, ("peer-entry-incomplete",), True
    ),
    Fault(
        "neighbor wrong",
        "overlay",
        _NEIGHBOR.replace("{peer_mac}", "02:42:00:00:00:63"),
        _NEIGHBOR,
        ("neighbor-mismatch",),
        True,
    ),
    Fault(
        "both entries removed",
        "overlay",
        f"{_NO_NEIGHBOR}; {_NO_FDB}",
        f"{_NEIGHBOR}; {_FDB}",
        ("peer-entry-lost", "peer-not-resolved"),
        True,
    ),
    Fault("veth down", "overlay", "ip link set {veth} down", "ip link set {veth} up", ("device-down",), True),
    Fault(
        "veth detached",
        "overlay",
        "ip link set {veth} nomaster",
        "ip link set {veth} master {bridge}",
        ("veth-detached",),
        True,
    ),
    Fault("VXLAN device down", "overlay", "ip link set {vxlan} down", "ip link set {vxlan} up", ("device-down",), True),
    Fault("bridge down", "overlay", "ip link set {bridge} down", "ip link set {bridge} up", ("device-down",), True),
    Fault(
        "VXLAN device detached",
        "overlay",
        "ip link set {vxlan} nomaster",
        "ip link set {vxlan} master {bridge}",
        ("packet-lost-on-bridge",),
    ),
    Fault("interface down", "sandbox", "ip link set {eth} down", "ip link set {eth} up", ("interface-down",), True),
    Fault("route removed", "sandbox", "ip route del {net}", "ip route add {net} dev {eth}", ("route-missing",)),
    Fault(
        "route is a black hole",
        "sandbox",
        "ip route add blackhole {peer_ip}",
        "ip route del blackhole {peer_ip}",
        ("route-missing",),
    ),
    _filtered("sandbox filters what it sends", "sandbox", "-A OUTPUT -d {peer_ip} -j DROP", "sandbox-filtered"),
    _filtered("node drops incoming VXLAN", "node", "-A INPUT -p udp --dport 4789 -j DROP", "vxlan-filtered"),
    _filtered("node drops outgoing VXLAN", "node", "-A OUTPUT -p udp --dport 4789 -j DROP", "vxlan-filtered"),
    _filtered("raw table drops VXLAN", "node", "-t raw -A PREROUTING -p udp --dport 4789 -j DROP", "vxlan-filtered"),
    Fault(
        "no route between the nodes",
        "node",
        "ip route add unreachable {peer_node}",
        "ip route del unreachable {peer_node}",
        ("underlay-unreachable",),
    ),
    Fault(
        "underlay carries less",
        "node",
        "ip link set {nic} mtu 1400",
        "ip link set {nic} mtu 1500",
        ("mtu-black-hole",),
    ),
    Fault(
        "MTU of an interface", "sandbox", "ip link set {eth} mtu 1300", "ip link set {eth} mtu 1450", ("mtu-mismatch",)
    ),
    Fault("VNI differs", "node", OTHER_VNI, "", ("peer-entry-lost", "peer-not-resolved", "vni-mismatch")),
)
