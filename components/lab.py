"""The lab: the only module that knows the order of creation, the settings and the platform record."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_command as command
import pulumi_docker as docker
import pulumi_libvirt as libvirt

from components import checks
from components._base import Args, Component
from components.config import images
from components.config.platform import Platform
from components.config.settings import Node, Settings
from components.config.spec import ContainerOptions, MachineSpec, NetworkOptions, WorkloadSpec
from components.connectivity import Connectivity, ConnectivityArgs
from components.docker_engine import DockerEngine, DockerEngineArgs, ServerTls
from components.hypervisor import HypervisorContext, Storage, StorageArgs
from components.machine import Machine, MachineArgs
from components.network import NetworkArgs, Networks, NetworksArgs
from components.node_container import (
    ContainerUnderlay,
    ContainerUnderlayArgs,
    NodeContainer,
    NodeContainerArgs,
    OuterEngine,
)
from components.node_host import NodeHost
from components.remote import SshAccess
from components.store import Membership, MembershipArgs, Store, StoreArgs
from components.underlay import Underlay, UnderlayArgs
from components.workload import Attachment, NodeImages, NodeImagesArgs, Workload, WorkloadArgs


class Lab(Component[Args]):
    """Underlay and storage, machines, engines, the store, networks, workloads, and the checks that they work."""

    TOKEN = "overlab:index:Lab"

    def __init__(self, settings: Settings, platform: Platform, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(settings.name, Args(), opts)
        self._settings = settings
        self._platform = platform
        self._commands = command.Provider("ssh", opts=self.child_options())
        hosts = self._declare_containers() if settings.machine_kind == "container" else self._declare_machines()
        self.engines = {key: self._declare_engine(key, host) for key, host in hosts.items()}
        self.store = self._declare_store()
        self.networks = self._declare_networks()
        self.workloads = self._declare_workloads()
        self.connectivity = self._declare_checks()
        self.register_outputs({})

    def _declare_hypervisor(self, name: str) -> HypervisorContext:
        """What the lab has on one hypervisor. Without a name its resources have the plain names."""
        settings, platform = self._settings, self._platform
        suffix = f"-{name}" if name else ""
        hypervisor, image = platform.hypervisors_by_name[name], platform.image
        if image is None:
            raise pulumi.RunError("the platform record has no machine image: run 'overlab up'")
        provider = libvirt.Provider(f"hypervisor{suffix}", uri=hypervisor.uri, opts=self.child_options())
        storage = StorageArgs(
            provider=provider,
            pool_name=f"overlab-{settings.name}",
            pool_path=hypervisor.pool_path,
            image_source=image.source,
            image_hash=image.content_hash,
        )
        underlay = UnderlayArgs(**self._underlay(), provider=provider, bridge=settings.underlay.bridge)
        return HypervisorContext(
            name=name,
            provider=provider,
            domain_type=hypervisor.domain_type,
            storage=Storage(f"storage{suffix}", storage, self.child_options()),
            underlay=Underlay(f"underlay{suffix}", underlay, self.child_options()),
        )

    def _underlay(self) -> dict[str, Any]:
        spec = self._settings.underlay
        return {
            "network_name": f"overlab-{self._settings.name}",
            "cidr": spec.cidr,
            "domain": spec.domain,
            "mtu": spec.mtu,
            "isolated": self._settings.isolated(self._platform),
        }

    def _declare_machines(self) -> dict[str, NodeHost]:
        hypervisors = {name: self._declare_hypervisor(name) for name in self._settings.hypervisors}
        return {
            key: Machine(
                key,
                MachineArgs(
                    **self._node_host(node),
                    hypervisor=hypervisors[node.hypervisor],
                    domain_name=f"overlab-{self._settings.name}-{key}",
                ),
                self.child_options(),
            )
            for key, node in self._settings.nodes.items()
        }

    def _declare_containers(self) -> dict[str, NodeHost]:
        outer = self._declare_outer_engine()
        return {
            key: NodeContainer(
                key,
                NodeContainerArgs(
                    **self._node_host(node), outer=outer, container_name=f"overlab-{self._settings.name}-{key}"
                ),
                self.child_options(),
            )
            for key, node in self._settings.nodes.items()
        }

    def _declare_outer_engine(self) -> OuterEngine:
        settings, found = self._settings, self._platform.node_engine
        if found is None:
            raise pulumi.RunError(
                "lab.machine.kind is container, and the platform record has no engine: run 'overlab up'"
            )
        provider = docker.Provider("outer-engine", host=found.docker_host, opts=self.child_options())
        underlay = ContainerUnderlayArgs(**self._underlay(), provider=provider)
        return OuterEngine(
            provider=provider,
            underlay=ContainerUnderlay("underlay", underlay, self.child_options()),
            image=found.image,
            privileged=found.privileged,
            capabilities=found.capabilities,
            cgroup_namespace=found.cgroup_namespace,
            cgroup_driver=found.cgroup_driver,
            cgroup_name=f"overlab-{settings.name}",
        )

    def _node_host(self, node: Node) -> dict[str, Any]:
        identity = self._platform.identity
        return {
            **node.machine.values_of(MachineSpec),
            "address": node.address,
            "command_provider": self._commands,
            "access": SshAccess(
                client_key=identity.client_key,
                client_public_key=identity.client_public_key,
                known_hosts=identity.known_hosts,
                control_dir=self._platform.run_dir,
            ),
            "host_key": identity.host_keys[node.key],
            "retired_ssh": identity.retired_ssh,
        }

    def _declare_engine(self, key: str, host: NodeHost) -> DockerEngine:
        settings, platform = self._settings, self._platform
        engine = DockerEngineArgs(
            **dict(settings.engine),
            machine=host,
            mtu=settings.underlay.mtu,
            cluster_store=settings.cluster_store,
            registry_mirror=platform.registry_mirror,
            packages=platform.packages,
            tls=self._server_tls(key),
            peers=tuple(other.address for other in settings.nodes.values() if other.key != key),
            store_ports=settings.store.backend.peer_ports(settings.store.servers, serves=key in settings.store_nodes),
            control_ports=settings.control_ports,
        )
        return DockerEngine(f"{key}-engine", engine, self.child_options())

    def _server_tls(self, key: str) -> ServerTls | None:
        tls = self._platform.identity.tls
        return ServerTls(ca=tls.ca, cert=tls.server_certs[key], key=tls.server_keys[key]) if tls else None

    def _declare_store(self) -> Store:
        store, identity = self._settings.store, self._platform.identity
        if store.has_acl and identity.store_tokens is None:
            raise pulumi.RunError("lab.store.acl is on, and the platform record has no tokens: run 'overlab up'")
        args = StoreArgs(
            engines=tuple(self.engines.values()),
            servers=tuple(self.engines[key] for key in self._settings.store_nodes),
            kind=store.kind,
            image=images.pinned(store.image_name, self._platform.image_digests),
            memory_mib=store.memory_limit_mib,
            gossip_key=identity.gossip_key if store.backend.agents else None,
            tls=identity.store_tls if store.backend.agents else None,
            tokens=identity.store_tokens if store.has_acl else None,
        )
        return Store("store", args, self.child_options())

    def _declare_networks(self) -> Networks:
        settings = self._settings
        membership = MembershipArgs(
            command_provider=self._commands,
            store=self.store,
            engines=tuple(self.engines.values()),
            heartbeat_s=settings.engine.heartbeat_s,
        )
        local: dict[str, dict[str, tuple[str, ...]]] = {}
        for workload, spec in settings.workloads.items():
            on_node = local.setdefault(settings.placement[workload], {})
            on_node |= {network: (*on_node.get(network, ()), workload) for network in spec.networks}
        networks = NetworksArgs(
            networks={name: self._network(name) for name in settings.global_networks},
            own_networks={
                name: {key: self._own_network(name, key) for key in settings.nodes}
                for name in settings.networks
                if name not in settings.global_networks
            },
            engines=tuple(self.engines.values()),
            command_provider=self._commands,
            joined=Membership("membership", membership, self.child_options()).complete,
            local_workloads=local,
        )
        return Networks("networks", networks, self.child_options())

    def _network(self, name: str) -> NetworkArgs:
        spec = self._settings.networks[name]
        options = spec.values_of(NetworkOptions) | {"mtu": self._settings.underlay_mtu(name)}
        assert spec.created_on is not None
        engine = self.engines[spec.created_on]
        return NetworkArgs(**options, engine=engine, store_machine=self.store.machine)

    def _own_network(self, name: str, node: str) -> NetworkArgs:
        """With the gateway stated: libnetwork takes the first address of the range for it, another one on each node."""
        spec = self._settings.networks[name]
        own = {"ip_range": self._settings.node_range(name, node), "gateway": spec.gateway_address}
        return NetworkArgs(**spec.values_of(NetworkOptions) | own, engine=self.engines[node])

    def _declare_workloads(self) -> dict[str, Workload]:
        settings = self._settings
        wanted: dict[str, dict[str, None]] = {}
        for name, spec in settings.workloads.items():
            wanted.setdefault(settings.placement[name], {})[spec.image] = None
        digests = self._platform.image_digests
        pulled = {}
        for key, engine in self.engines.items():
            args = NodeImagesArgs(engine=engine, images=tuple(wanted.get(key, ())), digests=digests)
            pulled[key] = NodeImages(f"{key}-images", args, self.child_options()).pulled
        found: dict[str, Workload] = {}
        # An overlay gets its VXLAN id when its first workload starts. Where several start at once, one engine may keep
        # an id that another has overwritten in the store, and is cut off from the others.
        first: dict[str, pulumi.Resource] = {}
        # Those that share another one's network stack come after it. One on several networks comes after the first of
        # each, and is the first of none that has another one.
        order = sorted(settings.workloads, key=lambda name: _declaration_order(settings.workloads[name]))
        for name in order:
            spec = settings.workloads[name]
            node = settings.placement[name]
            after = [pulled[node][spec.image], self.networks.gates[node]]
            after += [first[network] for network in spec.networks if network in first]
            found[name] = Workload(name, self._workload(name, found, after), self.child_options())
            for network in spec.networks:
                first.setdefault(network, found[name].container)
        return found

    def _workload(self, name: str, found: dict[str, Workload], after: list[pulumi.Resource]) -> WorkloadArgs:
        spec = self._settings.workloads[name]
        secret = pulumi.Output.secret if self._settings.secret_environment else str
        node = self._settings.placement[name]
        hosts = {
            host: ip for network in spec.networks for host, ip in self._settings.stated_hosts(name, network).items()
        }
        return WorkloadArgs(
            **spec.values_of(ContainerOptions)
            | {
                "image": images.pinned(spec.image, self._platform.image_digests),
                "extra_hosts": hosts | spec.extra_hosts,
            },
            engine=self.engines[node],
            environment={key: secret(value) for key, value in spec.environment.items()},
            networks=tuple(
                Attachment(network=self.networks.on(network, node), ipv4_address=how.ipv4_address, aliases=how.aliases)
                for network, how in spec.networks.items()
            ),
            shares_network_of=found[spec.shares_network_of] if spec.shares_network_of else None,
            after=tuple(after),
        )

    def _declare_checks(self) -> Connectivity:
        settings = self._settings
        args = ConnectivityArgs(
            matrix=checks.matrix(settings),
            lab=checks.CheckedLab.of(settings),
            engines=tuple(self.engines.values()),
            networks=self.networks,
            workloads=self.workloads,
            command_provider=self._commands,
        )
        return Connectivity("connectivity", args, self.child_options())

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
                "mode": "cluster" if settings.store.servers > 1 else "single server",
                "servers": list(settings.store_nodes),
                "url": self.store.url,
            },
            "networks": {
                name: {
                    **self.networks.facts[name],
                    "driver": spec.driver,
                    "scope": "local" if spec.kind.per_node else "global",
                    "created_on": spec.created_on,
                }
                for name, spec in settings.networks.items()
            },
            "workloads": {
                name: {"node": settings.placement[name], "addresses": workload.addresses}
                for name, workload in self.workloads.items()
            },
            "ports": self.connectivity.ports,
            "checks": self.connectivity.report,
        }


def _declaration_order(spec: WorkloadSpec) -> tuple[bool, int]:
    return spec.shares_network_of is not None, len(spec.networks)
