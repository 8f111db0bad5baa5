"""The lab network: the machines' only one, and the overlays' underlay."""

from __future__ import annotations

import pulumi
import pulumi_libvirt as libvirt

from components._base import Component
from components.config.platform import Platform
from components.config.settings import Settings


class Underlay(Component):
    """A libvirt network with the hypervisor's end at the first address, or a bridge that is there, and nothing made.

    Addresses are static: it has no DHCP.
    """

    TOKEN = "overlab:index:LabNetwork"

    def __init__(
        self,
        name: str,
        settings: Settings,
        platform: Platform,
        provider: libvirt.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, opts)
        # No libvirt network for a bridge that is there: running machines show the bridge as theirs and not the network,
        # and the provider would replace them for that at every update.
        self._bridge = settings.underlay.bridge
        self.network = None if self._bridge else self._declare(name, settings, platform, provider)
        self.register_outputs({"bridge": self._bridge} if self.network is None else {"network_id": self.network.id})

    @property
    def identity(self) -> pulumi.Input[str]:
        """Another one where machines must be others too."""
        return str(self._bridge) if self.network is None else self.network.id

    def interface(self, mac: str) -> libvirt.DomainNetworkInterfaceArgs:
        """A machine's interface on it; ``mac`` in lower case."""
        if self.network is None:
            return libvirt.DomainNetworkInterfaceArgs(bridge=self._bridge, mac=mac.upper())
        return libvirt.DomainNetworkInterfaceArgs(network_id=self.network.id, mac=mac.upper())

    def _declare(
        self, name: str, settings: Settings, platform: Platform, provider: libvirt.Provider
    ) -> libvirt.Network:
        return libvirt.Network(
            name,
            name=f"overlab-{settings.name}",
            mode="none" if settings.isolated(platform) else "nat",
            addresses=[str(settings.underlay.cidr)],
            dhcp=libvirt.NetworkDhcpArgs(enabled=False),
            autostart=True,
            opts=self.child(provider=provider),
        )
