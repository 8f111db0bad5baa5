"""A lab of one node as a program: everything that the rules evaluate, valid, each part changeable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_docker as docker
import pulumi_libvirt as libvirt

NODE = "10.99.0.11"
LAB = "10.99.0.0/24"

Changes = Mapping[str, Any]
"""``{part: {input: value}}`` changes a part's inputs, None leaves one out; ``{part + ' needs': [parts]}`` what it
comes after; ``{part + ' options': {option: value}}`` its options; ``{'more': {name: part}}`` declares a part
again, ``{'more agents': N}`` N store agents."""

ENGINE: Mapping[str, Any] = {
    "address": NODE,
    "version": "20.10",
    "cluster_store": f"consul://{NODE}:8500",
    "cluster_advertise": "lab0:2376",
    "listeners": ["fd://"],
    "tls_verify": False,
    "address_pools": [{"base": "172.30.0.0/16", "size": 24}],
}
"""What the component of an engine declares."""


class Component(pulumi.ComponentResource):
    """A component that rules know by its type token."""

    def __init__(self, type_: str, name: str, inputs: Mapping[str, Any]) -> None:
        super().__init__(f"overlab:index:{type_}", name, dict(inputs))


class SmallLab:
    """Hypervisor, network, machine, engine, store, overlay and one workload."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._parts: dict[str, pulumi.Resource] = {}
        self._hypervisor = libvirt.Provider("hypervisor", uri="test:///default")
        self._declare_machine()
        self._declare_engine()
        self._declare_store()
        self._overlay("overlay", "ov_net1", "10.0.0.0/24")
        self._workload("workload")
        for name, part in self._changes.get("more", {}).items():
            self._overlay(name, name, "10.0.9.0/24") if part == "overlay" else self._workload(name)

    def _declare_machine(self) -> None:
        options = pulumi.ResourceOptions(provider=self._hypervisor)
        network = libvirt.Network("network", **self._inputs("network", mode="none", addresses=[LAB]), opts=options)
        machine = Component("Machine", "docker01", self._inputs("machine", address=NODE))
        interface = libvirt.DomainNetworkInterfaceArgs(network_id=network.id)
        self._parts["domain"] = libvirt.Domain(
            "domain",
            **self._inputs("domain", name="small", network_interfaces=[interface]),
            opts=self._options("domain", provider=self._hypervisor, delete_before_replace=True, parent=machine),
        )

    def _declare_engine(self) -> None:
        Component("DockerEngine", "engine", self._inputs("engine", **ENGINE))
        self._parts["dockerd"] = command.remote.Command(
            "dockerd",
            **self._inputs("dockerd", connection=self._connection(), stdin="dockerd -H fd://"),
            opts=self._options("dockerd", needs=["domain"]),
        )
        host = f"ssh://root@{NODE}"
        self._docker = docker.Provider("docker", host=host, opts=self._options("docker", needs=["dockerd"]))

    def _declare_store(self) -> None:
        stated = {"server": True, "encrypted": True, "client_addresses": ["127.0.0.1", NODE]}
        agent = Component("StoreAgent", "agent", self._inputs("agent", **stated))
        for number in range(self._changes.get("more agents", 0)):
            Component("StoreAgent", f"agent-{number}", self._inputs("agent", **stated))
        usual = {
            "name": "consul",
            "image": "consul:1.8",
            "network_mode": "host",
            "restart": "always",
            "memory": 128,
        }
        self._parts["store"] = docker.Container(
            "store", **self._inputs("store", **usual), opts=self._options("store", provider=self._docker, parent=agent)
        )
        self._parts["joined"] = command.remote.Command(
            "joined",
            **self._inputs("joined", connection=self._connection(), create="true"),
            opts=self._options("joined", needs=["store", "domain"], parent=Component("Membership", "membership", {})),
        )

    def _overlay(self, part: str, name: str, subnet: str) -> None:
        ranges = [docker.NetworkIpamConfigArgs(subnet=subnet)]
        self._parts[part] = docker.Network(
            part,
            **self._inputs(part, name=name, driver="overlay", ipam_configs=ranges),
            opts=self._options(part, needs=["store", "joined"], provider=self._docker),
        )

    def _workload(self, part: str) -> None:
        usual = {
            "name": part,
            "image": "busybox:1.35",
            "networks_advanced": [docker.ContainerNetworksAdvancedArgs(name=self._parts["overlay"].id)],  # type: ignore[attr-defined]
            "restart": "unless-stopped",
            "memory": 64,
        }
        self._parts[part] = docker.Container(
            part, **self._inputs(part, **usual), opts=self._options(part, provider=self._docker)
        )

    def _inputs(self, part: str, **usual: Any) -> dict[str, Any]:
        changed = {**usual, **self._changes.get(part, {})}
        return {key: value for key, value in changed.items() if value is not None}

    def _options(self, part: str, needs: Sequence[str] = (), **usual: Any) -> pulumi.ResourceOptions:
        names = self._changes.get(f"{part} needs", needs)
        options = {**usual, **self._changes.get(f"{part} options", {})}
        return pulumi.ResourceOptions(depends_on=[self._parts[name] for name in names], **options)

    @staticmethod
    def _connection() -> dict[str, Any]:
        return {
            "host": NODE,
            "user": "root",
            "host_key": "ssh-ed25519 AAAA",
            "private_key": pulumi.Output.secret("key"),
        }
