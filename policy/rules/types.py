"""Type tokens of what the rules look at."""

from __future__ import annotations

from typing import Final

CONTAINER: Final = "docker:index/container:Container"
IMAGE: Final = "docker:index/remoteImage:RemoteImage"
NETWORK: Final = "docker:index/network:Network"
SERVICE: Final = "docker:index/service:Service"
VOLUME: Final = "docker:index/volume:Volume"
DOCKER_PROVIDER: Final = "pulumi:providers:docker"

COMMAND: Final = "command:remote:Command"
COPY: Final = "command:remote:CopyToRemote"
COPY_FILE: Final = "command:remote:CopyFile"
REMOTE: Final = (COMMAND, COPY, COPY_FILE)

DOMAIN: Final = "libvirt:index/domain:Domain"
UNDERLAY: Final = "libvirt:index/network:Network"
SEED: Final = "libvirt:index/cloudInitDisk:CloudInitDisk"

ENGINE: Final = "overlab:index:DockerEngine"
MACHINE: Final = "overlab:index:Machine"
NODE_CONTAINER: Final = "overlab:index:NodeContainer"
CONTAINER_UNDERLAY: Final = "overlab:index:ContainerUnderlay"
STORE_AGENT: Final = "overlab:index:StoreAgent"
MEMBERSHIP: Final = "overlab:index:Membership"
"""The component whose commands prove that an engine has joined the store."""
