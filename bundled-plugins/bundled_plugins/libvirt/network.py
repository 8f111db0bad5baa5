"""``libvirt:index/network:Network``: a virtual network with its bridge. ID = the network's UUID."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import libvirt
from pydantic import field_validator

from bundled_plugins.libvirt.addresses import parse_cidr, same_networks
from bundled_plugins.libvirt.base import NAME_LIMIT, LibvirtResource, known_texts
from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import gone, message, told
from bundled_plugins.libvirt.network_xml import ROUTED_MODES, dns_host, network_properties, network_xml
from bundled_plugins.libvirt.ownership import made_here, new_uuid
from bundled_plugins.libvirt.waits import until
from bundled_plugins.libvirt.xmltree import written
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties

_LIVE_AND_CONFIG = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG


def _same_mode(old: Any, new: Any) -> bool:
    return str(old).lower() == str(new).lower()


class NetworkXml(Model):
    xslt: Annotated[str | None, Prop(replace=True, write_only=True)] = None


class NetworkDhcp(Model):
    enabled: Annotated[bool | None, Prop(computed=True)] = None


class NetworkDnsForwarder(Model):
    address: Annotated[str | None, Prop(replace=True)] = None
    domain: Annotated[str | None, Prop(replace=True)] = None


class NetworkDnsHost(Model):
    hostname: str | None = None
    ip: str | None = None


class NetworkDnsSrv(Model):
    service: Annotated[str | None, Prop(replace=True)] = None
    protocol: Annotated[str | None, Prop(replace=True)] = None
    domain: Annotated[str | None, Prop(replace=True)] = None
    target: Annotated[str | None, Prop(replace=True)] = None
    port: Annotated[str | None, Prop(replace=True)] = None
    weight: Annotated[str | None, Prop(replace=True)] = None
    priority: Annotated[str | None, Prop(replace=True)] = None


class NetworkDns(Model):
    enabled: Annotated[bool | None, Prop(default=True)] = None
    local_only: bool | None = None
    hosts: Annotated[list[NetworkDnsHost] | None, Prop(unordered=True)] = None
    forwarders: Annotated[list[NetworkDnsForwarder] | None, Prop(replace=True)] = None
    srvs: Annotated[list[NetworkDnsSrv] | None, Prop(replace=True, write_only=True)] = None


class NetworkRoute(Model):
    cidr: str
    gateway: str


class NetworkDnsmasqOption(Model):
    option_name: str | None = None
    option_value: str | None = None


class NetworkDnsmasqOptions(Model):
    options: list[NetworkDnsmasqOption] | None = None


class NetworkInputs(Model):
    name: Annotated[str | None, Prop(replace=True, autoname=NAME_LIMIT)] = None
    mode: Annotated[str | None, Prop(replace=True, default="nat", same=_same_mode)] = None
    domain: Annotated[str | None, Prop(replace=True)] = None
    bridge: Annotated[str | None, Prop(replace=True, computed=True)] = None
    mtu: int | None = None
    addresses: Annotated[list[str] | None, Prop(replace=True, same=same_networks)] = None
    autostart: Annotated[bool | None, Prop(computed=True)] = None
    dhcp: Annotated[NetworkDhcp | None, Prop(replace=True, computed=True)] = None
    dns: Annotated[NetworkDns | None, Prop(computed=True)] = None
    routes: Annotated[list[NetworkRoute] | None, Prop(replace=True)] = None
    dnsmasq_options: Annotated[NetworkDnsmasqOptions | None, Prop(write_only=True)] = None
    xml: Annotated[NetworkXml | None, Prop(replace=True)] = None

    @field_validator("mode", mode="after")
    @classmethod
    def _supported(cls, value: Any) -> Any:
        if isinstance(value, str) and value.lower() not in (*ROUTED_MODES, "bridge"):
            raise ValueError(f"unsupported network mode '{value}'; use none, nat, route, open or bridge")
        return value

    @field_validator("addresses", mode="after")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        for item in known_texts(value):
            try:
                parse_cidr(item)
            except ProviderError as error:
                raise ValueError(str(error)) from error
        return value


class Network(LibvirtResource):
    """A virtual network. Only ``autostart`` and ``dns.hosts`` change in place; the rest replaces or is not applied."""

    token = "libvirt:index/network:Network"
    model = NetworkInputs

    def make(self, op: Operation, host: Hypervisor, inputs: Properties) -> str:
        xml = network_xml(inputs, new_uuid(op))
        with host.network_locked(op):
            _remove_leftover(op, host, inputs["name"])
            try:
                network = host.connection.networkDefineXML(xml)
            except libvirt.libvirtError as error:
                raise ProviderError(f"error defining libvirt network: {message(error)} - {xml}") from error
            try:
                with told("error creating libvirt network"):
                    network.create()
                if inputs.get("autostart"):
                    with told("error setting autostart for network"):
                        network.setAutostart(1)
                name = inputs["name"]
                until(op, f"network '{name}' to run", lambda: "" if network.isActive() else "it is not active")
            except ProviderError:
                _forget(network)
                raise
        return str(network.UUIDString())

    def observe(self, op: Operation, host: Hypervisor, id: str, known: Properties) -> Properties | None:
        network = _lookup(host, id)
        if network is None:
            return None
        live = network_properties(network.XMLDesc(0), known)
        return live | {"autostart": bool(network.autostart())}

    def change(self, op: Operation, host: Hypervisor, id: str, olds: Properties, news: Properties) -> None:
        network = _lookup(host, id)
        if network is None:
            raise ProviderError(f"the network {id} does not exist any more; run 'pulumi refresh'")
        if not network.isActive():
            with told("error by activating network"):
                network.create()
        if "autostart" in news and news["autostart"] != olds.get("autostart"):
            with told("error updating autostart for network"):
                network.setAutostart(int(news["autostart"]))
        _change_dns_hosts(network, _dns_hosts(olds), _dns_hosts(news) if "dns" in news else _dns_hosts(olds))

    def remove(self, op: Operation, host: Hypervisor, id: str, outputs: Properties) -> None:
        network = _lookup(host, id)
        if network is None:
            return
        try:
            if network.isActive():
                network.destroy()
            network.undefine()
        except libvirt.libvirtError as error:
            if not gone(error):
                raise ProviderError(f"error destroying libvirt network {id}: {message(error)}") from error
        until(op, f"the end of network {id}", lambda: "" if _lookup(host, id) is None else "it is still there")


def _lookup(host: Hypervisor, id: str) -> Any | None:
    try:
        return host.connection.networkLookupByUUIDString(id)
    except libvirt.libvirtError as error:
        if gone(error):
            return None
        raise ProviderError(f"error retrieving libvirt network '{id}': {message(error)}") from error


def _forget(network: Any) -> None:
    """Leave no half-made network behind."""
    for step in (network.destroy, network.undefine):
        with contextlib.suppress(libvirt.libvirtError):
            step()


def _remove_leftover(op: Operation, host: Hypervisor, name: str) -> None:
    try:
        network = host.connection.networkLookupByName(name)
    except libvirt.libvirtError as error:
        if gone(error):
            return
        raise
    if made_here(op, network.UUIDString()):
        op.log("info", f"the network '{name}' that an interrupted run left is made anew", False)
        _forget(network)


def _dns_hosts(properties: Properties) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in (properties.get("dns") or {}).get("hosts") or []:
        found.setdefault(item.get("ip", ""), set()).add(item.get("hostname", ""))
    return found


def _change_dns_hosts(network: Any, olds: dict[str, set[str]], news: dict[str, set[str]]) -> None:
    """libvirt identifies a DNS host by its address and cannot modify one: delete, then add."""
    section = libvirt.VIR_NETWORK_SECTION_DNS_HOST
    with told("error updating DNS hosts of the network"):
        for ip in sorted(ip for ip in olds if olds[ip] != news.get(ip)):
            xml = written(dns_host(ip, []))
            network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, xml, _LIVE_AND_CONFIG)
        for ip in sorted(ip for ip in news if news[ip] != olds.get(ip)):
            xml = written(dns_host(ip, sorted(news[ip])))
            network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, xml, _LIVE_AND_CONFIG)
