"""Every input of a Container reaches the daemon, and what is read back afterwards is no difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bundled_plugins.docker.container_inputs import ContainerInputs
from bundled_plugins.runtime.model import shapes

from conformance.daemons import IMAGE, PrivateDocker
from conformance.harness import CallFailed, Provider

CONTAINER = "docker:index/container:Container"
SLEEP = {"image": IMAGE, "command": ["sleep", "600"], "start": False, "mustRun": False}


# inputs, and where the daemon has them: path in `docker inspect`, value
CASES: list[tuple[dict[str, Any], str, Any]] = [
    ({"name": "stated"}, "Name", "/stated"),
    ({"command": ["sleep", "7"]}, "Config.Cmd", ["sleep", "7"]),
    ({"entrypoints": ["/bin/sh", "-c"]}, "Config.Entrypoint", ["/bin/sh", "-c"]),
    ({"envs": ["B=2", "A=1"]}, "Config.Env", ["B=2", "A=1"]),
    ({"labels": [{"label": "b", "value": "2"}, {"label": "a", "value": "1"}]}, "Config.Labels", {"a": "1", "b": "2"}),
    ({"hostname": "inside"}, "Config.Hostname", "inside"),
    ({"domainname": "lab.test"}, "Config.Domainname", "lab.test"),
    ({"user": "nobody"}, "Config.User", "nobody"),
    ({"workingDir": "/tmp"}, "Config.WorkingDir", "/tmp"),
    ({"tty": True}, "Config.Tty", True),
    ({"stdinOpen": True}, "Config.OpenStdin", True),
    ({"readOnly": True}, "HostConfig.ReadonlyRootfs", True),
    ({"privileged": True}, "HostConfig.Privileged", True),
    ({"publishAllPorts": True}, "HostConfig.PublishAllPorts", True),
    ({"stopSignal": "SIGINT"}, "Config.StopSignal", "SIGINT"),
    ({"stopTimeout": 7}, "Config.StopTimeout", 7),
    (
        {"healthcheck": {"tests": ["CMD", "true"], "interval": "1m30s", "timeout": "5s", "retries": 2}},
        "Config.Healthcheck",
        {"Test": ["CMD", "true"], "Interval": 90_000_000_000, "Timeout": 5_000_000_000, "Retries": 2},
    ),
    (
        {"ports": [{"internal": 53, "external": 10053, "ip": "127.0.0.1", "protocol": "udp"}, {"internal": 80}]},
        "HostConfig.PortBindings",
        {
            "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "10053"}],
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "0"}],
        },
    ),
    (
        {
            "volumes": [
                {"hostPath": "/var/tmp", "containerPath": "/host", "readOnly": True},
                {"volumeName": "data", "containerPath": "/data"},
            ]
        },
        "HostConfig.Binds",
        ["/var/tmp:/host:ro", "data:/data:rw"],
    ),
    (
        {
            "mounts": [
                {"type": "volume", "target": "/v", "source": "named"},
                {"type": "bind", "target": "/b", "source": "/var/tmp", "readOnly": True},
                {"type": "bind", "target": "/p", "source": "/var", "bindOptions": {"propagation": "rslave"}},
                {"type": "tmpfs", "target": "/t", "tmpfsOptions": {"sizeBytes": 65536, "mode": 448}},
            ]
        },
        "HostConfig.Mounts",
        [
            {"Type": "volume", "Source": "named", "Target": "/v"},
            {"Type": "bind", "Source": "/var/tmp", "Target": "/b", "ReadOnly": True},
            {"Type": "bind", "Source": "/var", "Target": "/p", "BindOptions": {"Propagation": "rslave"}},
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 448}},
        ],
    ),
    ({"tmpfs": {"/run": "size=64k"}}, "HostConfig.Tmpfs", {"/run": "size=64k"}),
    ({"dns": ["10.0.0.2", "10.0.0.1"]}, "HostConfig.Dns", ["10.0.0.2", "10.0.0.1"]),
    ({"dnsOpts": ["ndots:2"]}, "HostConfig.DnsOptions", ["ndots:2"]),
    ({"dnsSearches": ["lab.test"]}, "HostConfig.DnsSearch", ["lab.test"]),
    ({"groupAdds": ["12"]}, "HostConfig.GroupAdd", ["12"]),
    ({"hosts": [{"host": "consul", "ip": "10.0.0.5"}]}, "HostConfig.ExtraHosts", ["consul:10.0.0.5"]),
    ({"networkMode": "host"}, "HostConfig.NetworkMode", "host"),
    (
        {"capabilities": {"adds": ["CAP_SYS_TIME", "CAP_NET_ADMIN"], "drops": ["CAP_CHOWN"]}},
        "HostConfig.CapAdd",
        ["CAP_NET_ADMIN", "CAP_SYS_TIME"],
    ),
    ({"securityOpts": ["seccomp=unconfined"]}, "HostConfig.SecurityOpt", ["seccomp=unconfined"]),
    (
        {"devices": [{"hostPath": "/dev/null", "permissions": "r"}, {"hostPath": "/dev/zero", "containerPath": "/z"}]},
        "HostConfig.Devices",
        [
            {"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "r"},
            {"PathOnHost": "/dev/zero", "PathInContainer": "/z", "CgroupPermissions": "rwm"},
        ],
    ),
    (
        {"ulimits": [{"name": "nofile", "soft": 512, "hard": 1024}, {"name": "core", "soft": 0, "hard": 0}]},
        "HostConfig.Ulimits",
        [{"Name": "nofile", "Soft": 512, "Hard": 1024}, {"Name": "core", "Soft": 0, "Hard": 0}],
    ),
    ({"sysctls": {"net.ipv4.ip_forward": "1"}}, "HostConfig.Sysctls", {"net.ipv4.ip_forward": "1"}),
    ({"ipcMode": "shareable"}, "HostConfig.IpcMode", "shareable"),
    ({"pidMode": "host"}, "HostConfig.PidMode", "host"),
    ({"usernsMode": "host"}, "HostConfig.UsernsMode", "host"),
    ({"cgroupnsMode": "host"}, "HostConfig.CgroupnsMode", "host"),
    ({"cgroupParent": "/t-docker-other"}, "HostConfig.CgroupParent", "/t-docker-other"),
    ({"runtime": "runc"}, "HostConfig.Runtime", "runc"),
    ({"init": True}, "HostConfig.Init", True),
    (
        {"restart": "on-failure", "maxRetryCount": 3},
        "HostConfig.RestartPolicy",
        {"Name": "on-failure", "MaximumRetryCount": 3},
    ),
    ({"memory": 64, "memorySwap": -1}, "HostConfig.MemorySwap", -1),
    ({"memory": 64, "memorySwap": 128, "memoryReservation": 32}, "HostConfig.MemoryReservation", 32 << 20),
    ({"shmSize": 32}, "HostConfig.ShmSize", 32 << 20),
    ({"cpuShares": 256}, "HostConfig.CpuShares", 256),
    ({"cpuSet": "0"}, "HostConfig.CpusetCpus", "0"),
    ({"cpus": "0.5"}, "HostConfig.NanoCpus", 500_000_000),
    ({"cpuPeriod": 50000, "cpuQuota": 25000}, "HostConfig.CpuQuota", 25000),
    ({"logDriver": "local", "logOpts": {"max-size": "1m"}}, "HostConfig.LogConfig.Config", {"max-size": "1m"}),
]
# Covered by separate tests, or without any trace in the daemon.
ELSEWHERE = set(
    """image networksAdvanced uploads start mustRun removeVolumes wait waitTimeout destroyGraceSeconds
    containerReadRefreshTimeoutMilliseconds platform storageOpts""".split()
)


@pytest.mark.parametrize(("inputs", "path", "value"), CASES, ids=[",".join(case[0]) for case in CASES])
def test_input_reaches_the_daemon_and_stays(
    provider: Provider, daemon: PrivateDocker, inputs: dict[str, Any], path: str, value: Any
) -> None:
    container = provider.resource(CONTAINER, "box")
    container.up(SLEEP | inputs)
    live: Any = daemon.inspect(container.id)
    for part in path.split("."):
        live = live[part]
    if path == "Config.Env":
        live = [line for line in live if not line.startswith("PATH=")]
    assert live == value
    assert container.up(SLEEP | inputs) == "same", container.last_diff
    assert container.refresh()
    assert container.up(SLEEP | inputs) == "same", container.last_diff


def test_every_input_has_a_case() -> None:
    tested = {name for case in CASES for name in case[0]}
    assert tested | ELSEWHERE == set(shapes(ContainerInputs))


def test_unmasking_system_paths_is_not_sent_as_an_option(provider: Provider, daemon: PrivateDocker) -> None:
    container = provider.resource(CONTAINER, "box")
    container.up(SLEEP | {"securityOpts": ["systempaths=unconfined"]})
    host = daemon.inspect(container.id)["HostConfig"]
    assert host["MaskedPaths"] == []
    assert host["ReadonlyPaths"] == []
    assert not host["SecurityOpt"]


@pytest.mark.bundled_only("plans")
def test_capabilities_are_written_as_the_daemon_takes_them(provider: Provider, daemon: PrivateDocker) -> None:
    """And then they differ from what the program states (with the official provider after a refresh only), so a program
    should state CAP_NET_ADMIN."""
    container = provider.resource(CONTAINER, "box")
    short = SLEEP | {"capabilities": {"adds": ["net_admin"]}}
    container.up(short)
    assert daemon.inspect(container.id)["HostConfig"]["CapAdd"] == ["CAP_NET_ADMIN"]
    assert container.plan(short).paths == {"capabilities.adds[0]": "UPDATE_REPLACE"}


def test_image_can_be_named_by_its_id(provider: Provider, daemon: PrivateDocker) -> None:
    image = daemon.image_id(IMAGE)
    container = provider.resource(CONTAINER, "box")
    container.up(SLEEP | {"image": image})
    assert container.refresh()
    assert container["image"] == image
    assert container.up(SLEEP | {"image": image}) == "same"


def test_upload_source_is_relative_to_the_program(provider: Provider, daemon: PrivateDocker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from a file")
    container = provider.resource(CONTAINER, "box")
    container.up(SLEEP | {"uploads": [{"file": "/etc/file", "source": str(tmp_path / "file"), "sourceHash": "x"}]})
    assert "from a file" in daemon.cli("cp", f"{container.id}:/etc/file", "-")


def test_memory_without_swap_shows_the_doubled_swap_that_the_daemon_chose(provider: Provider) -> None:
    container = provider.resource(CONTAINER, "box")
    container.up(SLEEP | {"memory": 64})
    assert container["memorySwap"] == 128
    assert container.plan(SLEEP | {"memory": 64}).paths == {"memorySwap": "DELETE"}


def test_empty_command_is_refused(provider: Provider) -> None:
    with pytest.raises(CallFailed, match="values for command may not be empty"):
        provider.resource(CONTAINER, "box").up(SLEEP | {"command": ["sh", ""]})
