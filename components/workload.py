"""Workloads: the test containers on the overlays."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_docker as docker

from components._base import Component
from components.config import conventions
from components.config.spec import WorkloadSpec
from components.docker_engine import DockerEngine
from components.network import Networks

STOP_GRACE_S = 1


class NodeImages(Component):
    """The images that one node's workloads need, each pulled once."""

    TOKEN = "overlab:index:NodeImages"

    def __init__(self, engine: DockerEngine, names: list[str], opts: pulumi.ResourceOptions | None = None) -> None:
        key = engine.machine.node.key
        super().__init__(f"{key}-images", opts)
        self.images = {
            name: docker.RemoteImage(
                f"{key}-{name}",
                name=name,
                keep_locally=True,
                triggers=engine.machine.labels(),
                opts=self.inside(engine.machine.domain, provider=engine.provider),
            )
            for name in names
        }
        self.register_outputs({})


class Workload(Component):
    """One container on its overlays, or in another one's network, made when its node sees the overlays."""

    TOKEN = "overlab:index:Workload"
    addresses: pulumi.Output[dict[str, str]]
    """Overlay name -> address; those of the other one where the network is shared."""

    def __init__(
        self,
        name: str,
        spec: WorkloadSpec,
        engine: DockerEngine,
        networks: Networks,
        images: NodeImages,
        shared: Workload | None = None,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(f"workload-{name}", opts)
        self.name = name
        self.spec = spec
        self.engine = engine
        self.container: docker.Container = docker.Container(
            name,
            name=name,
            hostname=None if shared else name,
            image=spec.image,
            command=_command(spec),
            network_mode=pulumi.Output.format("container:{0}", shared.container.id) if shared else None,
            networks_advanced=_attachments(spec, networks) or None,
            ports=_ports(spec) or None,
            publish_all_ports=spec.publish_all or None,
            labels=[docker.ContainerLabelArgs(label=k, value=v) for k, v in engine.machine.labels().items()],
            restart="unless-stopped",
            memory=spec.memory_mib,
            memory_swap=spec.memory_mib,
            destroy_grace_seconds=STOP_GRACE_S,
            opts=self.inside(
                engine.machine.domain,
                provider=engine.provider,
                depends_on=[images.images[spec.image], networks.gates[engine.machine.node.key], *after],
                # A container whose start failed must not be taken for a running one by the next run.
                replace_on_changes=["#initerror"],
                delete_before_replace=True,
            ),
        )
        self.addresses = shared.addresses if shared else self._own_addresses()
        self.register_outputs({"addresses": self.addresses})

    def _own_addresses(self) -> pulumi.Output[dict[str, str]]:
        return self.container.network_datas.apply(
            # In no fixed order, and with the bridge beside the overlays.
            lambda found: {
                overlay: data.ip_address or ""
                for overlay in self.spec.networks
                for data in found or []
                if data.network_name == overlay
            }
        )


def _command(spec: WorkloadSpec) -> list[str] | None:
    if spec.command is not None:
        return list(spec.command)
    return list(conventions.IDLE) if spec.image.split(":")[0] == "busybox" else None


def _attachments(spec: WorkloadSpec, networks: Networks) -> list[docker.ContainerNetworksAdvancedArgs]:
    return [
        docker.ContainerNetworksAdvancedArgs(
            name=networks.networks[overlay].id,
            ipv4_address=str(attachment.ipv4_address) if attachment.ipv4_address else None,
            aliases=list(attachment.aliases) or None,
        )
        for overlay, attachment in spec.networks.items()
    ]


def _ports(spec: WorkloadSpec) -> list[docker.ContainerPortArgs]:
    return [
        docker.ContainerPortArgs(internal=port.target, external=port.published, protocol=port.protocol)
        for port in spec.ports
    ]
