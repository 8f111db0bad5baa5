"""The cluster store: Consul in containers, and the gate that every engine joined."""

from __future__ import annotations

import json

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components import store_access
from components._base import Component
from components.barrier import Barrier
from components.config import conventions
from components.config.docker_names import advertised, store_address
from components.config.platform import Platform
from components.config.settings import Node, Settings
from components.docker_engine import DockerEngine
from components.node import scripts

DATA_DIR = "/consul/data"
CONFIG_FILE = "/consul/config/lab.json"
STOP_GRACE_S = 10


class Agent(Component):
    """One Consul agent on a node's engine, in the node's own network, its data in a volume.

    A single server listens on its lab address and on loopback; an agent of a cluster on loopback alone. The engine
    that runs it is also its client: the engine starts without it and finds it within a heartbeat.
    """

    TOKEN = "overlab:index:StoreAgent"

    def __init__(
        self, settings: Settings, platform: Platform, engine: DockerEngine, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        node = engine.machine.node
        super().__init__(f"store-{node.key}", opts)
        self._engine = engine
        image = docker.RemoteImage(
            f"{node.key}-store-image",
            name=settings.store.image,
            keep_locally=True,
            triggers=engine.machine.labels(),
            opts=self._placed(),
        )
        labels = [docker.VolumeLabelArgs(label=key, value=value) for key, value in engine.machine.labels().items()]
        volume = docker.Volume(f"{node.key}-store-data", name="consul-data", labels=labels, opts=self._placed())
        self.container = docker.Container(
            f"{node.key}-consul",
            name="consul",
            hostname="consul",
            image=settings.store.image,
            command=["agent", f"-config-file={CONFIG_FILE}"],
            network_mode="host",
            labels=[docker.ContainerLabelArgs(label=k, value=v) for k, v in engine.machine.labels().items()],
            restart="always",
            memory=settings.store.memory_mib,
            memory_swap=settings.store.memory_mib,
            destroy_grace_seconds=STOP_GRACE_S,
            volumes=[docker.ContainerVolumeArgs(volume_name=volume.name, container_path=DATA_DIR)],
            # A file and not arguments: the gossip key must not stand in a process list, nor the tokens.
            uploads=[docker.ContainerUploadArgs(file=CONFIG_FILE, content=_document(node, settings, platform))],
            opts=self._placed(depends_on=[image]),
        )
        self.register_outputs({})

    def _placed(self, depends_on: list[pulumi.Resource] | None = None) -> pulumi.ResourceOptions:
        return self.inside(self._engine.machine.domain, provider=self._engine.provider, depends_on=depends_on)


def _document(node: Node, settings: Settings, platform: Platform) -> pulumi.Output[str]:
    text = json.dumps(agent_config(node, settings, platform), indent=2, sort_keys=True) + "\n"
    return pulumi.Output.secret(text) if settings.store.servers > 1 else pulumi.Output.from_input(text)


def agent_config(node: Node, settings: Settings, platform: Platform) -> dict[str, object]:
    """Consul's configuration on a node. In cluster mode it holds secrets: the gossip key, and tokens."""
    address = str(node.address)
    config: dict[str, object] = {
        "bind_addr": address,
        "client_addr": "127.0.0.1",
        "data_dir": DATA_DIR,
        "disable_update_check": True,
        "enable_script_checks": False,
        "node_name": node.key,
        # The name of it in Consul 1.8; later ones know it still.
        "ui": True,
    }
    if node.key in settings.store_nodes:
        config |= {"server": True, "bootstrap_expect": len(settings.store_nodes)}
    if settings.store.servers == 1:
        return config | {"client_addr": f"127.0.0.1 {address}"}
    if settings.store.acl:
        config["acl"] = store_access.acl_config(node.key, settings, platform)
    assert platform.identity.gossip_key is not None
    return config | {
        "encrypt": platform.identity.gossip_key.read_text("utf-8").strip(),
        "retry_join": [str(settings.nodes[key].address) for key in settings.store_nodes],
    }


class Store(Component):
    """One server (the single-server mode), or a cluster of servers with an agent on every node."""

    TOKEN = "overlab:index:Store"
    url: pulumi.Output[str]

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        engines: dict[str, DockerEngine],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("store", opts)
        places = engines if settings.store.servers > 1 else settings.store_nodes
        self.agents = {key: Agent(settings, platform, engines[key], self.child()) for key in places}
        self.containers: list[pulumi.Resource] = [agent.container for agent in self.agents.values()]
        self.ids = [agent.container.id for agent in self.agents.values()]
        self.ready = list(self.containers)
        """What has to be there before anything can be written to it."""
        if settings.store.acl:
            server = engines[settings.store_nodes[0]]
            access = store_access.StoreAccess(settings, platform, server, self.ids, self.child())
            self.ready.append(access.made)
        first = settings.nodes[settings.store_nodes[0]]
        host = "127.0.0.1" if settings.store.servers > 1 else first.address
        url = f"http://{host}:{conventions.CONSUL_HTTP_PORT}"
        self.url = pulumi.Output.all(*self.ids).apply(lambda _: url)
        self.register_outputs({"url": self.url})


class Membership(Component):
    """The gate behind the store: a leader, every engine listed, and every other engine a serf member."""

    TOKEN = "overlab:index:Membership"

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engines: dict[str, DockerEngine],
        ssh: command.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("membership", opts)
        self._settings = settings
        domains = [engine.machine.domain.id for engine in engines.values()]
        # Engines that were restarted have to find each other again: when all of them are there, and not before.
        restarts = [pulumi.Output.from_input(engine.configuration) for engine in engines.values()]
        configured = Barrier(
            "engines-configured",
            ssh,
            after=[*store.ready, *(engine.configured for engine in engines.values())],
            identities=[*store.ids, *domains, *restarts],
            opts=self.child(),
        )
        self.gates = {
            key: engine.host.run(
                f"{key}-joined",
                scripts.render("joined", **self._values(index, engine, engines)),
                self.child(),
                triggers=[configured.id],
                limit_s=2 * join_limit_s(settings.engine.heartbeat_s),
            )
            for index, (key, engine) in enumerate(engines.items())
        }
        self.complete = Barrier("engines-joined", ssh, after=list(self.gates.values()), opts=self.child())
        self.register_outputs({})

    def _values(self, index: int, engine: DockerEngine, engines: dict[str, DockerEngine]) -> dict[str, object]:
        heartbeat_s = self._settings.engine.heartbeat_s
        return {
            "consul": f"http://{store_address(self._settings.store_addresses)}",
            "own": advertised(engine.machine.node.address),
            # Once, for both: a gate's text grows with the lab, so that all of them grow with its square.
            "nodes": [f"{key}/{advertised(other.machine.node.address)}" for key, other in engines.items()],
            "limit_s": join_limit_s(heartbeat_s),
            "grace_s": grace_s(index, heartbeat_s),
            "heartbeat_s": heartbeat_s,
        }


def join_limit_s(heartbeat_s: int) -> int:
    """How long an engine may take to join: it needs a heartbeat to register, and another one to be announced again."""
    return max(conventions.JOIN_LIMIT_S, 10 * heartbeat_s)


def grace_s(index: int, heartbeat_s: int) -> int:
    """How long the lab's node number ``index`` (from 0) stays cut off before it announces itself again.

    One after another, a heartbeat apart, until half of the limit is over; then all that still are cut off. The first
    one does nearly the whole work: every engine that has joined nobody yet joins it. Were several announced at once,
    engines would join different ones, each only once in its life, and the islands might stay.
    """
    slots = join_limit_s(heartbeat_s) // 2 // heartbeat_s
    return 5 + min(index, slots) * heartbeat_s
