"""``libvirt:index/network:Network``: a virtual network with its bridge. ID = the network's UUID."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import libvirt
from pydantic import field_validator

from bundled_plugins.libvirt.addresses import parse_cidr, same_networks
from bundled_plugins.libvirt.base import LibvirtResource, known_texts
from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import error_context, message, not_found
from bundled_plugins.libvirt.network_xml import ROUTED_MODES, dns_host, network_properties, network_xml
from bundled_plugins.libvirt.ownership import created_by_this_stack, new_uuid
from bundled_plugins.libvirt.waits import wait_until
from bundled_plugins.libvirt.xmltree import to_xml
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.model_resource import NAME_LIMIT
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties

_LIVE_AND_CONFIG = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG


def _same_mode(old: Any, new: Any) -> bool:
    return str(old).lower() == str(new).lower()


class NetworkDhcp(Model):
    enabled: Annotated[bool | None, Prop(computed=True)] = None


class NetworkDnsHost(Model):
    hostname: str | None = None
    ip: str | None = None


class NetworkDns(Model):
    unsupported = ("forwarders", "srvs")

    enabled: Annotated[bool | None, Prop(default=True)] = None
    local_only: bool | None = None
    hosts: Annotated[list[NetworkDnsHost] | None, Prop(unordered=True)] = None


class NetworkRoute(Model):
    cidr: str
    gateway: str


class NetworkInputs(Model):
    unsupported = ("dnsmasqOptions", "xml")

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

    def create_object(self, op: Operation, host: Hypervisor, inputs: Properties) -> str:
        xml = network_xml(inputs, new_uuid(op))
        with host.network_locked(op):
            _remove_leftover(op, host, inputs["name"])
            try:
                network = host.connection.networkDefineXML(xml)
            except libvirt.libvirtError as error:
                raise ProviderError(f"error defining libvirt network: {message(error)} - {xml}") from error
            try:
                with error_context("error creating libvirt network"):
                    network.create()
                if inputs.get("autostart"):
                    with error_context("error setting autostart for network"):
                        network.setAutostart(1)
                name = inputs["name"]
                wait_until(op, f"network '{name}' to run", lambda: "" if network.isActive() else "it is not active")
            except ProviderError:
                _discard(network)
                raise
        return str(network.UUIDString())

    def read_object(self, op: Operation, host: Hypervisor, id: str, known: Properties) -> tuple[str, Properties] | None:
        network = _lookup(host, id)
        if network is None:
            return None
        live = network_properties(network.XMLDesc(0), known)
        return id, live | {"autostart": bool(network.autostart())}

    def update_object(self, op: Operation, host: Hypervisor, id: str, olds: Properties, news: Properties) -> Properties:
        network = _lookup(host, id)
        if network is None:
            raise ProviderError(f"the network {id} does not exist any more; run 'pulumi refresh'")
        if not network.isActive():
            with error_context("error by activating network"):
                network.create()
        if "autostart" in news and news["autostart"] != olds.get("autostart"):
            with error_context("error updating autostart for network"):
                network.setAutostart(int(news["autostart"]))
        _change_dns_hosts(network, _dns_hosts(olds), _dns_hosts(news) if "dns" in news else _dns_hosts(olds))
        return {}

    def delete_object(self, op: Operation, host: Hypervisor, id: str, outputs: Properties) -> None:
        network = _lookup(host, id)
        if network is None:
            return
        try:
            if network.isActive():
                network.destroy()
            network.undefine()
        except libvirt.libvirtError as error:
            if not not_found(error):
                raise ProviderError(f"error destroying libvirt network {id}: {message(error)}") from error
        wait_until(op, f"the end of network {id}", lambda: "" if _lookup(host, id) is None else "it is still there")


def _lookup(host: Hypervisor, id: str) -> Any | None:
    try:
        return host.connection.networkLookupByUUIDString(id)
    except libvirt.libvirtError as error:
        if not_found(error):
            return None
        raise ProviderError(f"error retrieving libvirt network '{id}': {message(error)}") from error


def _discard(network: Any) -> None:
    """Remove a network whose creation failed."""
    for step in (network.destroy, network.undefine):
        with contextlib.suppress(libvirt.libvirtError):
            step()


def _remove_leftover(op: Operation, host: Hypervisor, name: str) -> None:
    try:
        network = host.connection.networkLookupByName(name)
    except libvirt.libvirtError as error:
        if not_found(error):
            return
        raise
    if created_by_this_stack(op, network.UUIDString()):
        op.log("info", f"the network '{name}' left by an interrupted run is recreated", False)
        _discard(network)


def _dns_hosts(properties: Properties) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in (properties.get("dns") or {}).get("hosts") or []:
        found.setdefault(item.get("ip", ""), set()).add(item.get("hostname", ""))
    return found


def _change_dns_hosts(network: Any, olds: dict[str, set[str]], news: dict[str, set[str]]) -> None:
    """libvirt identifies a DNS host by its address and cannot modify one: delete, then add."""
    section = libvirt.VIR_NETWORK_SECTION_DNS_HOST
    with error_context("error updating DNS hosts of the network"):
        for ip in sorted(ip for ip in olds if olds[ip] != news.get(ip)):
            xml = to_xml(dns_host(ip, []))
            network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, section, -1, xml, _LIVE_AND_CONFIG)
        for ip in sorted(ip for ip in news if news[ip] != olds.get(ip)):
            xml = to_xml(dns_host(ip, sorted(news[ip])))
            network.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, section, -1, xml, _LIVE_AND_CONFIG)
