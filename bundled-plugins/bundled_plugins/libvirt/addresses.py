"""What libvirt's network gets from one CIDR: the host's own address and the range that DHCP may give."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from bundled_plugins.runtime.errors import ProviderError

_RANGE_LIMIT = 2**16


@dataclass(frozen=True)
class Subnet:
    """One ``<ip>`` of a network."""

    family: str
    """``ipv4`` or ``ipv6``."""
    host: str
    """Address of the bridge: the network's first."""
    prefix: int
    first: str
    """DHCP range."""
    last: str


def subnet(cidr: str) -> Subnet:
    """The subnet of a CIDR; host bits are dropped. Raises :class:`ProviderError` for a wrong or too small one."""
    network = parse_cidr(cidr)
    family = f"ipv{network.version}"
    if network.max_prefixlen - network.prefixlen < 3:
        raise ProviderError(
            f"netmask seems to be too strict: only {network.num_addresses} IPs available ({family}) in '{cidr}'; "
            f"use a prefix of at most /{network.max_prefixlen - 3}"
        )
    base = int(network.network_address)
    size = min(network.num_addresses, _RANGE_LIMIT)
    return Subnet(
        family=family,
        host=str(network.network_address + 1),
        prefix=network.prefixlen,
        first=str(network.network_address + 2),
        last=str(type(network.network_address)(base + size - 2)),
    )


def parse_cidr(cidr: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network of a CIDR. Raises :class:`ProviderError`."""
    try:
        return ipaddress.ip_network(cidr, strict=False)
    except ValueError as error:
        raise ProviderError(f"error when creating network address from '{cidr}': {error}") from error


def same_networks(old: object, new: object) -> bool:
    """Whether two lists of CIDRs name the same networks in the same order (host bits do not count)."""
    if not isinstance(old, list) or not isinstance(new, list):
        return False
    try:
        return [parse_cidr(item) for item in old] == [parse_cidr(item) for item in new]
    except (ProviderError, TypeError):
        return False
