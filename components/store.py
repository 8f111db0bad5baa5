"""The cluster store: Consul in containers, and the gate that every engine joined."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any

import pulumi
import pulumi_command as command
import pulumi_docker as docker
from pydantic import Field

from components._base import Args, Component, Public
from components.barrier import Barrier, BarrierArgs
from components.config import conventions, roles
from components.config.docker_names import store_address
from components.config.fields import ImageName
from components.config.platform import StoreTls, StoreTokens
from components.config.section import Violation
from components.docker_engine import DockerEngine
from components.node import scripts
from components.store_access import RELOAD_PENDING, StoreAccess, StoreAccessArgs, acl_tokens

DATA_DIR = "/consul/data"
CONFIG_FILE = "/consul/config/lab.json"
SECRETS_DIR = "/consul/secrets"
"""In the container, what :data:`NODE_SECRETS_DIR` is on the node."""
NODE_SECRETS_DIR = "/var/lib/overlab/consul"
STOP_GRACE_S = 10


class StoreArgs(Args):
    """A store on the engines of ``servers``, and all engines that use it."""

    engines: tuple[DockerEngine, ...]
    servers: Public[Annotated[tuple[DockerEngine, ...], Field(min_length=1)]]
    image: Public[ImageName] = conventions.CONSUL_IMAGE
    memory_mib: Public[Annotated[int, Field(ge=64, le=65536)]] = 128
    gossip_key: Path | None = None
    """Required with several servers."""
    tls: StoreTls | None = None
    """Required with several servers."""
    tokens: StoreTokens | None = None
    """With several servers: access lists, denied by default."""

    @property
    def cluster(self) -> bool:
        """Several servers, and an agent on every engine; else the single-server mode."""
        return len(self.servers) > 1

    def violations(self) -> Iterator[Violation]:
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

    def config(self) -> dict[str, Any]:
        """Consul's configuration, without its secrets."""
        machine, store = self.engine.machine, self.store
        servers = tuple(server.machine.node_address for server in store.servers)
        return agent_config(machine.name, machine.node_address, servers, acl=store.tokens is not None)

    def secrets(self) -> dict[str, str]:
        """Content of the files in :data:`SECRETS_DIR`; empty for a single server."""
        store, node = self.store, self.engine.node
        if not store.cluster:
            return {}
        assert store.gossip_key is not None and store.tls is not None  # noqa: PT018
        config: dict[str, Any] = {"encrypt": store.gossip_key.read_text("utf-8").strip()}
        if store.tokens is not None:
            config["acl"] = {"tokens": acl_tokens(store.tokens, server=self.engine in store.servers)}
        files = {"ca.pem": store.tls.ca, "cert.pem": store.tls.certs[node], "key.pem": store.tls.keys[node]}
        return {"secrets.json": json.dumps(config)} | {name: path.read_text("utf-8") for name, path in files.items()}

    def inputs(self) -> dict[str, Any]:
        """Beside what is stated what policies ask for."""
        config = self.config()
        derived = {"server": config.get("server", False), "encrypted": self.store.cluster, "acl": "acl" in config}
        return super().inputs() | derived | {"client_addresses": config["client_addr"].split()}


class StoreAgent(Component[StoreAgentArgs]):
    """One Consul agent on a machine's engine, in the machine's own network, its data in a volume.

    A single server listens on the underlay and on loopback; an agent of a cluster on loopback alone. The engine that
    runs it is also its client: the engine starts without it and finds it within a heartbeat.
    """

    TOKEN = "overlab:index:StoreAgent"

    def __init__(self, name: str, args: StoreAgentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        engine = args.engine
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
            name=conventions.STORE_VOLUME,
            labels=[docker.VolumeLabelArgs(label=key, value=value) for key, value in labels.items()],
            opts=self.child_options(**engine.placement),
        )
        mounts = [docker.ContainerVolumeArgs(volume_name=volume.name, container_path=DATA_DIR)]
        command = ["agent", f"-config-file={CONFIG_FILE}"]
        first: list[pulumi.Resource] = [image]
        if secrets := args.secrets():
            first.append(self._declare_secrets(secrets))
            mounts.append(
                docker.ContainerVolumeArgs(host_path=NODE_SECRETS_DIR, container_path=SECRETS_DIR, read_only=True)
            )
            command.append(f"-config-file={SECRETS_DIR}/secrets.json")
        self.container = docker.Container(
            f"{engine.node}-consul",
            name=conventions.STORE_CONTAINER,
            hostname=conventions.STORE_CONTAINER,
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
            uploads=[docker.ContainerUploadArgs(file=CONFIG_FILE, content=_document(args.config()))],
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


def _document(config: dict[str, Any]) -> str:
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def agent_config(
    node: str, address: IPv4Address, servers: tuple[IPv4Address, ...], *, acl: bool = False
) -> dict[str, Any]:
    """Consul's configuration on a node, without secrets."""
    config: dict[str, Any] = {
        "bind_addr": str(address),
        "client_addr": "127.0.0.1",
        "data_dir": DATA_DIR,
        "disable_update_check": True,
        "enable_script_checks": False,
        "node_name": node,
        # The name of it in Consul 1.8; later ones know it still.
        "ui": True,
    }
    if address in servers:
        config |= {"server": True, "bootstrap_expect": len(servers)}
    if len(servers) == 1:
        # Alone there is nobody to wait for: it elects itself after 1 to 2 s, by default after 5 to 10.
        return config | {"client_addr": f"127.0.0.1 {address}", "performance": {"raft_multiplier": 1}}
    if acl:
        config["acl"] = {"enabled": True, "default_policy": "deny", "enable_token_persistence": False}
    # RPC between agents, port 8300; HTTP is for the node itself, and its engine speaks no TLS to it.
    config |= {"verify_incoming_rpc": True, "verify_outgoing": True, "verify_server_hostname": True}
    config |= {f"{name}_file": f"{SECRETS_DIR}/{name}.pem" for name in ("ca", "cert", "key")}
    return config | {"retry_join": [str(one) for one in servers]}


class Store(Component[StoreArgs]):
    """One server (the single-server mode), or a cluster of servers with an agent on every node."""

    TOKEN = "overlab:index:Store"
    url: pulumi.Output[str]

    def __init__(self, name: str, args: StoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        first = args.servers[0]
        self.machine = None if args.cluster else first.machine
        """The machine with which a single server goes, and everything that it stores."""
        agents = [
            StoreAgent(f"store-{engine.node}", StoreAgentArgs(engine=engine, store=args), self.child_options())
            for engine in (args.engines if args.cluster else args.servers)
        ]
        self.ids = tuple(agent.container.id for agent in agents)
        self.ready: list[pulumi.Resource] = [agent.container for agent in agents]
        """What is written to the store comes after all of it."""
        if args.cluster:
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
        self.address = store_address([server.machine.node_address for server in args.servers])
        """HOST:PORT of its HTTP API, as every node finds it."""
        self.url = pulumi.Output.all(*self.ids).apply(lambda _: f"http://{self.address}")
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
        "consul": f"http://{args.store.address}",
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
