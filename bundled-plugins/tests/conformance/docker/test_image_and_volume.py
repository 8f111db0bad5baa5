"""RemoteImage, pulled from a real registry, and Volume."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from conformance.daemons import IMAGE, PrivateDocker
from conformance.harness import CallFailed, Provider

IMAGE_TYPE = "docker:index/remoteImage:RemoteImage"
VOLUME = "docker:index/volume:Volume"
CONTAINER = "docker:index/container:Container"


@pytest.fixture(scope="module")
def pullable(daemon: PrivateDocker) -> Iterator[str]:
    """Name of an image that a registry has and the daemon has not."""
    name = f"{daemon.start_registry()}/library/tool:1"
    daemon.cli("tag", IMAGE, name)
    daemon.cli("push", name)
    daemon.cli("rmi", name)
    yield name
    daemon.stop_registry()


@pytest.fixture
def absent(pullable: str, daemon: PrivateDocker) -> Iterator[str]:
    """The same, before and after each test."""
    yield pullable
    if any(pullable in (image["RepoTags"] or []) for image in daemon.api.images()):
        daemon.cli("rmi", "-f", pullable)


def has(daemon: PrivateDocker, name: str) -> bool:
    return any(name in (image["RepoTags"] or []) for image in daemon.api.images())


def test_image_is_pulled_and_known_by_id_and_name(provider: Provider, daemon: PrivateDocker, absent: str) -> None:
    tool = provider.resource(IMAGE_TYPE, "tool")
    tool.up({"name": absent})
    assert tool["imageId"] == daemon.image_id(absent)
    assert tool.id == tool["imageId"] + absent
    assert tool["repoDigest"] == daemon.cli("image", "inspect", "--format", "{{index .RepoDigests 0}}", absent)
    assert tool.up({"name": absent}) == "same"
    assert tool.refresh()
    assert tool.up({"name": absent}) == "same"
    tool.destroy()
    assert not has(daemon, absent)


def test_container_pulls_its_image(provider: Provider, daemon: PrivateDocker, absent: str) -> None:
    web = provider.resource(CONTAINER, "web")
    web.up({"image": absent, "command": ["sleep", "600"]})
    assert has(daemon, absent)
    assert web["image"] == absent
    web.destroy()


def test_existing_image_is_not_pulled(provider: Provider) -> None:
    """No registry has this name: a pull would fail."""
    here = provider.resource(IMAGE_TYPE, "here")
    here.up({"name": IMAGE, "keepLocally": True})
    assert here["imageId"].startswith("sha256:")
    here.destroy()


def test_keep_locally_counts_once_it_is_in_the_state(provider: Provider, daemon: PrivateDocker, absent: str) -> None:
    tool = provider.resource(IMAGE_TYPE, "tool")
    tool.up({"name": absent})
    assert tool.up({"name": absent, "keepLocally": True}) == "update"
    tool.destroy()
    assert has(daemon, absent)


@pytest.mark.parametrize("change", [{"platform": "linux/amd64"}, {"triggers": {"a": "b"}}, {"pullTriggers": ["x"]}])
def test_replacement_creates_first(provider: Provider, change: dict[str, object]) -> None:
    here = provider.resource(IMAGE_TYPE, "here")
    here.up({"name": IMAGE, "keepLocally": True})
    plan = here.plan({"name": IMAGE, "keepLocally": True} | change)
    assert plan.replace
    assert not plan.delete_before_replace


def test_moved_tag_is_taken_over_by_refresh(provider: Provider, daemon: PrivateDocker) -> None:
    daemon.cli("tag", IMAGE, "moving:1")
    moving = provider.resource(IMAGE_TYPE, "moving")
    moving.up({"name": "moving:1"})
    before = moving.id
    daemon.cli("import", "-", "moving:1", stdin=b"\0" * 10240)
    assert moving.refresh()
    assert moving.id != before
    assert moving["imageId"] == daemon.image_id("moving:1")
    moving.destroy()
    assert not moving.id


def test_removed_image_is_gone_for_refresh_and_destroy(provider: Provider, daemon: PrivateDocker) -> None:
    daemon.cli("tag", IMAGE, "brief:1")
    brief = provider.resource(IMAGE_TYPE, "brief")
    brief.up({"name": "brief:1"})
    daemon.cli("rmi", "brief:1")
    provider.delete(IMAGE_TYPE, "brief", brief.id, brief.outputs, brief.inputs)
    assert not brief.refresh()


def test_image_in_use_cannot_be_removed(provider: Provider, daemon: PrivateDocker) -> None:
    daemon.cli("import", "--change", 'CMD ["x"]', "-", "used:1", stdin=b"\0" * 10240)
    used = provider.resource(IMAGE_TYPE, "used")
    used.up({"name": "used:1"})
    daemon.api.create_container("used:1", name="user")
    with pytest.raises(
        CallFailed, match=r"Unable to remove Docker image: Error response from daemon: conflict: .*\(must force\)"
    ):
        used.destroy()
    assert used.up({"name": "used:1", "forceRemove": True}) == "update"
    used.destroy()


def test_image_that_no_registry_has(provider: Provider) -> None:
    with pytest.raises(
        CallFailed,
        match=r"Unable to read Docker image into resource: unable to pull image 127\.0\.0\.1:1/no:1: "
        r"error pulling image 127\.0\.0\.1:1/no:1: Error response from daemon: ",
    ):
        provider.resource(IMAGE_TYPE, "no").up({"name": "127.0.0.1:1/no:1"})


# volumes


def test_volume_is_known_by_its_name_and_stays(provider: Provider, daemon: PrivateDocker) -> None:
    inputs = {"name": "data", "labels": [{"label": "b", "value": "2"}, {"label": "a", "value": "1"}]}
    data = provider.resource(VOLUME, "data")
    data.up(inputs)
    assert data.id == "data"
    assert data["mountpoint"] == daemon.api.inspect_volume("data")["Mountpoint"]
    assert daemon.api.inspect_volume("data")["Labels"] == {"a": "1", "b": "2"}
    assert data["driver"] == "local"
    assert data.up(inputs) == "same"
    assert data.refresh()
    assert data.up(inputs) == "same"
    data.destroy()
    assert not daemon.api.volumes()["Volumes"]


def test_volume_options_reach_the_driver(provider: Provider, daemon: PrivateDocker) -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"}
    scratch = provider.resource(VOLUME, "scratch")
    scratch.up({"driverOpts": options})
    assert daemon.api.inspect_volume(scratch.id)["Options"] == options
    assert scratch.refresh()
    assert scratch.up({"driverOpts": options}) == "same"


def test_named_volume_is_deleted_before_its_replacement(provider: Provider) -> None:
    data = provider.resource(VOLUME, "data")
    data.up({"name": "data"})
    assert data.plan({"name": "data", "driverOpts": {"type": "tmpfs"}}).delete_before_replace
    auto = provider.resource(VOLUME, "auto")
    auto.up({})
    plan = auto.plan({"driverOpts": {"type": "tmpfs"}})
    assert plan.replace
    assert not plan.delete_before_replace


def test_deletion_waits_for_the_container_that_uses_it(provider: Provider, daemon: PrivateDocker) -> None:
    data = provider.resource(VOLUME, "data")
    data.up({"name": "data"})
    daemon.api.create_container(IMAGE, name="user", volumes=["/d"], host_config={"Binds": ["data:/d"]})
    late = threading.Timer(2, lambda: daemon.api.remove_container("user"))
    late.start()
    data.destroy()
    late.join()
    assert not daemon.api.volumes()["Volumes"]


def test_vanished_volume_is_gone_for_refresh_and_for_destroy(provider: Provider, daemon: PrivateDocker) -> None:
    data = provider.resource(VOLUME, "data")
    data.up({"name": "data"})
    daemon.api.remove_volume("data")
    provider.delete(VOLUME, "data", data.id, data.outputs, data.inputs)
    assert not data.refresh()
