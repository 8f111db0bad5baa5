"""The underlay: the only network of the machines."""

from __future__ import annotations

import pulumi
import pulumi_libvirt as libvirt

from components._base import Args, Component, Public
from components.config.fields import Bridge, Cidr, HostName, Mtu, ObjectName


class UnderlayOptions(Args):
    """What every underlay has."""

    network_name: Public[ObjectName]
    cidr: Public[Cidr]
    """Its first address is the gateway's: of the hypervisor or outer engine, or of the router behind a bridge."""
    domain: Public[HostName] = "lab"
    """The nodes' DNS domain."""
    mtu: Public[Mtu] = 1500
    isolated: Public[bool] = False
    """No default route; else NAT, or the router behind a bridge."""


class UnderlayArgs(UnderlayOptions):
    """An underlay on one hypervisor."""

    provider: libvirt.Provider
    bridge: Public[Bridge | None] = None
    """An existing bridge of the hypervisor, instead of a libvirt network."""


class Underlay(Component[UnderlayArgs]):
    """A libvirt network without DHCP, since addresses are static; or an existing bridge."""

    TOKEN = "overlab:index:Underlay"

    def __init__(self, name: str, args: UnderlayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        # No libvirt network for an existing bridge: running machines show the bridge as theirs and not the network, and
        # the provider would replace them for that at every update.
        self.network = None if args.bridge else self._declare(name)
        self.register_outputs({"bridge": args.bridge} if self.network is None else {"network_id": self.network.id})

    @property
    def identity(self) -> pulumi.Input[str]:
        """Machines are replaced when it changes."""
        return str(self.args.bridge) if self.network is None else self.network.id

    def interface(self, mac: str) -> libvirt.DomainNetworkInterfaceArgs:
        """A machine's interface on it; ``mac`` in lower case."""
        if self.network is None:
            return libvirt.DomainNetworkInterfaceArgs(bridge=self.args.bridge, mac=mac.upper())
        return libvirt.DomainNetworkInterfaceArgs(network_id=self.network.id, mac=mac.upper())

    def _declare(self, name: str) -> libvirt.Network:
        return libvirt.Network(
            name,
            name=self.args.network_name,
            mode="none" if self.args.isolated else "nat",
            addresses=[str(self.args.cidr)],
            dhcp=libvirt.NetworkDhcpArgs(enabled=False),
            autostart=True,
            opts=self.child_options(provider=self.args.provider),
        )
