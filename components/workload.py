"""Workloads: the test containers on the overlays."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from components._base import Component
from components.docker_engine import DockerEngine
from components.overlay import Overlays
from components.spec import WorkloadSpec

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
                opts=self.inside(engine.machine.domain, provider=engine.provider),
            )
            for name in names
        }
        self.register_outputs({})


class Workload(Component):
    """One container on its overlays, made when its node sees them."""

    TOKEN = "overlab:index:Workload"
    addresses: pulumi.Output[dict[str, str]]
    """Overlay name -> address."""

    def __init__(
        self,
        name: str,
        spec: WorkloadSpec,
        engine: DockerEngine,
        overlays: Overlays,
        images: NodeImages,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(f"workload-{name}", opts)
        self.name = name
        self.spec = spec
        self.engine = engine
        self.container = docker.Container(
            name,
            name=name,
            hostname=name,
            image=spec.image,
            command=list(spec.command),
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=overlays.networks[overlay].id) for overlay in spec.overlays
            ],
            restart="unless-stopped",
            memory=spec.memory_mib,
            memory_swap=spec.memory_mib,
            destroy_grace_seconds=STOP_GRACE_S,
            opts=self.inside(
                engine.machine.domain,
                provider=engine.provider,
                depends_on=[images.images[spec.image], overlays.gates[engine.machine.node.key]],
                # A container whose start failed must not be taken for a running one by the next run.
                replace_on_changes=["#initerror"],
                delete_before_replace=True,
            ),
        )
        self.addresses = self.container.network_datas.apply(
            # In no fixed order, and with the bridge beside the overlays.
            lambda found: {
                overlay: data.ip_address or ""
                for overlay in spec.overlays
                for data in found or []
                if data.network_name == overlay
            }
        )
        self.register_outputs({"addresses": self.addresses})
