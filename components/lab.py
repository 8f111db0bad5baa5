"""The whole lab: the only file that knows the order of things."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_command as command

from components._base import Component
from components.config.platform import Platform
from components.config.settings import Settings
from components.connectivity import Connectivity
from components.docker_engine import DockerEngine
from components.hypervisor import declare_hypervisor
from components.machine import Machine
from components.network import Networks
from components.store import Membership, Store
from components.workload import NodeImages, Workload


class Lab(Component):
    """Network and storage, machines, engines, the store, overlays, workloads, and the proof that they work."""

    TOKEN = "overlab:index:Lab"

    def __init__(self, settings: Settings, platform: Platform, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(settings.name, opts)
        self._settings = settings
        self._platform = platform
        self._ssh = command.Provider("ssh", opts=self.child())
        self._places = {name: declare_hypervisor(name, settings, platform, self) for name in settings.hypervisors}
        self.engines = {key: self._declare_engine(key) for key in settings.nodes}
        self.store = Store(settings, platform, self.engines, self.child())
        self.membership = Membership(settings, self.store, self.engines, self._ssh, self.child())
        self.networks = Networks(settings, self.engines, self.membership, self._ssh, self.child())
        self.workloads = self._declare_workloads()
        self.connectivity = Connectivity(settings, self.engines, self.networks, self.workloads, self._ssh, self.child())
        self.register_outputs({})

    def _declare_engine(self, key: str) -> DockerEngine:
        node = self._settings.nodes[key]
        place = self._places[node.hypervisor]
        machine = Machine(node, self._settings, self._platform, place, self._ssh, self.child())
        return DockerEngine(machine, self._settings, self._platform, self.child())

    def _declare_workloads(self) -> dict[str, Workload]:
        settings = self._settings
        images = _images(settings)
        pulled = {key: NodeImages(engine, images.get(key, []), self.child()) for key, engine in self.engines.items()}
        found: dict[str, Workload] = {}
        # An overlay gets its VXLAN id when its first workload starts. Where several start at once, one engine may keep
        # an id that another has overwritten in the store, and is cut off from the others.
        first: dict[str, Workload] = {}
        # Those that share another one's network come after it.
        for name, spec in sorted(settings.workloads.items(), key=lambda item: item[1].shares_network_of is not None):
            node = settings.placement[name]
            shared = found[spec.shares_network_of] if spec.shares_network_of else None
            after = [first[one].container for one in spec.networks if one in first]
            engine = self.engines[node]
            found[name] = Workload(name, spec, engine, self.networks, pulled[node], shared, after, self.child())
            for one in spec.networks:
                first.setdefault(one, found[name])
        return found

    @property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs: nodes, store, networks, workloads, checks."""
        settings = self._settings
        return {
            "lab": settings.name,
            "nodes": {
                key: {
                    "address": engine.machine.address,
                    "docker_host": f"ssh://root@{settings.nodes[key].address}",
                    "engine": engine.facts,
                    **({"hypervisor": settings.nodes[key].hypervisor} if settings.nodes[key].hypervisor else {}),
                }
                for key, engine in self.engines.items()
            },
            "store": {
                "kind": settings.store.kind,
                "mode": "cluster" if settings.store.servers > 1 else "teaching (one server)",
                "servers": list(settings.store_nodes),
                "url": self.store.url,
            },
            "networks": {
                name: {
                    **self.networks.facts[name],
                    "scope": network.scope,
                    "created_on": settings.networks[name].created_on,
                }
                for name, network in self.networks.networks.items()
            },
            "workloads": {
                name: {"node": settings.placement[name], "addresses": workload.addresses}
                for name, workload in self.workloads.items()
            },
            "ports": self.connectivity.ports,
            "checks": self.connectivity.report,
        }


def _images(settings: Settings) -> dict[str, list[str]]:
    """Node -> the images that its workloads run from, each once."""
    found: dict[str, dict[str, None]] = {}
    for name, spec in settings.workloads.items():
        found.setdefault(settings.placement[name], {})[spec.image] = None
    return {node: list(images) for node, images in found.items()}
