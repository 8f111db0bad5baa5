"""The cluster store in containers, and the gate that every engine joined."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pulumi
import pulumi_command as command
import pulumi_docker as docker
from pydantic import Field

from components._base import Args, Component, Public
from components.barrier import Barrier, BarrierArgs
from components.config import conventions, roles
from components.config.fields import ImageName
from components.config.platform import StoreTls, StoreTokens
from components.config.section import Violation
from components.config.stores import BACKENDS, Member, Process, StoreBackend
from components.config.stores.consul import SECRETS_DIR
from components.docker_engine import DockerEngine
from components.node import scripts, store_client
from components.store_access import RELOAD_PENDING, StoreAccess, StoreAccessArgs, acl_tokens

NODE_SECRETS_DIR = "/var/lib/overlab/consul"
"""On the node, what ``SECRETS_DIR`` is in the container."""
STOP_GRACE_S = 10


class StoreArgs(Args):
    """A store on the engines of ``servers``, and all engines that use it."""

    engines: tuple[DockerEngine, ...]
    servers: Public[Annotated[tuple[DockerEngine, ...], Field(min_length=1)]]
    kind: Public[Literal["consul", "etcd"]] = "consul"
    image: Public[ImageName] = conventions.CONSUL_IMAGE
    memory_mib: Public[Annotated[int, Field(ge=64, le=65536)]] = 128
    gossip_key: Path | None = None
    """Required with several servers of Consul."""
    tls: StoreTls | None = None
    """Required with several servers of Consul."""
    tokens: StoreTokens | None = None
    """With several servers of Consul: access lists, denied by default."""

    @property
    def backend(self) -> StoreBackend:
        return BACKENDS[self.kind]

    @property
    def cluster(self) -> bool:
        """Several servers; else the single-server mode."""
        return len(self.servers) > 1

    @property
    def agents(self) -> bool:
        """Whether every engine has an agent."""
        return self.cluster and self.backend.agents

    def violations(self) -> Iterator[Violation]:
        if not self.backend.agents:
            for key in ("gossip_key", "tls", "tokens"):
                if getattr(self, key) is not None:
                    yield Violation((key,), "(stated)", f"not with {self.backend.title}", "leave it out")
            return
        if self.cluster and self.gossip_key is None:
            yield Violation(("gossip_key",), None, "a key where there are several servers", "state the file with it")
        if self.cluster and self.tls is None:
            yield Violation(("tls",), None, "certificates where there are several servers", "state the files")
        if not self.cluster and self.tokens is not None:
            remedy = "leave tokens out, or state 3 or 5 servers"
            yield Violation(("tokens",), "(stated)", "access lists need several servers", remedy)


class StoreAgentArgs(Args):
    """An agent of a store; a server where its engine is among the store's servers."""

    engine: Public[DockerEngine]
    store: Public[StoreArgs]

    def process(self) -> Process:
        """How it runs, without its secrets."""
        machine, store = self.engine.machine, self.store
        servers = {server.node: server.machine.node_address for server in store.servers}
        member = Member(machine.name, machine.node_address, servers, acl=store.tokens is not None)
        return store.backend.process(member)

    def secrets(self) -> dict[str, str]:
        """Content of the files in :data:`SECRETS_DIR`; empty for a single server."""
        store, node = self.store, self.engine.node
        if not store.agents:
            return {}
        assert store.gossip_key is not None and store.tls is not None  # noqa: PT018
        config: dict[str, Any] = {"encrypt": store.gossip_key.read_text("utf-8").strip()}
        if store.tokens is not None:
            config["acl"] = {"tokens": acl_tokens(store.tokens, server=self.engine in store.servers)}
        files = {"ca.pem": store.tls.ca, "cert.pem": store.tls.certs[node], "key.pem": store.tls.keys[node]}
        return {"secrets.json": json.dumps(config)} | {name: path.read_text("utf-8") for name, path in files.items()}

    def inputs(self) -> dict[str, Any]:
        """Beside what is stated what policies ask for."""
        store = self.store
        derived: dict[str, Any] = {"kind": store.kind, "server": self.engine in store.servers}
        derived |= {"encrypted": store.agents, "acl": store.tokens is not None}
        derived |= {"client_addresses": list(self.process().listens)}
        return super().inputs() | derived


class StoreAgent(Component[StoreAgentArgs]):
    """A server or an agent on a machine's engine, in the machine's own network, its data in a volume.

    A server listens on the underlay and on loopback; in a cluster of Consul every agent on loopback alone. The engine
    that runs it is also its client: the engine starts without it and finds it within a heartbeat.
    """

    TOKEN = "overlab:index:StoreAgent"

    def __init__(self, name: str, args: StoreAgentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        engine, backend, process = args.engine, args.store.backend, args.process()
        labels = engine.machine.labels
        image = docker.RemoteImage(
            f"{engine.node}-store-image",
            name=args.store.image,
            keep_locally=True,
            triggers=labels,
            opts=self.child_options(**engine.placement),
        )
        volume = docker.Volume(
            roles.resource_name(engine.node, roles.STORE_DATA),
            name=backend.volume,
            labels=[docker.VolumeLabelArgs(label=key, value=value) for key, value in labels.items()],
            opts=self.child_options(**engine.placement),
        )
        mounts = [docker.ContainerVolumeArgs(volume_name=volume.name, container_path=backend.data_dir)]
        command = list(process.command)
        first: list[pulumi.Resource] = [image]
        if secrets := args.secrets():
            first.append(self._declare_secrets(secrets))
            mounts.append(
                docker.ContainerVolumeArgs(host_path=NODE_SECRETS_DIR, container_path=SECRETS_DIR, read_only=True)
            )
            command.append(f"-config-file={SECRETS_DIR}/secrets.json")
        self.container = docker.Container(
            f"{engine.node}-{backend.name}",
            name=backend.name,
            hostname=backend.name,
            image=args.store.image,
            command=command,
            network_mode="host",
            labels=[docker.ContainerLabelArgs(label=key, value=value) for key, value in labels.items()],
            restart="always",
            memory=args.store.memory_mib,
            memory_swap=args.store.memory_mib,
            destroy_grace_seconds=STOP_GRACE_S,
            volumes=mounts,
            # No secret is in it, in its arguments or in its environment: with other ones it stays the same container.
            uploads=[docker.ContainerUploadArgs(file=path, content=text) for path, text in process.files.items()],
            opts=self.child_options(
                **engine.placement,
                depends_on=first,
                # The next run must not treat a container whose start failed as running.
                replace_on_changes=["#initerror"],
                delete_before_replace=True,
            ),
        )
        self.register_outputs({})

    def _declare_secrets(self, secrets: dict[str, str]) -> pulumi.Resource:
        engine = self.args.engine
        script = scripts.render(
            "store-secrets", directory=NODE_SECRETS_DIR, pending=RELOAD_PENDING, files=dict(sorted(secrets.items()))
        )
        return engine.host.run(
            f"{engine.node}-store-secrets",
            pulumi.Output.secret(script),
            self.child_options(),
            limit_s=conventions.STORE_LIMIT_S,
        )


class Store(Component[StoreArgs]):
    """One server (the single-server mode), or a cluster of servers; of Consul then with an agent on every node."""

    TOKEN = "overlab:index:Store"
    url: pulumi.Output[str]

    def __init__(self, name: str, args: StoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        first = args.servers[0]
        self.machine = None if args.cluster else first.machine
        """The machine with which a single server goes, and everything that it stores."""
        agents = [
            StoreAgent(f"store-{engine.node}", StoreAgentArgs(engine=engine, store=args), self.child_options())
            for engine in (args.engines if args.agents else args.servers)
        ]
        self.ids = tuple(agent.container.id for agent in agents)
        self.ready: list[pulumi.Resource] = [agent.container for agent in agents]
        """What is written to the store comes after all of it."""
        if args.agents:
            assert args.gossip_key is not None
            access = StoreAccessArgs(
                engine=first,
                engines=args.engines,
                gossip_key=args.gossip_key,
                tokens=args.tokens,
                agents=self.ids,
                generation=scripts.digest(*(text for agent in agents for text in agent.args.secrets().values())),
            )
            self.ready.append(StoreAccess("store-access", access, self.child_options()).configured)
        endpoints = args.backend.endpoints([server.machine.node_address for server in args.servers])
        self.url = pulumi.Output.all(*self.ids).apply(lambda _: f"http://{endpoints[0]}")
        self.register_outputs({"url": self.url})


class MembershipArgs(Args):
    """The engines that have to find each other by way of a store."""

    command_provider: command.Provider
    store: Public[Store]
    engines: tuple[DockerEngine, ...]
    heartbeat_s: Public[Annotated[int, Field(ge=1)]] = conventions.HEARTBEAT_S


class Membership(Component[MembershipArgs]):
    """The gate behind the store: a leader, every engine listed, and every other engine a serf member."""

    TOKEN = "overlab:index:Membership"

    def __init__(self, name: str, args: MembershipArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        domains = [engine.machine.instance.id for engine in args.engines]
        # Engines that were restarted have to find each other again: when all of them are up, and not before.
        restarts = [pulumi.Output.from_input(engine.configuration) for engine in args.engines]
        configured = BarrierArgs(
            command_provider=args.command_provider,
            after=(*args.store.ready, *(engine.configured for engine in args.engines)),
            identities=(*args.store.ids, *domains, *restarts),
        )
        started = Barrier("engines-configured", configured, self.child_options())
        gates = tuple(
            engine.host.run(
                f"{engine.node}-joined",
                scripts.render("joined", **_joined_values(index, args)),
                self.child_options(),
                triggers=[started.id],
                limit_s=2 * join_limit_s(args.heartbeat_s),
            )
            for index, engine in enumerate(args.engines)
        )
        joined = BarrierArgs(command_provider=args.command_provider, after=gates)
        self.complete = Barrier("engines-joined", joined, self.child_options()).reached
        self.register_outputs({})


def _joined_values(index: int, args: MembershipArgs) -> dict[str, object]:
    return {
        "store": store_client.SCRIPT,
        "own": args.engines[index].advertised,
        # Once, for both: a gate's text grows with the lab, and all of them with its square.
        "nodes": [f"{engine.node}/{engine.advertised}" for engine in args.engines],
        "limit_s": join_limit_s(args.heartbeat_s),
        "grace_s": grace_s(index, args.heartbeat_s),
        "heartbeat_s": args.heartbeat_s,
    }


def join_limit_s(heartbeat_s: int) -> int:
    """How long an engine may take to join: it needs a heartbeat to register, and another one to be announced again."""
    return max(conventions.JOIN_LIMIT_S, 10 * heartbeat_s)


def grace_s(index: int, heartbeat_s: int) -> int:
    """How long the lab's node number ``index`` (from 0) stays cut off before it announces itself again.

    One after another, a heartbeat apart, until half of the limit is over; then all that still are cut off. The first
    one heals nearly every partition: each engine without a member yet joins it. If several were announced at once,
    engines would join different ones, each only once while it runs, and the partitions might persist.
    """
    slots = join_limit_s(heartbeat_s) // 2 // heartbeat_s
    # Every watch of the other engines has begun a heartbeat after the last engine was listed.
    return min(5, heartbeat_s + 1) + min(index, slots) * heartbeat_s
