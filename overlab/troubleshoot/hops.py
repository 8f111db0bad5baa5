"""Follow the packets of a flow hop by hop, by what was collected and what a trace saw. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from overlab.inspect import kernel_commands
from overlab.inspect.compare_endpoints import entries
from overlab.inspect.finding import Finding, finding
from overlab.inspect.node_report import Fact
from overlab.inspect.snapshot import Snapshot
from overlab.troubleshoot.flow import Flow, Side

NAMES = ("name-not-resolved", "name-address-mismatch")
SANDBOX, VETH, VXLAN, UNDERLAY = "sandbox", "veth", "vxlan", "underlay"
"""Points of a trace, on each side."""


class Route(Fact):
    """What the kernel answers to ``ip route get``."""

    device: str = ""
    gateway: str = ""
    mac: str = ""
    """Of the next hop, as the kernel has it."""
    error: str = ""


class Resolved(Fact):
    server: str
    addresses: tuple[str, ...]
    error: str = ""


class SideTrace(Fact):
    """What ``packet_trace.py`` printed on a node."""

    seen: dict[str, dict[str, int]]
    """Point -> kind of packet -> count."""
    vnis: dict[str, tuple[int, ...]]
    routes: dict[str, Route]
    resolved: Resolved | None
    rules: tuple[str, ...]
    """Of the packet filter, those that drop VXLAN."""
    errors: dict[str, str]


@dataclass(frozen=True)
class Trace:
    """What both sides saw, by the side's role in the flow; a side that did not answer has its reason."""

    sizes: tuple[int, int]
    """Bytes of a small packet, and of the largest."""
    sides: dict[str, SideTrace]
    errors: dict[str, str] = field(default_factory=dict)

    def saw(self, role: str, point: str, kind: str) -> bool | None:
        """Whether a packet was seen; None where nobody looked."""
        side = self.sides.get(role)
        if side is None or point not in side.seen:
            return None
        return side.seen[point].get(kind, 0) > 0


@dataclass(frozen=True)
class Hop:
    """A place where packets pass; ``failure`` is why they do not."""

    place: str
    evidence: str = ""
    failure: Finding | None = None


@dataclass(frozen=True)
class Direction:
    """Requests from the source, or the replies to it."""

    snapshot: Snapshot
    flow: Flow
    trace: Trace
    kind: str
    sender_role: str
    receiver_role: str

    @property
    def _sender(self) -> Side:
        return self.flow.source

    @property
    def _receiver(self) -> Side:
        return self.flow.target

    @property
    def _back(self) -> Direction:
        return Direction(self.snapshot, self.flow.reversed, self.trace, "reply", self.receiver_role, self.sender_role)

    def hops(self) -> Iterator[Hop]:
        """In the order of the packet. What follows a failure has no meaning."""
        yield from self._interface()
        yield from self._name()
        yield from self._route()
        yield from self._bridge(self._sender)
        if not self.flow.on_one_node:
            yield from self._entries()
        yield from self._sent()
        if not self.flow.on_one_node:
            yield from self._underlay()
        yield from self._delivery()

    # -- on the sender's node --------------------------------------------------------------------------

    def _interface(self) -> Iterator[Hop]:
        side, place = self._sender, f"{self._sender.name} on {self._sender.node}: its interface"
        facts = {"node": side.node, "workload": side.name}
        if side.report is None:
            return
        if side.container is None or side.sandbox is None:
            evidence = f"{side.endpoint.ip} on {side.node}, where no running container has it"
            yield Hop(place, failure=finding("workload-not-running", side.name, evidence, **facts))
        elif side.interface is None:
            present = ", ".join(one.name for one in side.sandbox.interfaces) or "none"
            evidence = f"{side.endpoint.ip} {side.endpoint.mac}; it has {present}"
            yield Hop(place, failure=finding("interface-missing", side.name, evidence, **facts))
        elif not side.interface.up:
            yield Hop(place, failure=self._down(side))
        else:
            yield Hop(place, f"{side.interface.name} {side.endpoint.ip} {side.endpoint.mac} MTU {side.interface.mtu}")

    def _name(self) -> Iterator[Hop]:
        traced = self.trace.sides.get(self.sender_role)
        if not self.flow.name or traced is None:
            return
        place = f"{self._sender.name}: the name {self.flow.name}"
        endpoints = [one for network in self.snapshot.stored_networks for one in network.endpoints]
        wanted = {one.ip for one in endpoints if one.name == self._receiver.name}
        resolved, facts = traced.resolved, {"node": self._sender.node, "network": self._sender.network.name}
        if resolved is None or not resolved.addresses:
            reason = resolved.error if resolved else "no answer"
            evidence = (
                f"{resolved.server if resolved and resolved.server else 'its resolver'}: {reason or 'no address'}"
            )
            subject = f"{self.flow.name} for {self._sender.name}"
            yield Hop(place, failure=finding("name-not-resolved", subject, evidence, **facts))
        elif not wanted & set(resolved.addresses):
            evidence = f"{resolved.server}: {', '.join(resolved.addresses)}, and it has {', '.join(sorted(wanted))}"
            yield Hop(place, failure=finding("name-address-mismatch", self.flow.name, evidence, **facts))
        else:
            yield Hop(place, f"{resolved.server}: {', '.join(resolved.addresses)}")

    def _route(self) -> Iterator[Hop]:
        traced = self.trace.sides.get(self.sender_role)
        side = self._sender
        if traced is None or side.interface is None or SANDBOX not in traced.routes:
            return
        route = traced.routes[SANDBOX]
        place = f"{side.name}: the route to {self._receiver.endpoint.ip}"
        leads = route.error or f"dev {route.device}" + (f" via {route.gateway}" if route.gateway else "")
        if route.error or route.device != side.interface.name:
            subnet = side.endpoint.address.network if side.endpoint.address else side.network.subnet
            sandbox = side.container.sandbox_key if side.container else ""
            restored = kernel_commands.route(sandbox, str(subnet), side.interface.name)
            subject, facts = f"{side.name} on {side.node}", {"command": kernel_commands.shown(side.node, restored)}
            yield Hop(place, failure=finding("route-missing", subject, leads, **facts))
        else:
            yield Hop(place, leads)

    def _bridge(self, side: Side) -> Iterator[Hop]:
        """A side's veth pair, and the devices in the network's namespace."""
        place = f"{side.node}: the namespace of {side.network.name}"
        if side.report is None or side.report.overlay_namespaces is None or side.interface is None:
            return
        subject, facts = f"{side.network.name}/{side.name}", {"node": side.node, "workload": side.name}
        if side.namespace is None:
            yield Hop(place, failure=finding("namespace-missing", f"{side.network.name} on {side.node}", **facts))
        elif side.veth is None:
            evidence = f"the peer of {side.interface.name} on {side.node}"
            yield Hop(place, failure=finding("veth-detached", subject, evidence, **facts))
        elif down := [one for one in (side.veth.name, side.namespace.bridge, side.vxlan) if one in side.namespace.down]:
            commands = [kernel_commands.set_up(side.namespace.file, one) for one in down]
            command = kernel_commands.shown(side.node, *commands)
            evidence = f"{', '.join(down)} in {side.namespace.file}"
            yield Hop(
                place, failure=finding("device-down", f"{side.network.name} on {side.node}", evidence, command=command)
            )
        else:
            yield Hop(place, f"{side.veth.name} on {side.namespace.bridge}, {side.vxlan}")

    def _entries(self) -> Iterator[Hop]:
        namespace, target = self._sender.namespace, self._receiver.endpoint
        if namespace is None or not target.mac:
            return
        node, (mac, destination) = self._sender.node, entries(namespace, target)
        place = f"{node}: neighbor and FDB entry for {target.name}"
        subject = f"{self._sender.network.name}/{target.name} on {self._sender.node}"
        neighbor = kernel_commands.shown(node, kernel_commands.neighbor(namespace, target))
        fdb = kernel_commands.shown(node, kernel_commands.fdb(namespace, target))
        passes = self.trace.saw(self.sender_role, SANDBOX, f"reply {self.trace.sizes[0]}")
        remembered = "; echos still pass, by what the sandbox remembers" if passes and self.kind == "request" else ""
        shown = f"{target.ip} -> {mac or 'none'}, {target.mac} -> {destination or 'none'}"
        evidence = f"{shown}; the endpoint is {target.mac} on {target.locator}{remembered}"
        if mac is None and destination is None:
            if self.snapshot.in_swarm:
                yield Hop(place, failure=finding("peer-entry-lost", subject, evidence, command=f"{neighbor}; {fdb}"))
            else:
                yield Hop(place, "none yet: the engine asks its gossip")
        elif mac is None or destination is None:
            command = fdb if mac else neighbor
            yield Hop(place, failure=finding("peer-entry-incomplete", subject, evidence, command=command))
        elif mac != target.mac:
            yield Hop(place, failure=finding("neighbor-mismatch", subject, evidence, command=neighbor))
        elif destination != target.locator:
            yield Hop(place, failure=finding("fdb-mismatch", subject, evidence, command=fdb))
        else:
            yield Hop(place, shown)

    @property
    def _is_unresolved(self) -> bool:
        return self._sender.namespace is not None and None in entries(self._sender.namespace, self._receiver.endpoint)

    def _not_resolved(self, place: str, evidence: str) -> Hop:
        sender, target = self._sender, self._receiver.endpoint
        command = "overlab status"
        if sender.namespace is not None and target.mac:
            commands = [
                kernel_commands.neighbor(sender.namespace, target),
                kernel_commands.fdb(sender.namespace, target),
            ]
            command = kernel_commands.shown(sender.node, *commands)
        facts = {"node": sender.node, "other_node": self._receiver.node, "command": command}
        return Hop(place, failure=finding("peer-not-resolved", target.name, evidence, **facts))

    def _sent(self) -> Iterator[Hop]:
        """From the sandbox through the veth pair to the VXLAN device."""
        side, small = self._sender, self.trace.sizes[0]
        kind = f"{self.kind} {small}"
        place = f"{side.name} sends {'echos' if self.kind == 'request' else 'replies'}"
        facts = {"node": side.node, "workload": side.name}
        traced = self.trace.sides.get(self.sender_role)
        if traced is None or SANDBOX not in traced.seen:
            return
        error = traced.errors.get(f"send {small}", "") if self.kind == "request" else ""
        remembered = traced.routes[SANDBOX].mac if SANDBOX in traced.routes else ""
        if remembered and self._receiver.endpoint.mac not in ("", remembered) and side.interface is not None:
            sandbox, ip = side.container.sandbox_key if side.container else "", self._receiver.endpoint.ip
            command = kernel_commands.shown(side.node, kernel_commands.forget(sandbox, ip, side.interface.name))
            evidence = f"{ip} is {remembered}, the endpoint has {self._receiver.endpoint.mac}"
            yield Hop(
                place, failure=finding("arp-entry-wrong", f"{side.name} on {side.node}", evidence, command=command)
            )
            return
        if self.trace.saw(self.sender_role, SANDBOX, kind) is False:
            if self._ends_between(self.sender_role, SANDBOX, VXLAN, "arp"):
                evidence = f"ARP requests for {self._receiver.endpoint.ip} do not get to {side.vxlan}"
                yield Hop(place, failure=finding("packet-lost-on-bridge", side.network.name, evidence, **facts))
                return
            asked = self.trace.saw(self.sender_role, SANDBOX, "arp") and self.kind == "request"
            if asked and not self.trace.saw(self.sender_role, SANDBOX, "arp-reply"):
                yield self._not_resolved(place, f"no answer to ARP requests for {self._receiver.endpoint.ip}")
            else:
                evidence = error or "no packet leaves its interface"
                yield Hop(place, failure=finding("sandbox-filtered", f"{side.name} on {side.node}", evidence, **facts))
            return
        yield Hop(place, f"seen on {side.interface.name if side.interface else 'its interface'}")
        points = [VETH] if self.flow.on_one_node else [VETH, VXLAN]
        for point in points:
            if self.trace.saw(self.sender_role, point, kind) is False:
                evidence = f"seen in the sandbox, not on the {point} device of {side.node}"
                yield Hop(place, failure=finding("packet-lost-on-bridge", side.network.name, evidence, **facts))
                return

    # -- between the nodes, and on the receiver's ------------------------------------------------------

    def _underlay(self) -> Iterator[Hop]:
        kind, sender, receiver = f"{self.kind} {self.trace.sizes[0]}", self._sender, self._receiver
        traced, arrived = self.trace.sides.get(self.sender_role), self.trace.sides.get(self.receiver_role)
        place = f"{sender.node}: VXLAN to {receiver.node}"
        route = traced.routes.get(UNDERLAY) if traced else None
        facts = {"node": sender.node, "other_node": receiver.node}
        if route is not None and route.error:
            yield Hop(place, failure=finding("underlay-unreachable", place, route.error, **facts))
            return
        if self._ends_between(self.sender_role, VXLAN, UNDERLAY) and self._is_unresolved:
            yield self._not_resolved(place, f"no FDB entry for {receiver.endpoint.mac}")
            return
        if traced is not None and self._ends_between(self.sender_role, VXLAN, UNDERLAY):
            evidence = "; ".join(traced.rules) or "the packet leaves the VXLAN device, and not the node"
            yield Hop(place, failure=finding("vxlan-filtered", sender.node, evidence, **facts))
            return
        yield Hop(place, f"dev {route.device}" if route else "")
        place = f"{receiver.node}: VXLAN from {sender.node}"
        if self.trace.saw(self.receiver_role, UNDERLAY, kind) is False:
            evidence = f"sent by {sender.node}, not received by {receiver.node}"
            yield Hop(place, failure=finding("underlay-lost", f"{sender.node} - {receiver.node}", evidence, **facts))
            return
        yield Hop(place, "received" if arrived is not None else "nobody looked")
        place = f"{receiver.node}: VXLAN device of {receiver.network.name}"
        if self.trace.saw(self.receiver_role, VXLAN, kind) is False and arrived is not None:
            yield from (hop for hop in self._receiving() if hop.failure is not None)
            # A VXLAN device drops what comes from another node than a permanent FDB entry has for the sender.
            yield from (hop for hop in self._back._entries() if hop.failure and hop.failure.id == "fdb-mismatch")
            facts = {"node": receiver.node, "other_node": sender.node}
            own = receiver.namespace.vnis if receiver.namespace else []
            came = sorted(arrived.vnis.get(UNDERLAY, ()))
            if own and not set(own) & set(came):
                evidence = (
                    f"packets have VNI {', '.join(map(str, came))}, {receiver.vxlan} has {', '.join(map(str, own))}"
                )
                yield Hop(
                    place,
                    failure=finding("vni-mismatch", f"{receiver.network.name} on {receiver.node}", evidence, **facts),
                )
            else:
                evidence = "; ".join(arrived.rules) or "the node receives it, and its VXLAN device does not"
                yield Hop(place, failure=finding("vxlan-filtered", receiver.node, evidence, **facts))
            return
        yield Hop(place, "received" if arrived is not None else "nobody looked")

    def _ends_between(self, role: str, point: str, following: str, kind: str = "") -> bool:
        kind = kind or f"{self.kind} {self.trace.sizes[0]}"
        return bool(self.trace.saw(role, point, kind)) and self.trace.saw(role, following, kind) is False

    def _down(self, side: Side) -> Finding:
        sandbox = side.container.sandbox_key if side.container else ""
        device = side.interface.name if side.interface else ""
        command = kernel_commands.shown(side.node, kernel_commands.set_up(sandbox, device))
        return finding("interface-down", side.name, f"{device} on {side.node}", command=command)

    def _delivery(self) -> Iterator[Hop]:
        kind, receiver = f"{self.kind} {self.trace.sizes[0]}", self._receiver
        facts = {"node": receiver.node, "workload": receiver.name}
        if self.kind == "request":
            yield from (hop for hop in self._receiving() if hop.failure is not None)
        place = f"{receiver.name} on {receiver.node} receives it"
        if self.trace.saw(self.receiver_role, SANDBOX, kind) is False:
            point = "veth" if self.trace.saw(self.receiver_role, VETH, kind) else "bridge"
            evidence = f"it gets to the {point}, not to {receiver.name}"
            yield Hop(place, failure=finding("packet-lost-on-bridge", receiver.network.name, evidence, **facts))
        else:
            yield Hop(place, "seen" if self.trace.saw(self.receiver_role, SANDBOX, kind) else "nobody looked")

    def _receiving(self) -> Iterator[Hop]:
        """The receiver's interface and devices."""
        yield from self._back._interface()
        yield from self._bridge(self._receiver)


def follow(snapshot: Snapshot, flow: Flow, trace: Trace) -> list[Hop]:
    """Every hop up to the first that fails: requests, replies, and large packets.

    Where only the name fails, packets are followed all the same: engines forget the names of nodes that they do not
    reach, and then that is the cause.
    """
    found: list[Hop] = []
    for hop in _all(snapshot, flow, trace):
        found.append(hop)
        if hop.failure is not None and hop.failure.id not in NAMES:
            break
    return found


def _all(snapshot: Snapshot, flow: Flow, trace: Trace) -> Iterator[Hop]:
    yield from Direction(snapshot, flow, trace, "request", "source", "target").hops()
    if trace.sides:
        yield from Direction(snapshot, flow.reversed, trace, "reply", "target", "source").hops()
        yield from _large(flow, trace)


def _large(flow: Flow, trace: Trace) -> Iterator[Hop]:
    """The largest packets that the interface takes."""
    small, large = trace.sizes
    place = f"packets of {large} bytes"
    mtus = {side.name: side.interface.mtu for side in (flow.source, flow.target) if side.interface}
    if len(set(mtus.values())) > 1:
        evidence = ", ".join(f"{name} has {mtu}" for name, mtu in mtus.items())
        node = flow.source.node
        yield Hop(place, failure=finding("mtu-mismatch", flow.source.network.name, evidence, node=node))
        return
    if trace.saw("source", SANDBOX, f"reply {small}") is not True:
        return
    if trace.saw("source", SANDBOX, f"reply {large}"):
        yield Hop(place, "both ways")
        return
    last = f"{flow.source.name} cannot send them"
    out = (SANDBOX, VETH, VXLAN, UNDERLAY)
    for kind, sender, other in (("request", "source", "target"), ("reply", "target", "source")):
        for role, point in [*((sender, one) for one in out), *((other, one) for one in reversed(out))]:
            if trace.saw(role, point, f"{kind} {large}"):
                node = (flow.source if role == "source" else flow.target).node
                last = f"last seen as a {kind} on the {point} device of {node}"
    reasons = [text for key, text in trace.sides["source"].errors.items() if key == f"send {large}"]
    evidence = "; ".join([last, *reasons])
    yield Hop(place, failure=finding("mtu-black-hole", flow.source.network.name, evidence))
