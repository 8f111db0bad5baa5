"""Runs on a node, as root: packets of devices in network namespaces, as a pcap file on standard output.

``python3 -c SCRIPT TASK``, with the task as JSON: see :class:`Capture`. Standard library of Python 3.9 only. It ends
when standard input or output is closed, and leaves nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import struct
import sys
import time
from typing import Any

from overlab.troubleshoot.node_sockets import decapsulated, packet_socket

SNAPSHOT_LENGTH = 262144
ETHERNET = 1


class Capture:
    """``devices``: [namespace, device] each; a device may be ``>ADDRESS``, the one that the route to it takes.

    ``vnis``: only VXLAN packets of these; empty: every packet. ``inner``: the frames in them instead.
    """

    def __init__(self, task: dict[str, Any]) -> None:
        self.vnis, self.inner = set(task["vnis"]), task["inner"]
        self._sockets = [packet_socket(*device) for device in task["devices"]]

    def run(self) -> None:
        _write(struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPSHOT_LENGTH, ETHERNET))
        while True:
            ready, _, _ = select.select([*self._sockets, sys.stdin], [], [])
            if sys.stdin in ready and not os.read(sys.stdin.fileno(), 4096):
                return
            for one in self._sockets:
                if one in ready:
                    frame = self._frame(one.recv(SNAPSHOT_LENGTH))
                    if frame:
                        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
                        length = len(frame)
                        _write(struct.pack("!IIII", seconds, nanoseconds // 1000, length, length) + frame)

    def _frame(self, frame: bytes) -> bytes:
        """What belongs into the file; empty where nothing does."""
        if not self.vnis:
            return frame
        vni, inner = decapsulated(frame)
        if vni not in self.vnis:
            return b""
        return inner if self.inner else frame


def _write(data: bytes) -> None:
    os.write(sys.stdout.fileno(), data)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        Capture(json.loads(sys.argv[1])).run()
