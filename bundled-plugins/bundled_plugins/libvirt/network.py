"""``libvirt:index/network:Network``: a virtual network with its bridge. ID = the network's UUID."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import libvirt
from pydantic import field_validator

from bundled_plugins.libvirt.addresses import parse_cidr, same_networks
from bundled_plugins.libvirt.base import LibvirtResource, known_texts, update_autostart
from bundled_plugins.libvirt.connection import Hypervisor
from bundled_plugins.libvirt.errors import error_context, find, message, not_found
from bundled_plugins.libvirt.network_xml import ROUTED_MODES, network_properties, network_xml
from bundled_plugins.libvirt.ownership import created_by_this_stack, new_uuid
from bundled_plugins.libvirt.waits import wait_until
from bundled_plugins.runtime.errors import ProviderError
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.model_resource import NAME_LIMIT
from bundled_plugins.runtime.resource import Operation
from bundled_plugins.runtime.values import Properties


def _same_mode(old: Any, new: Any) -> bool:
    return str(old).lower() == str(new).lower()


class NetworkDhcp(Model):
    enabled: Annotated[bool | None, Prop(computed=True)] = None


class NetworkInputs(Model):
    unsupported = ("dns", "dnsmasqOptions", "routes", "xml")

    name: Annotated[str | None, Prop(replace=True, autoname=NAME_LIMIT)] = None
    mode: Annotated[str | None, Prop(replace=True, default="nat", same=_same_mode)] = None
    domain: Annotated[str | None, Prop(replace=True)] = None
    bridge: Annotated[str | None, Prop(replace=True, computed=True)] = None
    mtu: int | None = None
    addresses: Annotated[list[str] | None, Prop(replace=True, same=same_networks)] = None
    autostart: Annotated[bool | None, Prop(computed=True)] = None
    dhcp: Annotated[NetworkDhcp | None, Prop(replace=True, computed=True)] = None

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
    """A virtual network. Only ``autostart`` changes in place; the rest replaces or is not applied."""

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
        update_autostart(network, olds, news, "error updating autostart for network")
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
        wait_until(op, f"the end of network {id}", lambda: "" if _lookup(host, id) is None else "it still exists")


def _lookup(host: Hypervisor, id: str) -> Any | None:
    return find(host.connection.networkLookupByUUIDString, id, "error retrieving libvirt network")


def _discard(network: Any) -> None:
    """Remove a network whose creation failed."""
    for step in (network.destroy, network.undefine):
        with contextlib.suppress(libvirt.libvirtError):
            step()


def _remove_leftover(op: Operation, host: Hypervisor, name: str) -> None:
    network = find(host.connection.networkLookupByName, name, "error retrieving libvirt network")
    if network is None:
        return
    if created_by_this_stack(op, network.UUIDString()):
        op.log("info", f"the network '{name}' left by an interrupted run is recreated", False)
        _discard(network)
