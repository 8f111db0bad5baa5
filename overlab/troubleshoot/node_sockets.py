"""Packet sockets in the network namespaces of a node: the part that the scripts for nodes share.

Standard library of Python 3.9 only. ``node_script.py`` puts it in front of a script.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
VXLAN_PORT = 4789

SO_ATTACH_FILTER = 26
_LOAD_HALF, _LOAD_BYTE, _IF_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
# Operation, jumps where it holds and where not, operand.
ECHOS = (
    (_LOAD_HALF, 0, 0, 12),  # EtherType
    (_IF_EQUAL, 10, 0, 0x0806),
    (_IF_EQUAL, 0, 10, 0x0800),
    (_LOAD_BYTE, 0, 0, 23),  # protocol
    (_IF_EQUAL, 7, 0, socket.IPPROTO_ICMP),
    (_IF_EQUAL, 0, 7, socket.IPPROTO_UDP),
    (_LOAD_HALF, 0, 0, 36),  # destination port
    (_IF_EQUAL, 0, 5, VXLAN_PORT),
    (_LOAD_HALF, 0, 0, 62),  # EtherType of the inner frame
    (_IF_EQUAL, 2, 0, 0x0806),
    (_LOAD_BYTE, 0, 0, 73),  # protocol of the inner packet
    (_IF_EQUAL, 0, 1, socket.IPPROTO_ICMP),
    (_RETURN, 0, 0, 0x40000),
    (_RETURN, 0, 0, 0),
)
"""A socket filter (BPF) that passes ARP and ICMP, also in VXLAN packets: others would fill the buffer of a socket."""

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def network_namespace(file: str) -> Iterator[None]:
    """Enter a network namespace; an empty file is the node's own."""
    if not file:
        yield
        return
    with open("/proc/self/ns/net") as own, open(file) as other:  # noqa: PTH123 - descriptors
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def packet_socket(namespace: str, device: str, packets: tuple[tuple[int, int, int, int], ...] = ()) -> socket.socket:
    """Of a device, or of the one that the route to ADDRESS takes, where it is ``>ADDRESS``; ``packets`` is a filter."""
    with network_namespace(namespace):
        if device.startswith(">"):
            device = str(route(device[1:])["dev"])
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        try:
            if packets:
                program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in packets))
                head = struct.pack("HL", len(packets), ctypes.addressof(program))
                opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, head)
            opened.bind((device, 0))
        except OSError:
            opened.close()
            raise
    return opened


def route(address: str) -> dict[str, Any]:
    """The route to an address in the present namespace. Raises OSError with the kernel's reason."""
    done = subprocess.run(["ip", "-j", "route", "get", address], capture_output=True, text=True, timeout=5, check=False)
    found: list[dict[str, Any]] = [one for one in json.loads(done.stdout or "[]") if one]
    if done.returncode != 0 or not found:
        raise OSError(errno.ENETUNREACH, done.stderr.strip().replace("RTNETLINK answers: ", "") or "no route")
    if found[0].get("type", "unicast") != "unicast":
        raise OSError(errno.ENETUNREACH, f"the route is {found[0]['type']}")
    return found[0]


def decapsulated(frame: bytes) -> tuple[int | None, bytes]:
    """VNI and inner frame of a VXLAN packet; any other frame as it is."""
    if len(frame) >= 50 and frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP:
        begin = 14 + (frame[14] & 15) * 4
        if len(frame) >= begin + 30 and struct.unpack_from("!H", frame, begin + 2)[0] == VXLAN_PORT:
            vni: int = struct.unpack_from("!I", frame, begin + 12)[0] >> 8
            return vni, frame[begin + 16 :]
    return None, frame
