"""Runs on a node, as root: where ICMP echos between two addresses are seen, one JSON object in the end.

``python3 -c SCRIPT TASK``, with the task as JSON: see :class:`Trace`. Standard library of Python 3.9 only. Nothing is
changed: sockets are opened in the namespaces of the points, and echos are sent from a sandbox.

It prints ``ready``. The side that sends begins after a line on standard input; the other one ends with the input.
"""

from __future__ import annotations

import contextlib
import errno
import json
import random
import re
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from overlab.troubleshoot.node_sockets import ECHOS, VXLAN_PORT, decapsulated, network_namespace, packet_socket, route

IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
ICMP_REPLY, ICMP_REQUEST = 0, 8
INTERVAL_S = 0.1
ANSWER_LIMIT_S = 2.5
"""Of the resolver; a busy engine takes a while."""
ENOUGH = 3
"""Echos of each size that were answered end a trace."""
RULE = re.compile(
    rf"^-A (INPUT|OUTPUT|PREROUTING|POSTROUTING) .*{VXLAN_PORT}.*(DROP|REJECT)|dport {VXLAN_PORT} .*(drop|reject)"
)
HEADERS = 28
"""Bytes of IPv4 and ICMP headers."""


class Trace:
    """One side of a flow.

    ``points``: name -> [namespace, device]; a device may be ``>ADDRESS``, the one that the route to it takes.
    ``sandbox``: namespace; ``target``: whose address; ``routes``: name -> [namespace, address].
    ``sizes``: bytes of the packets to send, none on the side that only listens; ``expected``: those to wait for.
    ``end``: the point where replies are counted; ``token``: identifier of the echos; ``flow``: source and target.
    ``name``: what the sandbox's resolver is asked for; ``container``: its id.
    """

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.seen: dict[str, dict[str, int]] = {}
        self.vnis: dict[str, list[int]] = {}
        self.errors: dict[str, str] = {}
        self.answered: dict[int, int] = {}
        self.resolved: dict[str, Any] | None = None
        self.rules: list[str] = []
        self._points: dict[socket.socket, str] = {}
        self._query: socket.socket | None = None
        self._ended = False

    def run(self) -> dict[str, Any]:
        self._open_points()
        routes = {name: self._route(*one) for name, one in self.task["routes"].items()}
        sender = self._sender()
        self.rules = list(_dropping_rules())
        print("ready", flush=True)
        if sender is not None:
            sys.stdin.readline()
        self._ask_resolver()
        deadline = time.monotonic() + self.task["seconds"]
        answer_by = max(deadline, time.monotonic() + ANSWER_LIMIT_S)
        following, turn = 0.0, 0
        while not self._ended and not self._is_complete():
            if time.monotonic() >= (answer_by if self._is_asking() else deadline):
                break
            if sender is not None and time.monotonic() >= following:
                self._send(sender, self.task["sizes"][turn % len(self.task["sizes"])], turn)
                following, turn = time.monotonic() + INTERVAL_S, turn + 1
            self._receive(INTERVAL_S)
        drained = time.monotonic() + INTERVAL_S
        while time.monotonic() < drained and self._receive(0):
            pass
        # By now the kernel has asked for the addresses that it sends to.
        routes = {name: self._with_neighbor(found, *self.task["routes"][name]) for name, found in routes.items()}
        return {
            "seen": self.seen,
            "vnis": self.vnis,
            "routes": routes,
            "resolved": self.resolved,
            "rules": self.rules,
            "errors": self.errors,
        }

    def _is_asking(self) -> bool:
        return self._query is not None and self.resolved is None

    def _is_complete(self) -> bool:
        if self._is_asking():
            return False
        every = all(self.answered.get(size, 0) >= ENOUGH for size in self.task["expected"])
        return every and bool(self.task["expected"])

    # -- what is opened --------------------------------------------------------------------------------

    def _open_points(self) -> None:
        for name, (namespace, device) in self.task["points"].items():
            try:
                opened = packet_socket(namespace, device, ECHOS)
            except OSError as error:
                self.errors[name] = f"{device}: {error.strerror or error}"
            else:
                self._points[opened] = name
                self.seen[name] = {}

    def _route(self, namespace: str, address: str) -> dict[str, str]:
        """Device and gateway of the route to an address, or the kernel's error."""
        try:
            with network_namespace(namespace):
                found = route(address)
        except OSError as error:
            return {"error": error.strerror or str(error)}
        return {"device": found.get("dev", ""), "gateway": found.get("gateway", "")}

    def _with_neighbor(self, found: dict[str, str], namespace: str, address: str) -> dict[str, str]:
        """A route with the MAC of its next hop; on the node itself it is an error where that does not answer."""
        if "error" in found:
            return found
        hop = found["gateway"] or address
        cmd = ["ip", "-j", "neigh", "show", hop, "dev", found["device"]]
        with network_namespace(namespace):
            done = subprocess.run(cmd, capture_output=True, text=True, timeout=5, check=False)
        entries = [one for one in json.loads(done.stdout or "[]") if one]
        states = {state for one in entries for state in one.get("state", ())}
        if not namespace and states & {"FAILED", "INCOMPLETE"}:
            return {**found, "error": f"{hop} does not answer ARP on {found['device']}"}
        return {**found, "mac": next((one["lladdr"] for one in entries if "lladdr" in one), "")}

    def _sender(self) -> socket.socket | None:
        if not self.task["sizes"]:
            return None
        try:
            with network_namespace(self.task["sandbox"]):
                sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        except OSError as error:
            self.errors["send"] = error.strerror or str(error)
            return None
        sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        return sender

    # -- the resolver ----------------------------------------------------------------------------------

    def _ask_resolver(self) -> None:
        if not self.task["name"]:
            return
        try:
            root = f"/proc/{_pid(self.task['container'])}/root/etc"
            if address := _in_hosts(f"{root}/hosts", self.task["name"]):
                self.resolved = {"server": "/etc/hosts", "addresses": [address]}
                return
            server = _name_server(f"{root}/resolv.conf")
            with network_namespace(self.task["sandbox"]):
                self._query = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._query.connect((server, 53))
            self._query.send(_question(self.task["name"]))
            self.task["server"] = server
        except (OSError, LookupError) as error:
            self.resolved = {"server": "", "addresses": [], "error": str(error)}

    def _take_answer(self) -> None:
        if self._query is None:
            return
        try:
            addresses = _addresses(self._query.recv(4096))
            self.resolved = {"server": self.task["server"], "addresses": addresses}
        except (OSError, ValueError, IndexError, struct.error) as error:
            self.resolved = {"server": self.task["server"], "addresses": [], "error": str(error)}

    # -- packets ---------------------------------------------------------------------------------------

    def _send(self, sender: socket.socket, size: int, number: int) -> None:
        body = struct.pack("!HH", self.task["token"], number) + b"\0" * (size - HEADERS)
        check = _checksum(struct.pack("!BBH", ICMP_REQUEST, 0, 0) + body)
        try:
            sender.sendto(struct.pack("!BBH", ICMP_REQUEST, 0, check) + body, (self.task["target"], 0))
        except OSError as error:
            key = f"send {size}"
            self.errors.setdefault(key, errno.errorcode.get(error.errno or 0, "") + f": {error.strerror}")

    def _receive(self, limit_s: float) -> bool:
        """Take what comes within the limit; whether anything did."""
        others: list[Any] = [self._query] if self._is_asking() else []
        others += [] if self._ended or self.task["sizes"] else [sys.stdin]
        ready, _, _ = select.select([*self._points, *others], [], [], limit_s)
        for one in ready:
            if one is sys.stdin:
                self._ended = True
            elif one is self._query:
                self._take_answer()
            else:
                with contextlib.suppress(OSError):
                    self._take(self._points[one], one.recv(65535))
        return bool(ready)

    def _take(self, point: str, frame: bytes) -> None:
        """Count what belongs to the trace, by the point where it was seen."""
        vni, inner = decapsulated(frame)
        kind = _kind(inner, self.task["token"], self.task["flow"])
        if not kind:
            return
        self.seen[point][kind] = self.seen[point].get(kind, 0) + 1
        if vni is not None and vni not in self.vnis.setdefault(point, []):
            self.vnis[point].append(vni)
        name, _, size = kind.partition(" ")
        if name == "reply" and point == self.task["end"]:
            self.answered[int(size)] = self.answered.get(int(size), 0) + 1


def _kind(frame: bytes, token: int, flow: list[str]) -> str:
    """``request SIZE`` or ``reply SIZE`` of the trace, ``arp`` or ``arp-reply`` of its addresses; else empty."""
    source, target = (socket.inet_aton(one) for one in flow)
    if frame[12:14] == b"\x08\x06" and len(frame) >= 42:
        operation = struct.unpack_from("!H", frame, 20)[0]
        if operation == 1 and (frame[28:32], frame[38:42]) == (source, target):
            return "arp"
        if operation == 2 and (frame[28:32], frame[38:42]) == (target, source):
            return "arp-reply"
        return ""
    if frame[12:14] != b"\x08\x00" or len(frame) < 42 or frame[23] != socket.IPPROTO_ICMP:
        return ""
    begin = 14 + (frame[14] & 15) * 4
    size = struct.unpack_from("!H", frame, 16)[0]
    if struct.unpack_from("!H", frame, begin + 4)[0] != token:
        return ""
    if frame[begin] == ICMP_REQUEST and frame[30:34] == target:
        return f"request {size}"
    if frame[begin] == ICMP_REPLY and frame[26:30] == target:
        return f"reply {size}"
    return ""


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def _dropping_rules() -> Iterator[str]:
    """Of the packet filter, those that drop VXLAN."""
    for cmd in (["iptables-save"], ["nft", "list", "ruleset"]):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(cmd, capture_output=True, text=True, timeout=2, check=False)
            for line in done.stdout.splitlines():
                if RULE.search(line):
                    yield line.strip()


def _pid(container: str) -> int:
    """Of the container's process, by the engine."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as engine:
        engine.settimeout(3)
        engine.connect("/var/run/docker.sock")
        engine.sendall(f"GET /v1.40/containers/{container}/json HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        with engine.makefile("rb") as answer:
            _, _, body = answer.read().partition(b"\r\n\r\n")
    return int(json.loads(body)["State"]["Pid"])


def _in_hosts(file: str, name: str) -> str:
    with Path(file).open() as lines:
        for line in lines:
            address, *names = line.partition("#")[0].split() or [""]
            if name in names and ":" not in address:
                return address
    return ""


def _name_server(file: str) -> str:
    with Path(file).open() as lines:
        for line in lines:
            words = line.split()
            if words[:1] == ["nameserver"] and ":" not in words[1]:
                return words[1]
    raise LookupError("/etc/resolv.conf has no nameserver")


def _question(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", random.randrange(65536), 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def _addresses(answer: bytes) -> list[str]:
    """Of the A records in a DNS answer."""
    questions, answers = struct.unpack_from("!2H", answer, 4)
    at = 12
    for _ in range(questions):
        at = _past_name(answer, at) + 4
    found = []
    for _ in range(answers):
        at = _past_name(answer, at)
        kind, _, _, length = struct.unpack_from("!HHIH", answer, at)
        if kind == 1:
            found.append(socket.inet_ntoa(answer[at + 10 : at + 14]))
        at += 10 + length
    return found


def _past_name(answer: bytes, at: int) -> int:
    while answer[at]:
        if answer[at] >= 0xC0:
            return at + 2
        at += answer[at] + 1
    return at + 1


if __name__ == "__main__":
    print(json.dumps(Trace(json.loads(sys.argv[1])).run()), flush=True)
