"""The overlay networks: each made once, from one node, and seen by every node."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components._base import Component
from components.barrier import Barrier
from components.config import conventions
from components.config.settings import Settings
from components.config.spec import NetworkSpec
from components.docker_engine import DockerEngine
from components.node import scripts
from components.store import Membership


class Networks(Component):
    """All overlays of the lab, and per node the gate that its engine sees them and has room for its workloads.

    An overlay lives in the store: with a single server it goes with that one's machine, whichever node made it; a
    cluster of servers keeps it when a machine is replaced.
    """

    TOKEN = "overlab:index:Overlays"

    def __init__(
        self,
        settings: Settings,
        engines: dict[str, DockerEngine],
        membership: Membership,
        ssh: command.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("networks", opts)
        self._settings = settings
        self._store_machine = engines[settings.store_nodes[0]].machine
        self._ssh = ssh
        self.networks = self._declare_networks(engines, membership.complete.reached)
        self.facts = {name: {"id": n.id, "subnet": n.ipam_configs.apply(_subnet)} for name, n in self.networks.items()}
        ids = [network.id for network in self.networks.values()]
        after = [membership.complete.reached]
        self.made = Barrier("overlays-made", ssh, after=after, identities=ids, facts=self.facts, opts=self.child())
        local_workloads = _local_workloads(settings)
        self.gates = {key: self._declare_gate(key, engine, local_workloads) for key, engine in engines.items()}
        self.register_outputs({})

    def _declare_networks(self, engines: dict[str, DockerEngine], joined: pulumi.Resource) -> dict[str, docker.Network]:
        """One alone, then those that state a subnet, then the others.

        The first overlay of a store makes its table of VXLAN ids: of engines that do so at once, all but one fail. One
        without a subnet takes the next of the engines' pool, even if another overlay is about to state it.
        """
        specs = self._settings.networks

        def declare(names: list[str], after: pulumi.Resource) -> dict[str, docker.Network]:
            return {name: self._declare(name, specs[name], engines[specs[name].created_on], after) for name in names}

        def barrier(name: str, made: dict[str, docker.Network]) -> pulumi.Resource:
            return Barrier(name, self._ssh, after=[joined, *made.values()], opts=self.child()).reached

        ordered = sorted(specs, key=lambda name: specs[name].subnet is None)
        others = ordered[1:]
        made = declare(ordered[:1], joined)
        made |= declare([name for name in others if specs[name].subnet], barrier("first-network-created", made))
        made |= declare([name for name in others if not specs[name].subnet], barrier("explicit-subnets-created", made))
        return {name: made[name] for name in specs}

    def _declare(self, name: str, spec: NetworkSpec, engine: DockerEngine, after: pulumi.Resource) -> docker.Network:
        options = {"com.docker.network.driver.mtu": str(spec.mtu)} if spec.mtu else None
        return docker.Network(
            name,
            name=name,
            driver="overlay",
            internal=spec.internal or None,
            ipam_configs=[_ipam(spec)] if spec.subnet else None,
            options=options,
            labels=self._labels(),
            opts=self._kept_in_store(engine, after),
        )

    def _labels(self) -> list[docker.NetworkLabelArgs] | None:
        """A single server takes its overlays along when its machine is replaced; a cluster keeps them."""
        if self._settings.store.servers > 1:
            return None
        return [docker.NetworkLabelArgs(label=k, value=v) for k, v in self._store_machine.labels().items()]

    def _kept_in_store(self, engine: DockerEngine, after: pulumi.Resource) -> pulumi.ResourceOptions:
        if self._settings.store.servers > 1:
            return self.child(deleted_with=engine.machine.domain, provider=engine.provider, depends_on=[after])
        return self.inside(self._store_machine.domain, provider=engine.provider, depends_on=[after])

    def _declare_gate(
        self, key: str, engine: DockerEngine, local_workloads: dict[tuple[str, str], list[str]]
    ) -> pulumi.Resource:
        def script(made: dict[str, dict[str, str]]) -> str:
            networks = [
                {"name": name, "id": made[name]["id"], "local_workloads": local_workloads.get((key, name), [])}
                for name in self._settings.networks
            ]
            return scripts.render("networks", networks=networks, limit_s=conventions.OVERLAY_LIMIT_S)

        return engine.host.run(
            f"{key}-sees-overlays",
            self.made.facts.apply(script),
            self.child(),
            limit_s=2 * conventions.OVERLAY_LIMIT_S,
        )


def _local_workloads(settings: Settings) -> dict[tuple[str, str], list[str]]:
    """(Node, overlay) -> the workloads that belong there."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, spec in settings.workloads.items():
        for overlay in spec.networks:
            found.setdefault((settings.placement[name], overlay), []).append(name)
    return found


def _ipam(spec: NetworkSpec) -> docker.NetworkIpamConfigArgs:
    gateway = str(spec.gateway) if spec.gateway else None
    return docker.NetworkIpamConfigArgs(subnet=str(spec.subnet), gateway=gateway)


def _subnet(configs: Any) -> str:
    return str(configs[0].subnet) if configs else ""
