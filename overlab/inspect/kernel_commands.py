"""Commands on a node that put back what its kernel should have of an overlay network. Pure.

As words: what other nodes and the store say becomes part of them, and no shell may read it.
"""

from __future__ import annotations

import shlex

from overlab.inspect.node_report import OverlayNamespace
from overlab.inspect.store_view import StoredEndpoint

Command = tuple[str, ...]


def shown(node: str, *commands: Command) -> str:
    """As a user may paste them."""
    return "; ".join(f"overlab exec {shlex.quote(node)} -- {shlex.join(command)}" for command in commands)


def neighbor(namespace: OverlayNamespace, endpoint: StoredEndpoint) -> Command:
    """The entry for the address of an endpoint on another node."""
    words = ("ip", "neigh", "replace", endpoint.ip, "lladdr", endpoint.mac, "dev", _vxlan(namespace))
    return (*_enter(namespace.file), *words, "nud", "permanent")


def fdb(namespace: OverlayNamespace, endpoint: StoredEndpoint) -> Command:
    """The entry for the MAC of an endpoint on another node."""
    words = ("bridge", "fdb", "replace", endpoint.mac, "dev", _vxlan(namespace), "dst", endpoint.locator)
    return (*_enter(namespace.file), *words, "self", "permanent")


def no_neighbor(namespace: OverlayNamespace, address: str) -> Command:
    return (*_enter(namespace.file), "ip", "neigh", "del", address, "dev", _vxlan(namespace))


def no_fdb(namespace: OverlayNamespace, mac: str) -> Command:
    return (*_enter(namespace.file), "bridge", "fdb", "del", mac, "dev", _vxlan(namespace))


def attach(namespace: OverlayNamespace, veth: str) -> Command:
    """Make it a port of the network's bridge."""
    return (*_enter(namespace.file), "ip", "link", "set", veth, "master", namespace.bridge, "up")


def set_up(file: str, device: str) -> Command:
    return (*_enter(file), "ip", "link", "set", device, "up")


def delete(file: str, device: str) -> Command:
    return (*_enter(file), "ip", "link", "delete", device)


def route(sandbox: str, subnet: str, device: str) -> Command:
    return (*_enter(sandbox), "ip", "route", "replace", subnet, "dev", device)


def forget(sandbox: str, address: str, device: str) -> Command:
    """Make a sandbox ask again for the MAC of an address."""
    return (*_enter(sandbox), "ip", "neigh", "flush", "to", address, "dev", device)


def _enter(file: str) -> Command:
    return ("nsenter", f"--net={file}")


def _vxlan(namespace: OverlayNamespace) -> str:
    return next(iter(namespace.devices), "vxlan0")
