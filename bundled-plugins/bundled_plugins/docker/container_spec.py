"""The body of ``POST /containers/create`` and the tar of uploads, from a Container's inputs."""

from __future__ import annotations

import base64
import binascii
import io
import tarfile
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from bundled_plugins.docker.container_inputs import ContainerInputs, Mount, Upload, Volume
from bundled_plugins.docker.durations import parse_duration
from bundled_plugins.docker.labels import as_mapping
from bundled_plugins.runtime.errors import ProviderError

MIB: Final = 1024 * 1024
_UNMASKED: Final = "systempaths=unconfined"


def create_body(inputs: ContainerInputs) -> dict[str, Any]:
    """The request without networks; raises ProviderError for values that cannot be turned into one."""
    binds, anonymous, volumes_from = _volumes(inputs.volumes or [])
    return _stated(
        {
            "Image": inputs.image,
            "Cmd": _command(inputs.command),
            "Entrypoint": inputs.entrypoints or None,
            "Env": inputs.envs,
            "Labels": as_mapping(inputs.labels),
            "Hostname": inputs.hostname,
            "Domainname": inputs.domainname,
            "User": inputs.user,
            "WorkingDir": inputs.working_dir,
            "Tty": inputs.tty,
            "OpenStdin": inputs.stdin_open,
            "StopSignal": inputs.stop_signal,
            "StopTimeout": inputs.stop_timeout,
            "Healthcheck": _healthcheck(inputs),
            "ExposedPorts": {f"{port.internal}/{port.protocol or 'tcp'}": {} for port in inputs.ports or []},
            "Volumes": {path: {} for path in anonymous},
        }
    ) | {"HostConfig": _host_config(inputs, binds, volumes_from)}


def _host_config(inputs: ContainerInputs, binds: list[str], volumes_from: list[str]) -> dict[str, Any]:
    security = [option for option in inputs.security_opts or [] if option != _UNMASKED]
    unmasked = len(security) < len(inputs.security_opts or [])
    capabilities = inputs.capabilities
    return _stated(
        {
            "Binds": binds,
            "VolumesFrom": volumes_from,
            "Mounts": [_mount(mount) for mount in inputs.mounts or []],
            "Tmpfs": inputs.tmpfs,
            "PortBindings": _port_bindings(inputs),
            "PublishAllPorts": inputs.publish_all_ports,
            "Dns": inputs.dns,
            "DnsOptions": inputs.dns_opts,
            "DnsSearch": inputs.dns_searches,
            "GroupAdd": inputs.group_adds,
            "ExtraHosts": [f"{host.host}:{host.ip}" for host in inputs.hosts or []],
            "NetworkMode": inputs.network_mode or "bridge",
            "CapAdd": _capabilities(capabilities.adds if capabilities else None),
            "CapDrop": _capabilities(capabilities.drops if capabilities else None),
            "SecurityOpt": security,
            "Devices": [
                {
                    "PathOnHost": device.host_path,
                    "PathInContainer": device.container_path or device.host_path,
                    "CgroupPermissions": device.permissions or "rwm",
                }
                for device in inputs.devices or []
            ],
            "Ulimits": [{"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in inputs.ulimits or []],
            "Sysctls": inputs.sysctls,
            "StorageOpt": inputs.storage_opts,
            "IpcMode": inputs.ipc_mode,
            "PidMode": inputs.pid_mode,
            "UsernsMode": inputs.userns_mode,
            "CgroupnsMode": inputs.cgroupns_mode,
            "CgroupParent": inputs.cgroup_parent,
            "Runtime": inputs.runtime,
            "Privileged": inputs.privileged,
            "ReadonlyRootfs": inputs.read_only,
            "ShmSize": (inputs.shm_size or 0) * MIB,
            "NanoCpus": _nano_cpus(inputs.cpus),
            "CpuPeriod": inputs.cpu_period,
            "CpuQuota": inputs.cpu_quota,
            "LogConfig": _stated({"Type": inputs.log_driver, "Config": inputs.log_opts}),
        }
    ) | {
        **limits(inputs),
        "Init": bool(inputs.init),
        **({"MaskedPaths": [], "ReadonlyPaths": []} if unmasked else {}),
    }


def limits(inputs: ContainerInputs) -> dict[str, Any]:
    """What can be changed on a running container; also the body of ``POST /containers/ID/update``."""
    swap = inputs.memory_swap or 0
    return {
        "RestartPolicy": {"Name": inputs.restart or "no", "MaximumRetryCount": inputs.max_retry_count or 0},
        "CpuShares": inputs.cpu_shares or 0,
        "CpusetCpus": inputs.cpu_set or "",
        "Memory": (inputs.memory or 0) * MIB,
        "MemoryReservation": (inputs.memory_reservation or 0) * MIB,
        "MemorySwap": swap * MIB if swap > 0 else swap,
    }


def uploads_tar(uploads: list[Upload]) -> bytes:
    """One archive, to be unpacked at /, with every file; owner root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for upload in uploads:
            content = _content(upload)
            member = tarfile.TarInfo(upload.file)
            member.size, member.mtime, member.mode = len(content), int(time.time()), _mode(upload)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _content(upload: Upload) -> bytes:
    given = [value for value in (upload.content, upload.content_base64, upload.source) if value]
    if not given:
        raise ProviderError("error with upload content: one of 'content', 'content_base64', or 'source' must be set")
    if len(given) > 1:
        raise ProviderError(
            "error with upload content: only one of 'content', 'content_base64', or 'source' can be set"
        )
    if upload.source:
        try:
            return Path(upload.source).read_bytes()
        except OSError as error:
            raise ProviderError(f"could not read file: open {upload.source}: {error.strerror}") from error
    if upload.content_base64:
        try:
            return base64.b64decode(upload.content_base64, validate=True)
        except binascii.Error as error:
            raise ProviderError(
                f"error with upload content: content_base64 of {upload.file} is no base64: {error}"
            ) from error
    return (upload.content or "").encode()


def _mode(upload: Upload) -> int:
    if upload.permissions:
        return int(upload.permissions, 8)
    return 0o744 if upload.executable else 0o644


def _command(command: list[str] | None) -> list[str] | None:
    if command and "" in command:
        raise ProviderError("values for command may not be empty")
    return command or None


def _volumes(volumes: list[Volume]) -> tuple[list[str], list[str], list[str]]:
    """(binds, anonymous volumes' paths, containers to take volumes from)."""
    binds, anonymous, volumes_from = [], [], []
    for volume in volumes:
        source, path = volume.host_path or volume.volume_name, volume.container_path
        if volume.from_container and path:
            raise ProviderError("Unable to parse volumes: Both a container and a path specified in a volume entry")
        if volume.from_container:
            volumes_from.append(volume.from_container)
        elif not path:
            raise ProviderError("Unable to parse volumes: Volume entry without container path or source container")
        elif source:
            relabel = f",{volume.selinux_relabel}" if volume.selinux_relabel else ""
            binds.append(f"{source}:{path}:{'ro' if volume.read_only else 'rw'}{relabel}")
        else:
            anonymous.append(path)
    return binds, anonymous, volumes_from


def _mount(mount: Mount) -> dict[str, Any]:
    body: dict[str, Any] = {"Type": mount.type, "Target": mount.target, "ReadOnly": bool(mount.read_only)}
    if mount.source:
        body["Source"] = mount.source
    if mount.type == "bind" and mount.bind_options:
        body["BindOptions"] = _stated({"Propagation": mount.bind_options.propagation})
    if mount.type == "tmpfs" and mount.tmpfs_options:
        options = mount.tmpfs_options
        body["TmpfsOptions"] = _stated({"SizeBytes": options.size_bytes, "Mode": options.mode})
    return body


def _port_bindings(inputs: ContainerInputs) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in inputs.ports or []:
        binding = {"HostIp": port.ip or "0.0.0.0", "HostPort": str(port.external or 0)}
        bindings.setdefault(f"{port.internal}/{port.protocol or 'tcp'}", []).append(binding)
    return bindings


def _capabilities(names: list[str] | None) -> list[str]:
    upper = {name.strip().upper() for name in names or []}
    return sorted({name if name in ("ALL", "RESET") or name.startswith("CAP_") else f"CAP_{name}" for name in upper})


def _nano_cpus(cpus: str | None) -> int:
    if not cpus:
        return 0
    try:
        return int(Decimal(cpus) * 1_000_000_000)
    except InvalidOperation:
        raise ProviderError(
            f'error setting cpus: "{cpus}" is not a decimal number of CPUs such as 0.5 or 1.5'
        ) from None


def _healthcheck(inputs: ContainerInputs) -> dict[str, Any] | None:
    check = inputs.healthcheck
    if check is None:
        return None
    if parse_duration(check.start_interval or "0s"):
        raise ProviderError(
            "Unable to create container: "
            '"specify health-check start interval" requires API version 1.44, but the bundled plugin speaks none so new'
        )
    return {
        "Test": check.tests,
        "Interval": parse_duration(check.interval or "0s"),
        "Timeout": parse_duration(check.timeout or "0s"),
        "StartPeriod": parse_duration(check.start_period or "0s"),
        "Retries": check.retries or 0,
    }


def _stated(body: dict[str, Any]) -> dict[str, Any]:
    """The body without what the program did not state, for the daemon to fill in."""
    return {key: value for key, value in body.items() if value not in (None, "", 0, False, [], {})}
