"""Networks: overlays, each created once and seen by every engine; of other drivers one on each engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_docker as docker
from pydantic import Field

from components._base import Args, Component, Public
from components.barrier import Barrier, BarrierArgs
from components.config import conventions
from components.config.fields import ObjectName
from components.config.spec import NetworkOptions
from components.docker_engine import DockerEngine
from components.node import scripts
from components.node_host import NodeHost


class NetworkArgs(Args, NetworkOptions):
    """A network that ``engine`` creates."""

    engine: Public[DockerEngine]
    store_machine: NodeHost | None = None
    """With a single store server the machine with which an overlay goes; a cluster keeps it."""
    after: tuple[pulumi.Resource, ...] = ()


class Network(Component[NetworkArgs]):
    """One network, named after the component."""

    TOKEN = "overlab:index:Network"

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        own = f"-{args.engine.node}" if args.kind.per_node else ""
        super().__init__(f"network-{name}{own}", args, opts)
        self.network_name = name
        machine = args.store_machine or args.engine.machine
        labels = machine.labels if own or args.store_machine else {}
        self.network = docker.Network(
            f"{name}{own}",
            name=name,
            driver=args.driver,
            internal=args.internal or None,
            ipam_configs=_ipam(args),
            options=_options(args),
            labels=[docker.NetworkLabelArgs(label=key, value=value) for key, value in labels.items()] or None,
            opts=self.child_options(
                provider=args.engine.provider, deleted_with=machine.instance, depends_on=list(args.after)
            ),
        )
        self.facts = {"id": "" if own else self.network.id, "subnet": self.network.ipam_configs.apply(_subnet)}
        self.register_outputs({})


def _options(args: NetworkArgs) -> dict[str, str] | None:
    """The overlay driver assumes an underlay of 1500 bytes, whatever the node's interface has."""
    if args.kind.options:
        interface = args.engine.machine.interface
        return dict(args.kind.options(f"{interface}.{args.vlan}" if args.vlan else interface))
    mtu = args.mtu or conventions.DEFAULT_MTU
    return None if mtu == conventions.DEFAULT_MTU else {"com.docker.network.driver.mtu": str(mtu)}


def _ipam(args: NetworkArgs) -> list[docker.NetworkIpamConfigArgs] | None:
    if args.subnet is None:
        return None
    return [
        docker.NetworkIpamConfigArgs(
            subnet=str(args.subnet),
            ip_range=str(args.ip_range) if args.ip_range else None,
            gateway=str(args.gateway) if args.gateway else None,
            aux_address={host: str(address) for host, address in args.aux_addresses.items()} or None,
        )
    ]


def _subnet(configs: Any) -> str:
    return str(configs[0].subnet) if configs else ""


class NetworksArgs(Args):
    """All networks of a lab."""

    networks: dict[ObjectName, NetworkArgs]
    """Overlays."""
    own_networks: dict[ObjectName, dict[str, NetworkArgs]] = Field(default_factory=dict)
    """Of each engine's own: network -> node."""
    engines: tuple[DockerEngine, ...]
    command_provider: command.Provider
    joined: pulumi.Resource
    """Every engine has joined the store."""
    local_workloads: Mapping[str, Mapping[str, tuple[str, ...]]] = Field(default_factory=dict)
    """Node -> network -> the workloads that belong there."""


class Networks(Component[NetworksArgs]):
    """The networks in the order in which engines can create them, and per engine the gate that it sees them and has
    room for its workloads."""

    TOKEN = "overlab:index:Networks"

    def __init__(self, name: str, args: NetworksArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        declared = self._declare_networks()
        self.networks = {name: declared[name] for name in args.networks}
        self.own_networks = {
            name: {node: Network(name, one, self.child_options()) for node, one in by_node.items()}
            for name, by_node in args.own_networks.items()
        }
        own = {name: next(iter(by_node.values())) for name, by_node in self.own_networks.items()}
        self.facts = {name: network.facts for name, network in (self.networks | own).items()}
        created = BarrierArgs(
            command_provider=args.command_provider,
            after=(args.joined,),
            identities=tuple(network.network.id for network in self._all()),
            facts=self.facts,
        )
        self.created = Barrier("networks-created", created, self.child_options())
        self.gates = {engine.node: self._declare_gate(engine) for engine in args.engines}
        self.register_outputs({})

    def on(self, network: str, node: str) -> Network:
        """A network as the node's workloads join it."""
        return self.networks.get(network) or self.own_networks[network][node]

    def _all(self) -> Iterator[Network]:
        yield from self.networks.values()
        for by_node in self.own_networks.values():
            yield from by_node.values()

    def _declare_networks(self) -> dict[str, Network]:
        """One alone, then those that state a subnet, then the others.

        The first overlay of a store creates its table of VXLAN ids: of engines that do so at once, all but one fail.
        One without a subnet takes the next of the engines' pool, even if another overlay is about to state it.
        """
        ordered = sorted(self.args.networks, key=lambda name: self.args.networks[name].subnet is None)
        stated = [name for name in ordered[1:] if self.args.networks[name].subnet]
        pooled = [name for name in ordered[1:] if not self.args.networks[name].subnet]
        declared = self._declare(ordered[:1], self.args.joined)
        declared |= self._declare(stated, self._barrier("first-network-created", declared))
        return declared | self._declare(pooled, self._barrier("explicit-subnets-created", declared))

    def _declare(self, names: list[str], after: pulumi.Resource) -> dict[str, Network]:
        networks = {name: self.args.networks[name] for name in names}
        return {
            name: Network(name, args.model_copy(update={"after": (*args.after, after)}), self.child_options())
            for name, args in networks.items()
        }

    def _barrier(self, name: str, declared: dict[str, Network]) -> pulumi.Resource:
        after = (self.args.joined, *(network.network for network in declared.values()))
        barrier = BarrierArgs(command_provider=self.args.command_provider, after=after)
        return Barrier(name, barrier, self.child_options()).reached

    def _declare_gate(self, engine: DockerEngine) -> pulumi.Resource:
        local = self.args.local_workloads.get(engine.node, {})
        return engine.host.run(
            f"{engine.node}-sees-networks",
            self.created.facts.apply(partial(_gate_script, local)),
            self.child_options(),
            limit_s=2 * conventions.OVERLAY_LIMIT_S,
        )


def _gate_script(local: Mapping[str, tuple[str, ...]], created: dict[str, dict[str, str]]) -> str:
    networks = [
        {"name": name, "id": facts["id"], "local_workloads": local.get(name, ())}
        for name, facts in created.items()
        if facts["id"]
    ]
    return scripts.render("networks", networks=networks, limit_s=conventions.OVERLAY_LIMIT_S)
