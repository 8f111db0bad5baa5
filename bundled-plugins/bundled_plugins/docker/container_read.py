"""A Container's properties from ``GET /containers/ID/json``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bundled_plugins.docker.container_spec import MIB
from bundled_plugins.docker.durations import format_duration
from bundled_plugins.runtime.values import Properties


def observed(inspect: dict[str, Any], known: Properties) -> Properties:
    """Live properties. ``known`` = last outputs: some properties are read only where they are in it.

    Never read: envs, labels, volumes, uploads, networksAdvanced, cgroupnsMode, cgroupParent, cpuPeriod, cpuQuota,
    destroyGraceSeconds and what only concerns this provider.
    """
    config, host = inspect["Config"], inspect["HostConfig"]
    return {
        **_identity(inspect, config, known),
        **_process(config, host),
        **_isolation(host, known),
        **_resources(host),
        **_logging(host, known),
        **_state(inspect, known),
    }


def _identity(inspect: dict[str, Any], config: dict[str, Any], known: Properties) -> Properties:
    by_id = str(known.get("image") or "").startswith("sha256:")
    return {
        "name": inspect["Name"].lstrip("/"),
        "image": inspect["Image"] if by_id else config["Image"],
        "hostname": config["Hostname"],
        "domainname": config["Domainname"],
        "platform": inspect.get("Platform", ""),
    }


def _process(config: dict[str, Any], host: dict[str, Any]) -> Properties:
    result: Properties = {
        "command": config.get("Cmd") or [],
        "entrypoints": config.get("Entrypoint") or [],
        "user": config["User"],
        "workingDir": config["WorkingDir"],
        "tty": config["Tty"],
        "stdinOpen": config["OpenStdin"],
        "stopSignal": config.get("StopSignal", ""),
        "stopTimeout": config.get("StopTimeout") or 0,
        "init": bool(host.get("Init")),
        "restart": host["RestartPolicy"]["Name"],
        "maxRetryCount": host["RestartPolicy"]["MaximumRetryCount"],
        "runtime": host["Runtime"],
    }
    check = config.get("Healthcheck")
    if check:
        result["healthcheck"] = {
            "tests": check.get("Test") or [],
            "interval": format_duration(check.get("Interval", 0)),
            "timeout": format_duration(check.get("Timeout", 0)),
            "startPeriod": format_duration(check.get("StartPeriod", 0)),
            "startInterval": format_duration(check.get("StartInterval", 0)),
            "retries": check.get("Retries", 0),
        }
    return result


def _isolation(host: dict[str, Any], known: Properties) -> Properties:
    result: Properties = {
        "readOnly": host["ReadonlyRootfs"],
        "privileged": host["Privileged"],
        "publishAllPorts": host["PublishAllPorts"],
        "securityOpts": host.get("SecurityOpt") or [],
        "dns": host.get("Dns") or [],
        "dnsOpts": host.get("DnsOptions") or [],
        "dnsSearches": host.get("DnsSearch") or [],
        "groupAdds": host.get("GroupAdd") or [],
        "hosts": [_host(line) for line in host.get("ExtraHosts") or []],
        "networkMode": host["NetworkMode"],
        "ipcMode": host["IpcMode"],
        "usernsMode": host.get("UsernsMode", ""),
        "mounts": [_mount(mount) for mount in host.get("Mounts") or []],
        "tmpfs": host.get("Tmpfs") or {},
        "sysctls": host.get("Sysctls") or {},
        "storageOpts": host.get("StorageOpt") or {},
    }
    if host.get("CapAdd") or host.get("CapDrop"):
        result["capabilities"] = {"adds": host.get("CapAdd") or [], "drops": host.get("CapDrop") or []}
    if known.get("pidMode"):
        result["pidMode"] = host.get("PidMode", "")
    if known.get("devices"):
        result["devices"] = _devices(host.get("Devices") or [], known["devices"])
    if known.get("ulimits"):
        result["ulimits"] = [
            {"name": limit["Name"], "soft": limit["Soft"], "hard": limit["Hard"]} for limit in host.get("Ulimits") or []
        ]
    return result


def _resources(host: dict[str, Any]) -> Properties:
    result: Properties = {
        "memory": _mib(host["Memory"]),
        "memoryReservation": _mib(host["MemoryReservation"]),
        "memorySwap": _mib(host["MemorySwap"]),
        "shmSize": _mib(host["ShmSize"]),
        "cpuShares": host["CpuShares"],
        "cpuSet": host["CpusetCpus"],
    }
    if host["NanoCpus"] > 0:
        result["cpus"] = decimal_text(host["NanoCpus"])
    return result


def _logging(host: dict[str, Any], known: Properties) -> Properties:
    config = host["LogConfig"]
    return {"logDriver": config["Type"]} | ({"logOpts": config.get("Config") or {}} if known.get("logOpts") else {})


def _state(inspect: dict[str, Any], known: Properties) -> Properties:
    running, settings = inspect["State"]["Running"], inspect["NetworkSettings"]
    must_run = bool(known.get("mustRun"))
    result: Properties = {
        "bridge": settings.get("Bridge", ""),
        "networkDatas": [_network_data(name, data) for name, data in sorted((settings.get("Networks") or {}).items())],
    }
    if known.get("ports") and (running or must_run):
        result["ports"] = _ports(settings.get("Ports") or {}, known["ports"])
    if not running:
        result["exitCode"] = inspect["State"]["ExitCode"]
        if must_run:
            result["mustRun"] = False
    return result


def decimal_text(nano: int) -> str:
    """CPUs as the official provider writes them: ``0.5``, ``1.0``, ``1.25`` and, oddly, ``10.``."""
    text = f"{Decimal(nano) / 1_000_000_000:.9f}"
    return text[:-8] if text.count("0") == 9 else text.rstrip("0")


def _mib(count: int) -> int:
    return count // MIB if count > 0 else count


def _host(line: str) -> Properties:
    parts = line.split(":")
    return {"host": parts[0], "ip": parts[1]}


def _mount(mount: dict[str, Any]) -> Properties:
    result: Properties = {
        "target": mount["Target"],
        "source": mount.get("Source", ""),
        "type": mount["Type"],
        "readOnly": mount.get("ReadOnly", False),
    }
    if mount.get("BindOptions"):
        result["bindOptions"] = {"propagation": mount["BindOptions"].get("Propagation", "")}
    if mount.get("TmpfsOptions"):
        options = mount["TmpfsOptions"]
        result["tmpfsOptions"] = {"sizeBytes": options.get("SizeBytes", 0), "mode": options.get("Mode", 0)}
    return result


def _devices(devices: list[dict[str, str]], known: list[Properties]) -> list[Properties]:
    """A container path that the program left out stays out."""
    short = {device["hostPath"] for device in known if not device.get("containerPath")}
    return [
        {
            "hostPath": device["PathOnHost"],
            "containerPath": "" if device["PathOnHost"] in short else device["PathInContainer"],
            "permissions": device["CgroupPermissions"],
        }
        for device in devices
    ]


def _ports(ports: dict[str, list[dict[str, str]] | None], known: list[Properties]) -> list[Properties]:
    """Sorted by container port; protocols of one port in the known order."""
    places = {f"{port['internal']}/{port.get('protocol') or 'tcp'}": place for place, port in enumerate(known)}
    order = sorted(ports, key=lambda key: (int(key.split("/")[0]), places.get(key, len(places))))
    return [
        {
            "internal": int(key.split("/")[0]),
            "external": int(binding["HostPort"] or 0),
            "ip": binding["HostIp"],
            "protocol": key.split("/")[1],
        }
        for key in order
        for binding in ports[key] or []
    ]


def _network_data(name: str, data: dict[str, Any]) -> Properties:
    return {
        "networkName": name,
        "ipAddress": data["IPAddress"],
        "ipPrefixLength": data["IPPrefixLen"],
        "gateway": data["Gateway"],
        "globalIpv6Address": data["GlobalIPv6Address"],
        "globalIpv6PrefixLength": data["GlobalIPv6PrefixLen"],
        "ipv6Gateway": data["IPv6Gateway"],
        "macAddress": data.get("MacAddress", ""),
    }
