"""The lab network: the machines' only one, and the overlays' underlay."""

from __future__ import annotations

import pulumi
import pulumi_libvirt as libvirt

from components._base import Component
from components.ground import Ground
from components.settings import Settings


class LabNetwork(Component):
    """A libvirt network with the hypervisor's end at the first address, or one that stands for a bridge that is there.

    Addresses are static: it has no DHCP.
    """

    TOKEN = "overlab:index:LabNetwork"
    network_id: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        settings: Settings,
        ground: Ground,
        provider: libvirt.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, opts)
        spec = settings.network
        own_mode = "none" if settings.isolated(ground) else "nat"
        self.network = libvirt.Network(
            name,
            name=f"overlab-{settings.name}",
            mode="bridge" if spec.bridge else own_mode,
            bridge=spec.bridge,
            # Of a bridge that is there libvirt knows no addresses: stated ones would differ from it for ever.
            addresses=None if spec.bridge else [str(spec.cidr)],
            dhcp=None if spec.bridge else libvirt.NetworkDhcpArgs(enabled=False),
            autostart=True,
            opts=self.child(provider=provider),
        )
        self.network_id = self.network.id
        self.register_outputs({"network_id": self.network_id})
