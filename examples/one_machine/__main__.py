"""One machine with one engine: the lab's components used alone, without a lab's stack file."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_libvirt as libvirt

from components.config.platform import HostKey
from components.docker_engine import DockerEngine, DockerEngineArgs
from components.hypervisor import HypervisorContext, Storage, StorageArgs
from components.machine import Machine, MachineArgs
from components.remote import SshAccess
from components.underlay import Underlay, UnderlayArgs

NETWORK = IPv4Network("192.168.123.0/24")
ADDRESS = IPv4Address("192.168.123.10")

config = pulumi.Config()
keys = Path(config.require("keys"))
provider = libvirt.Provider("hypervisor", uri=config.require("uri"))

storage = StorageArgs(
    provider=provider,
    pool_name="one-machine",
    pool_path="/var/lib/libvirt/images/one-machine",
    image_source=config.require("image"),
    image_hash="debian-11",
)
machine = MachineArgs(
    vcpu=2,
    memory_mib=2048,
    hypervisor=HypervisorContext(
        provider=provider,
        domain_type="kvm",
        storage=Storage("storage", storage),
        underlay=Underlay("underlay", UnderlayArgs(provider=provider, network_name="one-machine", cidr=NETWORK)),
    ),
    domain_name="one-machine",
    address=ADDRESS,
    command_provider=command.Provider("commands"),
    access=SshAccess(
        client_key=keys / "client",
        client_public_key=keys / "client.pub",
        known_hosts=keys / "known_hosts",
        control_dir=keys,
    ),
    host_key=HostKey(private=keys / "host", public=keys / "host.pub"),
)
engine = DockerEngineArgs(
    machine=Machine("docker01", machine),
    install="apt",
    cluster_store=f"consul://{ADDRESS}:8500",
)
docker01 = DockerEngine("docker01-engine", engine)

pulumi.export("docker_host", pulumi.Output.format("ssh://root@{0}", docker01.machine.address))
pulumi.export("engine", docker01.facts)
