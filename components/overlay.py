"""The overlay networks: each made once, from one node, and seen by every node."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_docker as docker

from components import conventions, scripts
from components._base import Component
from components.docker_engine import DockerEngine
from components.settings import Settings
from components.spec import OverlaySpec
from components.store import Membership, Store


class Overlays(Component):
    """All overlays of the lab, and per node the gate that its engine sees them and has room for its workloads.

    An overlay lives in the store: with a single server it goes with that one's machine, whichever node made it; a
    cluster of servers keeps it when a machine is replaced.
    """

    TOKEN = "overlab:index:Overlays"

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engines: dict[str, DockerEngine],
        membership: Membership,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("overlays", opts)
        self._settings = settings
        self._store_machine = engines[settings.store_nodes[0]].machine
        joined = list(membership.gates.values())
        self.networks = self._declare_networks(engines, [*joined, *store.containers])
        self.facts = {name: {"id": n.id, "subnet": n.ipam_configs.apply(_subnet)} for name, n in self.networks.items()}
        self.gates = {key: self._declare_gate(key, engine, joined) for key, engine in engines.items()}
        self.register_outputs({})

    def _declare_networks(self, engines: dict[str, DockerEngine], waits_for: list[Any]) -> dict[str, docker.Network]:
        """Stated subnets first, or an overlay without one takes theirs out of the engines' pool."""
        specs = self._settings.overlays
        stated = {
            name: self._declare(name, spec, engines[spec.made_from], waits_for)
            for name, spec in specs.items()
            if spec.subnet
        }
        after = [*waits_for, *stated.values()]
        pooled = {
            name: self._declare(name, spec, engines[spec.made_from], after)
            for name, spec in specs.items()
            if not spec.subnet
        }
        return {name: (stated | pooled)[name] for name in specs}

    def _declare(self, name: str, spec: OverlaySpec, engine: DockerEngine, waits_for: list[Any]) -> docker.Network:
        options = {"com.docker.network.driver.mtu": str(spec.mtu)} if spec.mtu else None
        return docker.Network(
            name,
            name=name,
            driver="overlay",
            internal=spec.internal or None,
            ipam_configs=[_ipam(spec)] if spec.subnet else None,
            options=options,
            labels=self._labels(),
            opts=self._kept_in_store(engine, waits_for),
        )

    def _labels(self) -> list[docker.NetworkLabelArgs] | None:
        """A single server takes its overlays along when its machine is replaced; a cluster keeps them."""
        if self._settings.store.servers > 1:
            return None
        return [docker.NetworkLabelArgs(label=k, value=v) for k, v in self._store_machine.labels().items()]

    def _kept_in_store(self, engine: DockerEngine, waits_for: list[Any]) -> pulumi.ResourceOptions:
        if self._settings.store.servers > 1:
            return self.child(deleted_with=engine.machine.domain, provider=engine.provider, depends_on=waits_for)
        return self.inside(self._store_machine.domain, provider=engine.provider, depends_on=waits_for)

    def _declare_gate(self, key: str, engine: DockerEngine, joined: list[Any]) -> pulumi.Resource:
        overlays = [
            {"name": name, "id": network.id, "residents": self._residents(key, name)}
            for name, network in self.networks.items()
        ]
        script = pulumi.Output.all(overlays).apply(
            lambda known: scripts.render("overlays", overlays=known[0], limit_s=conventions.OVERLAY_LIMIT_S)
        )
        return engine.host.run(
            f"{key}-sees-overlays",
            script,
            self.child(depends_on=joined),
            limit_s=2 * conventions.OVERLAY_LIMIT_S,
        )

    def _residents(self, node: str, overlay: str) -> list[str]:
        settings = self._settings
        return [
            n for n, spec in settings.workloads.items() if settings.placement[n] == node and overlay in spec.overlays
        ]


def _ipam(spec: OverlaySpec) -> docker.NetworkIpamConfigArgs:
    gateway = str(spec.gateway) if spec.gateway else None
    return docker.NetworkIpamConfigArgs(subnet=str(spec.subnet), gateway=gateway)


def _subnet(configs: Any) -> str:
    return str(configs[0].subnet) if configs else ""
