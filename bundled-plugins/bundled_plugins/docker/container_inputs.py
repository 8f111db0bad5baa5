"""What a Container accepts, and what a change of each property means."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from bundled_plugins.docker.durations import parse_duration
from bundled_plugins.docker.labels import Label
from bundled_plugins.runtime.model import Model, Prop
from bundled_plugins.runtime.values import Properties, has_unknown

REPLACE = Prop(replace=True)
REPLACE_SET = Prop(replace=True, unordered=True)
WRITE_ONLY_SET = Prop(replace=True, unordered=True, write_only=True)
COMPUTED = Prop(replace=True, computed=True)
COMPUTED_SET = Prop(replace=True, computed=True, unordered=True)
STATE_ONLY = Prop(write_only=True)
"""Planned as an update; nothing happens to the container."""
IN_PLACE = Prop()
"""Applied to the running container."""


def _emptied(_old: Any, new: Any) -> bool:
    return not new


NEVER_EMPTIED = Prop(replace=True, same=_emptied)


def same_ports(old: Any, new: Any) -> bool:
    """Whether a difference between two lists of ports is none, by the official provider's rule.

    The order does not matter; but a node port that is left out keeps the one at the same place of the old list, so in
    another order than that it is a difference.
    """
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
        return False
    wanted = [
        port | {"external": port.get("external") or before["external"]} for before, port in zip(old, new, strict=True)
    ]
    for before in old:
        same = [port for port in wanted if port["internal"] == before["internal"]]
        if not same or any(_binding(port) != _binding(before) for port in same):
            return False
    return True


def _binding(port: Properties) -> tuple[Any, ...]:
    return port["external"], port.get("ip") or "0.0.0.0", port.get("protocol") or "tcp"


def publishes_twice(ports: Any) -> bool:
    """Whether a container port has two node ports (the official provider reads the last one twice)."""
    if not isinstance(ports, list):
        return False
    keys = [(port.get("internal"), port.get("protocol")) for port in ports if isinstance(port, dict)]
    return any(keys.count(key) > 1 and not has_unknown(list(key)) for key in keys)


class Port(Model):
    """A published port."""

    internal: Annotated[int, REPLACE, Field(ge=1, le=65535)]
    external: Annotated[int | None, COMPUTED, Field(ge=0, le=65535)] = None
    ip: Annotated[str | None, Prop(replace=True, default="0.0.0.0")] = None
    protocol: Annotated[str | None, Prop(replace=True, default="tcp")] = None


class Volume(Model):
    """A bind mount, a named volume, or the volumes of another container."""

    host_path: str | None = None
    volume_name: str | None = None
    container_path: str | None = None
    from_container: str | None = None
    read_only: bool | None = None
    selinux_relabel: Literal["z", "Z"] | None = None

    @field_validator("host_path", "container_path")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        if isinstance(value, str) and value and not PurePosixPath(value).is_absolute():
            raise ValueError(f'"{value}" must be an absolute path')
        return value


class BindOptions(Model):
    """Options of a bind mount."""

    propagation: str | None = None


class TmpfsOptions(Model):
    """Options of a tmpfs mount."""

    mode: int | None = None
    size_bytes: int | None = None


class Mount(Model):
    """A mount in the newer notation."""

    unsupported = ("volumeOptions",)

    target: str
    type: Literal["bind", "volume", "tmpfs"]
    source: str | None = None
    read_only: bool | None = None
    bind_options: BindOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class Upload(Model):
    """A file that is put into the container before it starts."""

    file: str
    content: str | None = None
    content_base64: str | None = None
    source: str | None = None
    source_hash: str | None = None
    executable: bool | None = None
    permissions: Annotated[str | None, Field(pattern=r"^0[0-7]{3}$")] = None


class Host(Model):
    """An additional line of /etc/hosts."""

    host: str
    ip: str


class NetworkAttachment(Model):
    """A network that the container joins."""

    unsupported = ("gwPriority",)

    name: str
    aliases: Annotated[list[str] | None, Prop(unordered=True)] = None
    ipv4_address: str | None = None
    ipv6_address: str | None = None
    link_local_ips: Annotated[list[str] | None, Prop(unordered=True)] = None
    mac_address: str | None = None
    driver_opts: Annotated[list[str] | None, Prop(unordered=True)] = None


class Capabilities(Model):
    """Linux capabilities added and dropped."""

    adds: Annotated[list[str] | None, REPLACE_SET] = None
    drops: Annotated[list[str] | None, REPLACE_SET] = None


class Ulimit(Model):
    """A resource limit of the container's processes."""

    name: str
    soft: int
    hard: int


class Device(Model):
    """A device of the host that the container may use."""

    host_path: str
    container_path: str | None = None
    permissions: Annotated[str | None, Prop(default="rwm")] = None


class Healthcheck(Model):
    """How the daemon checks the container's health."""

    tests: list[str]
    interval: Annotated[str | None, Prop(default="0s")] = None
    timeout: Annotated[str | None, Prop(default="0s")] = None
    start_period: Annotated[str | None, Prop(default="0s")] = None
    start_interval: Annotated[str | None, Prop(default="0s")] = None
    retries: Annotated[int | None, Field(ge=0)] = None

    @field_validator("interval", "timeout", "start_period", "start_interval")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        if isinstance(value, str):
            parse_duration(value)
        return value


class ContainerInputs(Model):
    """Inputs of a Container."""

    unsupported = (
        "attach",
        "deviceReadBps",
        "deviceReadIops",
        "deviceRequests",
        "deviceWriteBps",
        "deviceWriteIops",
        "gpus",
        "logs",
        "rm",
    )

    image: Annotated[str, REPLACE]
    name: Annotated[str | None, Prop(replace=True, autoname=255)] = None
    command: Annotated[list[str] | None, COMPUTED] = None
    entrypoints: Annotated[list[str] | None, COMPUTED] = None
    envs: Annotated[list[str] | None, COMPUTED_SET] = None
    labels: Annotated[list[Label] | None, COMPUTED_SET] = None
    hostname: Annotated[str | None, COMPUTED] = None
    domainname: Annotated[str | None, REPLACE] = None
    user: Annotated[str | None, NEVER_EMPTIED] = None
    working_dir: Annotated[str | None, NEVER_EMPTIED] = None
    tty: Annotated[bool | None, REPLACE] = None
    stdin_open: Annotated[bool | None, REPLACE] = None
    read_only: Annotated[bool | None, REPLACE] = None
    privileged: Annotated[bool | None, REPLACE] = None
    publish_all_ports: Annotated[bool | None, REPLACE] = None
    stop_signal: Annotated[str | None, COMPUTED] = None
    stop_timeout: Annotated[int | None, COMPUTED] = None
    healthcheck: Annotated[Healthcheck | None, Prop(computed=True)] = None
    ports: Annotated[list[Port] | None, Prop(replace=True, same=same_ports)] = None
    volumes: Annotated[list[Volume] | None, WRITE_ONLY_SET] = None
    mounts: Annotated[list[Mount] | None, REPLACE_SET] = None
    tmpfs: Annotated[dict[str, str] | None, Prop()] = None
    uploads: Annotated[list[Upload] | None, WRITE_ONLY_SET] = None
    dns: Annotated[list[str] | None, REPLACE_SET] = None
    dns_opts: Annotated[list[str] | None, REPLACE_SET] = None
    dns_searches: Annotated[list[str] | None, REPLACE_SET] = None
    group_adds: Annotated[list[str] | None, REPLACE_SET] = None
    hosts: Annotated[list[Host] | None, REPLACE_SET] = None
    network_mode: Annotated[str | None, Prop(replace=True, default="bridge")] = None
    networks_advanced: Annotated[list[NetworkAttachment] | None, WRITE_ONLY_SET] = None
    capabilities: Annotated[Capabilities | None, REPLACE] = None
    security_opts: Annotated[list[str] | None, COMPUTED_SET] = None
    devices: Annotated[list[Device] | None, REPLACE_SET] = None
    ulimits: Annotated[list[Ulimit] | None, REPLACE_SET] = None
    sysctls: Annotated[dict[str, str] | None, REPLACE] = None
    storage_opts: Annotated[dict[str, str] | None, REPLACE] = None
    ipc_mode: Annotated[str | None, COMPUTED] = None
    pid_mode: Annotated[str | None, REPLACE] = None
    userns_mode: Annotated[str | None, REPLACE] = None
    cgroupns_mode: Annotated[Literal["private", "host"] | None, Prop(replace=True, write_only=True)] = None
    cgroup_parent: Annotated[str | None, Prop(replace=True, write_only=True)] = None
    runtime: Annotated[str | None, COMPUTED] = None
    platform: Annotated[str | None, COMPUTED] = None
    init: Annotated[bool | None, Prop(computed=True)] = None
    restart: Annotated[Literal["no", "on-failure", "always", "unless-stopped"] | None, Prop(default="no")] = None
    max_retry_count: Annotated[int | None, IN_PLACE] = None
    memory: Annotated[int | None, IN_PLACE, Field(ge=0)] = None
    memory_reservation: Annotated[int | None, IN_PLACE, Field(ge=0)] = None
    memory_swap: Annotated[int | None, IN_PLACE, Field(ge=-1)] = None
    shm_size: Annotated[int | None, COMPUTED, Field(ge=0)] = None
    cpu_shares: Annotated[int | None, IN_PLACE, Field(ge=0)] = None
    cpu_set: Annotated[str | None, IN_PLACE, Field(pattern=r"^\d+([,-]\d+)*$")] = None
    cpus: Annotated[str | None, REPLACE] = None
    cpu_period: Annotated[int | None, STATE_ONLY, Field(ge=0)] = None
    cpu_quota: Annotated[int | None, STATE_ONLY, Field(ge=0)] = None
    log_driver: Annotated[str | None, COMPUTED] = None
    log_opts: Annotated[dict[str, str] | None, REPLACE] = None
    start: Annotated[bool | None, Prop(default=True, write_only=True)] = None
    must_run: Annotated[bool | None, Prop(default=True)] = None
    remove_volumes: Annotated[bool | None, Prop(default=True, write_only=True)] = None
    wait: Annotated[bool | None, STATE_ONLY] = None
    wait_timeout: Annotated[int | None, Prop(default=60, write_only=True)] = None
    destroy_grace_seconds: Annotated[int | None, STATE_ONLY, Field(ge=0)] = None
    container_read_refresh_timeout_milliseconds: Annotated[int | None, Prop(default=15000, write_only=True)] = None


OUTPUTS = ("bridge", "exitCode", "networkDatas")
"""Outputs that are never inputs."""
