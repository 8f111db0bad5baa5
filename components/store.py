"""The cluster store: one Consul server in a container (the teaching mode), and the gate that every engine joined."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from components import conventions, scripts
from components._base import Component
from components.docker_engine import DockerEngine, advertised
from components.settings import Settings

DATA_DIR = "/consul/data"
STOP_GRACE_S = 10


class Store(Component):
    """Consul on one node's engine, in the node's own network, its data in a volume.

    It listens on the lab address and on loopback, nowhere else. The engine that runs it is also its client: the
    engine starts without it and finds it within a heartbeat.
    """

    TOKEN = "overlab:index:Store"
    url: pulumi.Output[str]

    def __init__(self, settings: Settings, engine: DockerEngine, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("store", opts)
        self._settings = settings
        self._engine = engine
        image = self._declare_image()
        volume = self._declare_volume()
        self.container = self._declare_container(image, volume)
        address = engine.machine.node.address
        self.http = f"http://{address}:{conventions.CONSUL_HTTP_PORT}"
        self.url = self.container.id.apply(lambda _: self.http)
        self.register_outputs({"url": self.url})

    def _declare_image(self) -> docker.RemoteImage:
        return docker.RemoteImage(
            "store-image",
            name=self._settings.store.image,
            keep_locally=True,
            opts=self.inside(self._engine.machine.domain, provider=self._engine.provider),
        )

    def _declare_volume(self) -> docker.Volume:
        return docker.Volume(
            "store-data",
            name="consul-data",
            opts=self.inside(self._engine.machine.domain, provider=self._engine.provider),
        )

    def _declare_container(self, image: docker.RemoteImage, volume: docker.Volume) -> docker.Container:
        spec = self._settings.store
        return docker.Container(
            "store-consul",
            name="consul",
            hostname="consul",
            image=spec.image,
            command=self._arguments(),
            network_mode="host",
            restart="always",
            memory=spec.memory_mib,
            memory_swap=spec.memory_mib,
            destroy_grace_seconds=STOP_GRACE_S,
            volumes=[docker.ContainerVolumeArgs(volume_name=volume.name, container_path=DATA_DIR)],
            opts=self.inside(self._engine.machine.domain, provider=self._engine.provider, depends_on=[image]),
        )

    def _arguments(self) -> list[str]:
        node = self._engine.machine.node
        return [
            "agent",
            "-server",
            "-bootstrap-expect=1",
            f"-node={node.key}",
            f"-bind={node.address}",
            f"-client=127.0.0.1 {node.address}",
            f"-data-dir={DATA_DIR}",
            "-ui",
        ]


class Membership(Component):
    """The gate behind the store: every engine is listed and has every other engine as a serf member."""

    TOKEN = "overlab:index:Membership"

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engines: dict[str, DockerEngine],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("membership", opts)
        self._settings = settings
        self.gates = {
            key: engine.host.run(
                f"{key}-joined",
                scripts.render("joined", **self._values(index, engine, store, engines)),
                self.inside(engine.machine.domain, depends_on=[store.container, engine.configured]),
                triggers=[store.container.id, *(other.machine.domain.id for other in engines.values())],
                limit_s=2 * conventions.JOIN_LIMIT_S,
            )
            for index, (key, engine) in enumerate(engines.items())
        }
        self.register_outputs({})

    def _values(
        self, index: int, engine: DockerEngine, store: Store, engines: dict[str, DockerEngine]
    ) -> dict[str, object]:
        heartbeat = self._settings.engine.heartbeat_s
        nodes = [{"advertise": advertised(other.machine.node)} for other in engines.values()]
        return {
            "consul": store.http,
            "own": advertised(engine.machine.node),
            "nodes": nodes,
            "peers": [key for key in engines if key != engine.machine.node.key],
            "limit_s": conventions.JOIN_LIMIT_S,
            # Nodes announce themselves one after another, or the cure would be the illness.
            "grace_s": 5 + index * heartbeat,
            "heartbeat_s": heartbeat,
        }
