"""The plugin under the real Pulumi CLI: one small machine with all that belongs to it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.engine import Home, Project
from conformance.harness import until
from conformance.libvirt.conftest import Bench

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]

PROGRAM = """
    import pulumi
    import pulumi_libvirt as libvirt

    config = pulumi.Config()
    prefix = config.require("prefix")
    provider = pulumi.ResourceOptions(provider=libvirt.Provider("hv", uri=config.require("uri")))
    network = libvirt.Network(
        "net",
        name=f"{prefix}net",
        mode="none",
        addresses=[config.require("cidr")],
        dhcp=libvirt.NetworkDhcpArgs(enabled=False),
        autostart=True,
        opts=provider,
    )
    pool = libvirt.Pool(
        "pool",
        name=f"{prefix}pool",
        type="dir",
        target=libvirt.PoolTargetArgs(path=config.require("directory") + "/pool"),
        opts=provider,
    )
    base = libvirt.Volume("base", name="base.img", pool=pool.name, source=config.require("image"), opts=provider)
    for node in ("a", "b"):
        disk = libvirt.Volume(
            f"{node}-disk", name=f"{node}.img", pool=pool.name, base_volume_id=base.id, size=16 << 20, opts=provider
        )
        seed = libvirt.CloudInitDisk(
            f"{node}-seed",
            name=f"{node}.iso",
            pool=pool.name,
            user_data=pulumi.Output.secret(config.require("text")),
            opts=provider,
        )
        domain = libvirt.Domain(
            f"{node}-domain",
            name=f"{prefix}{node}",
            type="qemu",
            memory=32,
            cloudinit=seed.id,
            disks=[libvirt.DomainDiskArgs(volume_id=disk.id)],
            network_interfaces=[
                libvirt.DomainNetworkInterfaceArgs(network_id=network.id, mac=f"52:54:00:00:00:0{node.upper()}")
            ],
            consoles=[libvirt.DomainConsoleArgs(type="pty", target_port="0", target_type="serial")],
            graphics=libvirt.DomainGraphicsArgs(type="vnc", listen_type="none"),
            opts=provider,
        )
        pulumi.export(node, domain.network_interfaces[0].mac)
"""


@pytest.fixture
def project(pulumi_home: Home, bench: Bench, tmp_path: Path) -> Iterator[Project]:
    launcher = pulumi_home.directory / "home" / "plugins" / "resource-libvirt-v0.5.4"
    if not launcher.exists():
        pulumi_home.add_plugin("resource", "libvirt", "0.5.4", "bundled_plugins.libvirt")
    project = Project(pulumi_home, tmp_path / "project", name=f"libvirt{bench.number}").create()
    image(bench, "one", "8M")
    for key, value in {
        "uri": bench.hypervisor.uri,
        "prefix": bench.named(""),
        "cidr": f"{bench.subnet}.0/24",
        "directory": str(bench.directory),
        "image": str(bench.directory / "one"),
        "text": "#cloud-config: topsecret\n",
    }.items():
        project.run("config", "set", key, value).passed()
    project.write("__main__.py", PROGRAM)
    yield project
    pulumi_home.wait_until_idle()


def image(bench: Bench, name: str, size: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", bench.directory / name, size], check=True)


def done(project: Project, *arguments: str) -> dict[str, set[str]]:
    """Names of the resources by what a command did to them; those left as they were are not in it."""
    text = project.run(*arguments, "--yes", "--skip-preview", "--json", limit_s=240).passed()
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        event = json.loads(line).get("resourcePreEvent") if line.startswith('{"') else None
        if event and event["metadata"]["op"] != "same":
            found.setdefault(event["metadata"]["op"], set()).add(event["metadata"]["urn"].rsplit("::", 1)[-1])
    return found


def uuids(bench: Bench) -> dict[str, str]:
    return {name: bench.connection.lookupByName(name).UUIDString() for name in bench.domains()}


@pytest.mark.bundled_only("leftovers")
def test_the_lifecycle(project: Project, bench: Bench) -> None:
    """Killed and resumed, no change, no drift, healed, the chain replaced, a medium swapped, destroyed half dead."""
    with project.started("up", "--yes", "--skip-preview") as command:
        until(lambda: bool(bench.domains()), 120, lambda: f"no domain yet:\n{command.text}")
        command.send(signal.SIGKILL)
    project.home.wait_until_idle()
    project.run("cancel", "--yes").passed()
    assert set(done(project, "up")) == {"create"}
    assert bench.domains() == {bench.named("a"), bench.named("b")}

    no_drift = ("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--expect-no-changes")
    project.run(*no_drift, limit_s=240).passed()
    project.run("preview", "--expect-no-changes", limit_s=240).passed()
    assert "topsecret" not in project.run("stack", "export").passed()

    bench.connection.lookupByName(bench.named("a")).destroy()
    bench.connection.lookupByName(bench.named("b")).destroy()
    bench.connection.lookupByName(bench.named("b")).undefine()
    healed = done(project, "up", "--refresh")
    assert (healed["create"], healed["update"]) == ({"b-domain"}, {"a-domain"})
    assert all(bench.connection.lookupByName(bench.named(node)).isActive() for node in "ab")

    before = uuids(bench)
    image(bench, "two", "12M")
    project.run("config", "set", "image", str(bench.directory / "two")).passed()
    chain = done(project, "up")
    assert chain["replace"] == {"base", "a-disk", "b-disk", "a-domain", "b-domain"}
    assert set(chain) == {"replace", "create-replacement", "delete-replaced"}
    after = uuids(bench)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())

    project.run("config", "set", "text", "#cloud-config: other\n").passed()
    swapped = done(project, "up")
    assert (swapped["replace"], swapped["update"]) == ({"a-seed", "b-seed"}, {"a-domain", "b-domain"})
    assert uuids(bench) == after

    bench.connection.lookupByName(bench.named("a")).destroy()
    project.run("destroy", "--yes", "--skip-preview", limit_s=240).passed()
    assert bench.domains() == bench.networks() == bench.pools() == set()
    assert not (bench.directory / "pool").exists()
