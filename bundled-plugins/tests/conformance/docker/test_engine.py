"""End to end: a program, the real CLI, the bundled language host, the plugin, a real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.daemons import IMAGE, PrivateDocker
from conformance.engine import Home, Project

PROGRAM = """
    import pulumi
    import pulumi_docker as docker

    provider = docker.Provider("engine", host={host!r})
    options = pulumi.ResourceOptions(provider=provider)
    network = docker.Network("lab", name="lab", ipam_configs=[{{"subnet": "10.55.0.0/24"}}], opts=options)
    image = docker.RemoteImage("image", name={image!r}, keep_locally=True, opts=options)
    volume = docker.Volume("data", opts=options)
    web = docker.Container(
        "web",
        image=image.image_id,
        name="web",
        command=["sleep", {seconds!r}],
        envs=["A=1"],
        labels=[{{"label": "lab", "value": "x"}}],
        networks_advanced=[{{"name": network.id, "ipv4_address": "10.55.0.7", "aliases": ["www"]}}],
        volumes=[{{"volume_name": volume.name, "container_path": "/data"}}],
        restart="unless-stopped",
        must_run=True,
        opts=options,
    )
    pulumi.export("address", web.network_datas[0].ip_address)
"""


@pytest.fixture(scope="module")
def home(pulumi_home: Home) -> Home:
    pulumi_home.add_plugin("resource", "docker", "5.1.0", "bundled_plugins.docker")
    return pulumi_home


@pytest.fixture
def project(home: Home, daemon: PrivateDocker, tmp_path: Path) -> Iterator[Project]:
    yield Project(home, tmp_path / "project", name=tmp_path.name.replace("_", "-")).create()
    daemon.clear()


@pytest.mark.timeout(400)
def test_up_up_again_refresh_change_and_destroy(project: Project, daemon: PrivateDocker) -> None:
    program = PROGRAM.format(host=daemon.host, image=IMAGE, seconds="600")
    project.write("__main__.py", program)
    assert "6 to create" in project.run("preview").passed()
    assert daemon.names() == set()

    assert "6 created" in project.up(program).passed()
    assert project.run("stack", "output", "address").passed().strip() == "10.55.0.7"
    first = daemon.inspect("web")["Id"]

    again = project.run("up", "--yes").passed()
    assert "6 unchanged" in again
    assert "6 unchanged" in project.run("refresh", "--yes", "--skip-preview").passed()

    daemon.api.remove_container("web", force=True)
    assert "1 deleted" in project.run("refresh", "--yes", "--skip-preview").passed()
    healed = project.run("up", "--yes", "--skip-preview").passed()
    assert "1 created" in healed
    assert "5 unchanged" in healed
    assert daemon.inspect("web")["Id"] != first

    changed = project.up(PROGRAM.format(host=daemon.host, image=IMAGE, seconds="700")).passed()
    assert "1 replaced" in changed
    assert daemon.inspect("web")["Config"]["Cmd"] == ["sleep", "700"]

    project.run("destroy", "--yes", "--skip-preview").passed()
    assert daemon.names() == set()
    assert all(network["Name"] != "lab" for network in daemon.api.networks())
    assert daemon.image_id(IMAGE)
    project.home.wait_until_idle()


@pytest.mark.bundled_only("refusals")
def test_refused_input_and_failed_creation_reach_the_user(project: Project, daemon: PrivateDocker) -> None:
    refused = project.up(
        f"""
        import pulumi, pulumi_docker as docker
        provider = docker.Provider("engine", host={daemon.host!r})
        docker.Container("web", image={IMAGE!r}, gpus="all", opts=pulumi.ResourceOptions(provider=provider))
        """
    ).failed()
    assert "'gpus' is not supported by the bundled plugin for docker:index/container:Container" in refused
    failed = project.up(
        f"""
        import pulumi, pulumi_docker as docker
        provider = docker.Provider("engine", host={daemon.host!r})
        docker.Container(
            "web", image={IMAGE!r}, command=["/no/such"], opts=pulumi.ResourceOptions(provider=provider)
        )
        """
    ).failed()
    assert "Unable to start container: Error response from daemon: " in failed
    assert "docker:index/container:Container" in project.run("stack").passed()
    assert "1 to replace" in project.run("preview").passed(), "what did not start is no healthy container"
    project.run("destroy", "--yes", "--skip-preview").passed()
    assert daemon.names() == set()


def test_unreachable_daemon_is_reported_in_the_preview(project: Project, tmp_path: Path) -> None:
    project.write(
        "__main__.py",
        f"""
        import pulumi, pulumi_docker as docker
        provider = docker.Provider("engine", host="unix://{tmp_path}/none.sock")
        docker.Network("lab", opts=pulumi.ResourceOptions(provider=provider))
        """,
    )
    reported = project.run("preview").failed()
    assert "failed to connect to any docker daemon" in reported
    assert f"Cannot connect to the Docker daemon at unix://{tmp_path}/none.sock" in reported
