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
    """All overlays of the lab, and per node the gate that its engine sees them.

    An overlay lives in the store, so it goes with the store's machine, whichever node made it.
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
        self._home = engines[settings.store_node].machine.domain
        joined = list(membership.gates.values())
        self.networks = {
            name: self._declare(name, spec, engines[spec.made_from], [*joined, store.container])
            for name, spec in settings.overlays.items()
        }
        self.gates = {key: self._declare_gate(key, engine, joined) for key, engine in engines.items()}
        self.register_outputs({})

    def _declare(
        self, name: str, spec: OverlaySpec, engine: DockerEngine, waits_for: list[Any]
    ) -> docker.Network:
        options = {"com.docker.network.driver.mtu": str(spec.mtu)} if spec.mtu else None
        return docker.Network(
            name,
            name=name,
            driver="overlay",
            ipam_configs=[docker.NetworkIpamConfigArgs(subnet=str(spec.subnet))],
            options=options,
            opts=self.inside(self._home, provider=engine.provider, depends_on=waits_for),
        )

    def _declare_gate(self, key: str, engine: DockerEngine, joined: list[Any]) -> pulumi.Resource:
        overlays = [{"name": name, "id": network.id} for name, network in self.networks.items()]
        script = pulumi.Output.all(overlays).apply(
            lambda known: scripts.render("overlays", overlays=known[0], limit_s=conventions.OVERLAY_LIMIT_S)
        )
        return engine.host.run(
            f"{key}-sees-overlays",
            script,
            self.inside(engine.machine.domain, depends_on=joined),
            limit_s=2 * conventions.OVERLAY_LIMIT_S,
        )
