"""A real DHCP lease for a MAC on a libvirt bridge, taken by a client beside the machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_CLIENT, _BRIDGE_END = "lease0", "lease1"


@contextmanager
def lease(namespace: str, bridge: str, mac: str) -> Iterator[None]:
    """While the block runs, a client with ``mac`` asks for a lease until it has one."""
    if shutil.which("busybox") is None:
        pytest.skip("needs busybox (its DHCP client)")
    enter = ["ip", "netns", "exec", namespace]
    for command in (
        ["ip", "link", "add", _CLIENT, "address", mac, "type", "veth", "peer", "name", _BRIDGE_END],
        ["ip", "link", "set", _BRIDGE_END, "master", bridge, "up"],
        ["ip", "link", "set", _CLIENT, "up"],
    ):
        subprocess.run([*enter, *command], check=True)
    # -s true: the lease is taken, but no address is configured
    client = subprocess.Popen(
        [*enter, "busybox", "udhcpc", "-i", _CLIENT, "-f", "-q", "-t", "60", "-T", "1", "-A", "1", "-s", "/bin/true"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        client.kill()
        client.wait(5)
        subprocess.run([*enter, "ip", "link", "del", _CLIENT], check=True)
