"""Workloads: the containers under test."""

from __future__ import annotations

from collections.abc import Iterator

import pulumi
import pulumi_docker as docker
from pydantic import Field

from components._base import Args, Component, Public
from components.config import conventions, images
from components.config.fields import Address, HostName, ImageName
from components.config.section import Violation
from components.config.spec import OF_NETWORK_STACK, ContainerOptions
from components.docker_engine import DockerEngine
from components.network import Network

STOP_GRACE_S = 1


class NodeImagesArgs(Args):
    """The images of one engine's workloads."""

    engine: Public[DockerEngine]
    images: Public[tuple[ImageName, ...]] = ()
    digests: dict[str, str] = Field(default_factory=dict)
    """Of those that are pulled by digest, by ``repository:tag``."""


class NodeImages(Component[NodeImagesArgs]):
    """The images that one node's workloads need, each pulled once."""

    TOKEN = "overlab:index:NodeImages"

    def __init__(self, name: str, args: NodeImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args, opts)
        self.pulled = {
            image: docker.RemoteImage(
                f"{args.engine.node}-{image}",
                name=images.pinned(image, args.digests),
                keep_locally=True,
                triggers=args.engine.machine.labels,
                opts=self.child_options(**args.engine.placement),
            )
            for image in args.images
        }
        self.register_outputs({})


class Attachment(Args):
    """How a workload is on one network."""

    network: Public[Network]
    ipv4_address: Public[Address | None] = None
    aliases: Public[tuple[HostName, ...]] = ()


class WorkloadArgs(Args, ContainerOptions):
    """One container, on its own networks or in the network stack of ``shares_network_of``."""

    engine: Public[DockerEngine]
    environment: Public[dict[str, str | pulumi.Output[str]]] = Field(default_factory=dict)
    """Secret values are secret outputs."""
    networks: Public[tuple[Attachment, ...]] = ()
    shares_network_of: Public[Workload | None] = None
    after: tuple[pulumi.Resource, ...] = ()

    def violations(self) -> Iterator[Violation]:
        yield from super().violations()
        for name in OF_NETWORK_STACK if self.shares_network_of is not None else ():
            if getattr(self, name):
                rule = "not beside shares_network_of, whose container has it"
                yield Violation((name,), getattr(self, name), rule, "leave it out, or state it for that workload")


class Workload(Component[WorkloadArgs]):
    """A container, created when what it comes after is: its image, and the proof that its node sees its networks."""

    TOKEN = "overlab:index:Workload"
    addresses: pulumi.Output[dict[str, str]]
    """Network -> address; those of the other workload where the network stack is shared."""

    def __init__(self, name: str, args: WorkloadArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"workload-{name}", args, opts)
        engine, shared = args.engine, args.shares_network_of
        labels: dict[str, pulumi.Input[str]] = {**args.labels, **engine.machine.labels}
        self.container: docker.Container = docker.Container(
            name,
            name=name,
            hostname=None if shared else args.hostname or name,
            image=args.image,
            command=_command(args),
            envs=[pulumi.Output.concat(key, "=", value) for key, value in args.environment.items()] or None,
            dns=[str(server) for server in args.dns] or None,
            dns_searches=list(args.dns_search) or None,
            hosts=[docker.ContainerHostArgs(host=host, ip=str(ip)) for host, ip in args.extra_hosts.items()] or None,
            network_mode=pulumi.Output.format("container:{0}", shared.container.id) if shared else None,
            networks_advanced=_attachments(args) or None,
            ports=_ports(args) or None,
            publish_all_ports=args.publish_all or None,
            labels=[docker.ContainerLabelArgs(label=key, value=value) for key, value in labels.items()],
            restart="unless-stopped",
            memory=args.memory_mib,
            memory_swap=args.memory_mib,
            destroy_grace_seconds=STOP_GRACE_S,
            opts=self.child_options(
                **engine.placement,
                depends_on=list(args.after),
                # The next run must not treat a container whose start failed as running.
                replace_on_changes=["#initerror"],
                delete_before_replace=True,
            ),
        )
        names = {attachment.network.network_name for attachment in args.networks}
        self.addresses = (
            shared.addresses
            if shared
            else self.container.network_datas.apply(
                # In no fixed order, and with the bridge beside the networks.
                lambda found: {str(n.network_name): n.ip_address or "" for n in found or [] if n.network_name in names}
            )
        )
        self.register_outputs({"addresses": self.addresses})


WorkloadArgs.model_rebuild()


def _command(args: WorkloadArgs) -> list[str] | None:
    if args.command is not None:
        return list(args.command)
    return list(conventions.IDLE) if images.parse(args.image).is_toolbox else None


def _attachments(args: WorkloadArgs) -> list[docker.ContainerNetworksAdvancedArgs]:
    return [
        docker.ContainerNetworksAdvancedArgs(
            name=attachment.network.network.id,
            ipv4_address=str(attachment.ipv4_address) if attachment.ipv4_address else None,
            aliases=list(attachment.aliases) or None,
        )
        for attachment in args.networks
    ]


def _ports(args: WorkloadArgs) -> list[docker.ContainerPortArgs]:
    """In the order in which the official provider reads them back: in another one it gives a port without a node port
    that of its neighbor, and replaces the container at every update."""
    return [
        docker.ContainerPortArgs(internal=port.target, external=port.published, protocol=port.protocol)
        for port in sorted(args.ports, key=lambda port: (port.target, port.protocol, port.published or 0))
    ]
