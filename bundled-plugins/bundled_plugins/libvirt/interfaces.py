"""A domain's network interfaces: the networks they are on, and their DHCP host entries there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import tostring

import libvirt

from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import OPERATION_INVALID, message, not_found
from bundled_plugins.libvirt.network_xml import ROUTED_MODES
from bundled_plugins.libvirt.xmltree import Element, attribute, element, parse
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.values import Properties


def network_of(host: Hypervisor, nic: Properties) -> Any | None:
    """The network of an interface, None when it is on none. Raises :class:`ProviderError` when it is missing."""
    name, uuid = nic.get("networkName"), nic.get("networkId")
    if not name and not uuid:
        return None
    try:
        if name:
            return host.connection.networkLookupByName(name)
        return host.connection.networkLookupByUUIDString(uuid)
    except libvirt.libvirtError as error:
        what = f"network '{name}'" if name else f"network ID {uuid}"
        raise ProviderError(f"can't retrieve {what}: {message(error)}") from error


def add_dhcp_host(network: Any, nic: Properties, mac: str, domain_name: str, addresses: list[str]) -> None:
    """Write a DHCP host entry per address, over an older one of the same MAC or name."""
    root = parse(network.XMLDesc(0))
    if (attribute(root, "forward", "mode") or "none") not in ROUTED_MODES:
        return
    section = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
    flags = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
    for address in addresses:
        entry = element("host", mac=mac, name=nic.get("hostname") or domain_name, ip=address)
        xml, index = tostring(entry, encoding="unicode"), _subnet_index(root, address)
        try:
            try:
                network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_MODIFY, section, index, xml, flags)
            except libvirt.libvirtError as error:
                if error.get_error_code() != OPERATION_INVALID:
                    raise
                network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, index, xml, flags)
        except libvirt.libvirtError as error:
            raise ProviderError(
                f"error announcing {address} for {mac} to the network '{network.name()}': {message(error)}"
            ) from error


def _subnet_index(root: Element, address: str) -> int:
    wanted = ipaddress.ip_address(address)
    for index, ip in enumerate(root.findall("ip")):
        prefix = ip.get("prefix") or ip.get("netmask") or "24"
        if wanted in ipaddress.ip_network(f"{ip.get('address')}/{prefix}", strict=False):
            return index
    return -1


def dhcp_hostname(network: Any, mac: str) -> str:
    """Name of the network's DHCP host entry with the MAC, or ""."""
    for entry in parse(network.XMLDesc(0)).iter("host"):
        if (entry.get("mac") or "").lower() == mac.lower():
            return entry.get("name", "")
    return ""


def networks_by_name(host: Hypervisor, names: Iterator[str]) -> dict[str, Any]:
    """The networks that exist among the names."""
    found: dict[str, Any] = {}
    for name in sorted({name for name in names if name}):
        try:
            found[name] = host.connection.networkLookupByName(name)
        except libvirt.libvirtError as error:
            if not not_found(error):
                raise
    return found
