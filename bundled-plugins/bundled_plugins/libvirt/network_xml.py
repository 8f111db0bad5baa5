"""A network's inputs as libvirt's XML, and back."""

from __future__ import annotations

import ipaddress

from bundled_plugins.libvirt.addresses import subnet
from bundled_plugins.libvirt.xmltree import Element, add, attribute, element, parse, text_of, to_xml
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.values import Properties

ROUTED_MODES = ("none", "nat", "route", "open")


def network_xml(inputs: Properties, uuid: str) -> str:
    """The definition of a network. Raises :class:`ProviderError` for what libvirt could not run."""
    mode = inputs["mode"].lower()
    root = element("network")
    add(root, "name", inputs["name"])
    add(root, "uuid", uuid)
    if mode != "none":
        add(root, "forward", mode=mode)
    if mode == "bridge":
        if not inputs.get("bridge"):
            raise ProviderError("'bridge' must be provided when using the bridged network mode")
        add(root, "bridge", name=inputs["bridge"])
    else:
        add(root, "bridge", name=inputs.get("bridge"), stp="on")
    if inputs.get("mtu"):
        add(root, "mtu", size=inputs["mtu"])
    if mode in ROUTED_MODES:
        _add_services(root, inputs)
    return to_xml(root)


def _add_services(root: Element, inputs: Properties) -> None:
    if inputs.get("domain"):
        add(root, "domain", name=inputs["domain"])
    has_dhcp = (inputs.get("dhcp") or {}).get("enabled", True)
    for cidr in inputs.get("addresses") or []:
        net = subnet(cidr)
        ip = add(root, "ip", address=net.host, family=net.family, prefix=net.prefix)
        if has_dhcp:
            add(add(ip, "dhcp"), "range", start=net.first, end=net.last)


def network_properties(xml: str, known: Properties) -> Properties:
    """A network's live XML in the official provider's terms."""
    root = parse(xml)
    live: Properties = {"name": text_of(root, "name"), "bridge": attribute(root, "bridge", "name")}
    mode = attribute(root, "forward", "mode")
    live["mode"] = mode or ("nat" if root.find("forward") is not None else "none")
    mtu = attribute(root, "mtu", "size")
    if mtu or known.get("mtu"):
        live["mtu"] = int(mtu or 0)
    addresses = [_network_of(ip) for ip in root.findall("ip")]
    if addresses or known.get("addresses"):
        live["addresses"] = addresses
    if root.find("ip/dhcp") is not None:
        live["dhcp"] = {"enabled": True}
    domain = attribute(root, "domain", "name")
    if domain or known.get("domain"):
        live["domain"] = domain
    return live


def _network_of(ip: Element) -> str:
    address = ip.get("address", "")
    prefix = ip.get("prefix") or ip.get("netmask") or _classful(address)
    return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))


def _classful(address: str) -> str:
    """libvirt takes a missing prefix from the address's class."""
    first = int(address.split(".")[0]) if "." in address else 0
    return "64" if ":" in address else "8" if first < 128 else "16" if first < 192 else "24"
