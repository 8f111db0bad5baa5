"""What exists of a lab's platform on this machine, from outside: processes, namespaces, mounts, loop devices."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import docker
import libvirt

from components.config.settings import parse, read_stack_file
from tests.e2e.lab import PROJECT, RealLab


def objects(lab: RealLab) -> dict[str, list[str]]:
    """What the lab's libvirtd knows."""
    return known(lab_uri(lab))


def known(uri: str) -> dict[str, list[str]]:
    """What a libvirtd knows."""
    connection = libvirt.open(uri)
    try:
        return {
            "domains": [domain.name() for domain in connection.listAllDomains()],
            "networks": [network.name() for network in connection.listAllNetworks()],
            "pools": [pool.name() for pool in connection.listAllStoragePools()],
        }
    finally:
        connection.close()


def lab_uri(lab: RealLab) -> str:
    settings = parse(read_stack_file(PROJECT, lab.stack), lab.stack)
    return f"qemu:///system?socket=/run/overlab/{settings.name}/libvirt/libvirt-sock"


def outer_objects(lab: RealLab) -> dict[str, list[str]]:
    """What the engine that runs the lab's nodes has, beside its own three networks."""
    host = lab.record()["node_engine"]["docker_host"]
    with contextlib.closing(docker.DockerClient(base_url=host)) as client:
        networks = {str(network.name) for network in client.networks.list()}
        return {
            "containers": [str(container.name) for container in client.containers.list(all=True)],
            "volumes": [str(volume.name) for volume in client.volumes.list()],
            "networks": sorted(networks - {"bridge", "host", "none"}),
        }


def files(lab: RealLab) -> list[Path]:
    """Files of the lab's storage pool."""
    return list((lab.state / "overlab" / "labs" / lab.stack / "pool").glob("**/*"))


def traces(lab: RealLab) -> list[str]:
    """Every sign of the lab's platform; empty when it is gone."""
    namespace = f"overlab-{lab.stack}"
    found = [f"namespace {namespace}"] if Path(f"/run/netns/{namespace}").exists() else []
    marks = (f"/run/overlab/{lab.stack}/", str(lab.state / "overlab"))
    found += [
        f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if any(m in line for m in marks)
    ]
    found += [f"cgroup {path}" for at in ("", "*/") for path in Path("/sys/fs/cgroup").glob(f"{at}{namespace}")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(mark in command for mark in marks):
            found.append(f"process {process.name}: {command[:120]}")
    loops = subprocess.run(["losetup", "-l", "-n", "-O", "BACK-FILE"], capture_output=True, text=True, check=True)
    found += [f"loop device on {line}" for line in loops.stdout.splitlines() if any(mark in line for mark in marks)]
    found += [f"directory {p}" for p in (Path(marks[0]), lab.state / "overlab" / "labs" / lab.stack) if p.exists()]
    return found
