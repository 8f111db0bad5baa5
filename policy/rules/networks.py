"""The parameter that several rules share: which addresses belong to the lab."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Final

from .rule import Parameters, items

_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
PARAMETER: Final = items("lab_networks", _PRIVATE, "The lab's networks in CIDR form; by default all private addresses.")


def lab(parameters: Parameters) -> list[IPv4Network]:
    """The lab's networks. Raises ValueError, with the text, for one that is none."""
    return [IPv4Network(text) for text in parameters["lab_networks"]]


def address(text: str) -> IPv4Address | None:
    """The address that a text is; None for names, IPv6 and anything else."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def inside(text: str, networks: list[IPv4Network]) -> bool:
    """Whether a text is an address of loopback or of one of the networks."""
    if text in ("localhost", "::1", "[::1]"):
        return True
    found = address(text)
    return found is not None and (found.is_loopback or any(found in network for network in networks))
