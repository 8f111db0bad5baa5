#!/usr/bin/python3 -IS
"""overlab-port-probe CONTROL ADDRESS PORT/tcp|PORT/udp ... - which of these ports can be reached from here.

Standard library of Python 3.9. Every port is tried at once. TCP is reached where a connection is accepted, UDP where
a packet is not refused: one that is lost says nothing. CONTROL (ADDRESS:PORT, TCP) has to accept a connection, else
the probe itself does not work.

Exit code 0: none is reached; 1: one is; 2: the probe does not work.
"""

import contextlib
import select
import socket
import sys
import time
from collections.abc import Iterable

Target = tuple[str, int]
"""Address and port."""
TCP_LIMIT_S = 3.0
UDP_LIMIT_S = 4.0
"""The kernel sends one peer six refusals at once, and then one a second."""
UDP_PAUSE_S = 0.5


def reached_tcp(targets: Iterable[Target]) -> tuple[list[Target], list[Target]]:
    """Those that accept a connection, and those that neither accept nor refuse one."""
    waiting = {}
    for target in targets:
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(target)
        waiting[one] = target
    reached = []
    end = time.monotonic() + TCP_LIMIT_S
    while waiting and time.monotonic() < end:
        for one in select.select([], list(waiting), [], max(0, end - time.monotonic()))[1]:
            target = waiting.pop(one)
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                reached.append(target)
            one.close()
    return reached, list(waiting.values())


def reached_udp(targets: Iterable[Target]) -> list[Target]:
    """Those that refuse no packet."""
    waiting = {}
    for target in targets:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.connect(target)
        waiting[one] = target
    end = time.monotonic() + UDP_LIMIT_S
    while waiting and time.monotonic() < end:
        for one in waiting:
            with contextlib.suppress(OSError):
                one.send(b"overlab")
        for one in select.select(list(waiting), [], [], UDP_PAUSE_S)[0]:
            try:
                one.recv(1)
            except OSError:
                del waiting[one]
    return list(waiting.values())


def main(control: str, address: str, *ports: str) -> int:
    host, port = control.split(":")
    if not reached_tcp([(host, int(port))])[0]:
        print(f"the probe does not work: {control} does not answer, which has to")
        return 2
    numbers: dict[str, list[Target]] = {"tcp": [], "udp": []}
    for one in ports:
        number, protocol = one.split("/")
        numbers[protocol].append((address, int(number)))
    accepting, silent = reached_tcp(numbers["tcp"])
    reached = [f"{port}/tcp of {address} accepts a connection" for _, port in accepting]
    reached += [f"{port}/udp of {address} does not refuse a packet" for _, port in reached_udp(numbers["udp"])]
    lost = [f"{port}/tcp" for _, port in silent]
    refused = [one for one in ports if one not in lost]
    print("\n".join(reached) or f"refused by {address}: {' '.join(refused)}")
    if lost:
        print(f"no answer from {address}: {' '.join(lost)}")
    return 1 if reached else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
